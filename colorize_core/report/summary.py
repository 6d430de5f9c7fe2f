"""What the report shows: plain values that the caller fills from the manifest and the chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.manifest.schema import ShotStatus
from colorize_core.quality.flags import Flag
from colorize_core.timebase import FrameSpan

THUMBNAIL_BYTES = 5_600  # five of them in base64 keep a shot's row under 40 kB
_QUALITIES = (60, 45, 30, 20)  # of WebP: the first that fits, or the last (heavy grain)
_MAX_HEIGHT_FOR_WIDTH = 2  # a very tall still must not blow up the page
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture of the page. `webp` is what `thumbnail` gives, `label` says what it shows."""

    webp: bytes = field(repr=False)
    label: str


@dataclass(frozen=True, slots=True)
class ShotSummary:
    """One row of the report.

    Attributes:
        number: as in the shot list.
        span: its frames. start_s, end_s: its time in the film, in seconds, end not included.
        status: done; grey (left grey on purpose); partial (frames of failed segments are grey);
            failed; pending (not yet made).
        reason: one line: why it is not done, else empty.
        tone: one line: what was done to its stills' tone, else empty.
        confidence: mean over its frames and pixels in [0, 1]; None where nothing was coloured.
        score: what all figures come to, in [0, 1]; None where nothing was coloured, or looked at.
        figures: the others by name, each of the shot's worst segment.
        flags: those past their thresholds, worst first. held: the film waits for a look at it.
        seconds: of work that went into it.
        source: a frame as it came in. references: the stills it took its colours from.
        results: finished frames in order of time, those that show the flags first of all (three,
            fewer in very short shots).
    """

    number: int
    span: FrameSpan
    start_s: Fraction
    end_s: Fraction
    status: ShotStatus
    reason: str = ""
    tone: str = ""
    confidence: float | None = None
    score: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    flags: tuple[Flag, ...] = ()
    held: bool = False
    seconds: float = 0.0
    source: Picture | None = None
    references: tuple[Picture, ...] = ()
    results: tuple[Picture, ...] = ()

    @property
    def why(self) -> str:
        """Why it is worth a look, in one line; empty: it is not."""
        return "; ".join([*filter(None, [self.reason]), *map(str, self.flags)])

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence lies in [0, 1], not {self.confidence}")


@dataclass(frozen=True, slots=True)
class FilmSummary:
    """The figures on top of the report.

    Attributes:
        title: what people call the film (the file's name).
        source, work, output: URIs; output is None while the film is not published.
        width, height: of the coded picture. sar: sample aspect ratio. rotation: degrees,
            anticlockwise, as in `SourceInfo`. rate: frames per second. duration_s: seconds.
        frames_in, frames_out: counted frames of source and result (None: no result yet).
        luma_exact: whether the Y' plane was proved equal; None where that was not asked for.
        segments: how many segments have each manifest status.
        seconds: wall clock of the run. version: of kinecolor.
        warnings: one sentence each. next_command: what to type when the film is unfinished.
    """

    title: str
    source: str
    work: str
    output: str | None
    status: Literal["published", "held", "unfinished"]
    width: int
    height: int
    sar: Fraction
    rotation: int
    rate: Fraction
    duration_s: Fraction
    frames_in: int
    frames_out: int | None
    luma_exact: bool | None
    preset: str
    config_digest: str
    segments: Mapping[str, int]
    seconds: float
    version: str
    warnings: tuple[str, ...] = ()
    next_command: str | None = None


def thumbnail(
    rgb: NDArray[np.uint8], width: int = 320, sar: Fraction = Fraction(1), rotation: int = 0
) -> bytes:
    """A picture as a person would see it on a screen: square pixels, upright, `width` px wide.

    Args:
        rgb: uint8 ``[H, W, 3]``, as coded.
        width: of the result in pixels; the height follows, at most twice the width.
        sar: sample aspect ratio. rotation: degrees, anticlockwise, a multiple of 90.

    Returns:
        A WebP file, of at most `THUMBNAIL_BYTES` unless the picture is all grain.

    Raises:
        ValueError: not such a picture, or a rotation that is no quarter turn.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"rgb must be uint8 [H, W, 3], not {rgb.dtype} {rgb.shape}")
    if rotation % 90:
        raise ValueError(f"rotation must be a multiple of 90 degrees, not {rotation}")
    tall, wide = rgb.shape[0], float(rgb.shape[1] * sar)
    turn = rotation % 360
    if turn in (90, 270):
        tall, wide = wide, tall
    height = min(max(1, round(width * tall / wide)), _MAX_HEIGHT_FOR_WIDTH * width)
    upright = cv2.rotate(rgb, _TURNS[turn]) if turn else rgb
    small = cv2.resize(upright, (width, height), interpolation=cv2.INTER_AREA)
    return _webp(cv2.cvtColor(small, cv2.COLOR_RGB2BGR).astype(np.uint8))


def _webp(bgr: NDArray[np.uint8]) -> bytes:
    webp = b""
    for quality in _QUALITIES:
        _, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
        webp = encoded.tobytes()
        if len(webp) <= THUMBNAIL_BYTES:
            break
    return webp
