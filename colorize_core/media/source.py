"""What is known of a source once it was scanned: plain values that go into `film.json`."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

Rational = Annotated[
    Fraction,
    BeforeValidator(lambda value: Fraction(value)),
    PlainSerializer(str, return_type=str),
]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ColourTags(_Value):
    """The four tags of H.273 as FFmpeg's integers, as the source carries them (2: unspecified;
    range 0: unspecified, 1: limited, 2: full), and the chroma location (0: unspecified)."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    range: int = 0
    chroma_location: int = 0


class CarriedStream(_Value):
    """A stream that is copied packet by packet: sound, subtitles, attachments, data."""

    index: int
    kind: Literal["audio", "subtitle", "attachment", "data"]
    codec: str
    language: str | None = None


class SourceInfo(_Value):
    """A film that passed the gate.

    Attributes:
        uri: path or URL, as workers open it.
        digest: sha256 of the file's bytes, hex: the film's identity.
        bytes: size of the file.
        container, codec: FFmpeg's short names.
        video_index: the stream that is colorized.
        width, height: of the coded picture, before SAR and rotation.
        sar: sample aspect ratio (1 where the source does not say).
        rotation: degrees of the display matrix, anticlockwise as FFmpeg counts (0, 90, 180, -90).
        pix_fmt: FFmpeg's name. depth: bits of a Y' sample.
        chroma: the layout of the chroma planes, or "grey".
        tags: colour tags as found.
        frames: decoded to the end and counted.
        has_colour: its chroma planes are not neutral. They are ignored.
        damage: None, or what was wrong and accepted (`--accept-damage`).
        concealed: frames in which the decoder hid damaged data (flipped bits); they decode.
        counted: the container gives no usable time stamps: frames are counted from its start and
            shown at the nominal rate.
        carried: the streams that go into the result as they are.
        notes: what a person should know of it, one line each.
    """

    uri: str
    digest: str
    bytes: int
    container: str
    codec: str
    video_index: int
    width: int
    height: int
    sar: Rational
    rotation: int
    pix_fmt: str
    depth: int
    chroma: Literal["grey", "420", "422", "444", "440", "411", "410"]
    tags: ColourTags
    frames: int
    has_colour: bool = False
    damage: str | None = None
    concealed: int = 0
    counted: bool = False
    carried: tuple[CarriedStream, ...] = ()
    notes: tuple[str, ...] = ()
