"""Colour stills as people have them: picture files of many kinds, and which frame each shows."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from colorize_core import storage
from colorize_core.engines.contract import F32, ColourStill
from colorize_core.errors import ObjectMissing, ReferenceUnusable
from colorize_core.media.color import lab_of_pixels, lab_to_srgb
from colorize_core.timebase import is_moment

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")  # no format that runs another program (EPS)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_LONGEST_SIDE = 2048  # larger stills are reduced: no part works at more
_COLOURFUL = 4.0  # a*b* distance from grey that JPEG alone does not make of a grey picture
_LEAST_COLOURFUL_SHARE = 0.001
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_FRAME = 12  # bytes of a chunk besides its content: length, kind, checksum
_NAME = "kinecolor.name"
_KEEPS_TONE = ".keep"  # at the end of a still's name, before its TIME and its ending
_NOT_READABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)  # what Pillow raises


@dataclass(frozen=True, slots=True)
class ReferenceSpec:
    """A still as it was asked for: where it is, and the moment of the film that it shows."""

    uri: str
    moment: str | None = None

    @property
    def keeps_tone(self) -> bool:
        """Whether its name says that its tone is to stay: ``dusk.keep.png``."""
        stem = storage.name_of(self.uri).rpartition(".")[0]
        return stem.removesuffix(f"@{self.moment}").endswith(_KEEPS_TONE)

    def __str__(self) -> str:
        return self.uri if self.moment is None else f"{self.uri}@{self.moment}"


def is_picture(text: str) -> bool:
    """Whether ``IMAGE`` or ``IMAGE@TIME`` names a picture file, by its ending."""
    return parse_reference(text).uri.lower().endswith(PICTURE_SUFFIXES)


def parse_reference(text: str) -> ReferenceSpec:
    """``IMAGE`` or ``IMAGE@TIME``.

    What follows the last ``@`` is a TIME only where it has the form of one, since paths and URLs
    may hold an ``@``. Without it a TIME at the end of the file's stem counts (``still@f250.png``).

    Raises:
        ReferenceUnusable: nothing but a TIME.
    """
    uri, _, moment = text.rpartition("@")
    if is_moment(moment):
        if not uri or uri.endswith("/"):
            raise ReferenceUnusable(
                f"“{text}” names a moment and no picture.", "Write IMAGE@TIME: still.png@f250."
            )
        return ReferenceSpec(uri, moment)
    stem = storage.name_of(text).rpartition(".")[0]
    moment = stem.rpartition("@")[2]
    return ReferenceSpec(text, moment if stem != moment and is_moment(moment) else None)


def list_references(folder: str) -> list[ReferenceSpec]:
    """Every picture file directly in a folder, in natural order (``still2`` before ``still10``).

    Raises:
        ReferenceUnusable: no such folder, or no picture in it.
    """
    names = [
        name
        for name in storage.list_names(folder)
        if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
    ]
    if not names:
        raise ReferenceUnusable(
            f"There is no picture in the folder {storage.redact(folder)}.",
            f"Put colour stills there ({', '.join(PICTURE_SUFFIXES)}).",
        )
    return [
        parse_reference(storage.join(folder, name)) for name in sorted(names, key=natural_order)
    ]


def load_still(uri: str) -> ColourStill:
    """The colour still in a picture file, as it is shown: turned as EXIF says, in sRGB.

    An embedded colour profile is applied, transparent parts lie over white, 16 bits become 8, and
    a picture over 2048 pixels wide or high is reduced to that.

    Returns:
        `frame` is None. `digest` names the pixels, so a copy or a renamed file has the same one.

    Raises:
        ReferenceUnusable: missing, no picture, damaged, too large, or without any colour.
        StorageError: the store failed.
    """
    shown = storage.redact(uri)
    try:
        with storage.open_read(uri) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd and can be read all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            rgb = _decode(Image.open(file, formats=FORMATS))
    except ObjectMissing as error:
        raise ReferenceUnusable(
            f"There is no colour still at {shown}.", "Check the path or URL."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ReferenceUnusable(
            f"The colour still {shown} has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels.",
            "Reduce it: the film's own size is enough.",
        ) from error
    except ImageCms.PyCMSError as error:
        raise ReferenceUnusable(
            f"The colour profile inside {shown} cannot be used.", "Save the picture as sRGB."
        ) from error
    except _NOT_READABLE as error:
        raise ReferenceUnusable(
            f"{shown} is not a picture that can be read.", "Save it as PNG, JPEG, TIFF or WebP."
        ) from error
    still = still_of(rgb)
    if not has_colour(still.lab):
        raise ReferenceUnusable(
            f"The still {shown} has no colour.", "Colour it in a paint program, or give another."
        )
    return still


def still_of(rgb: NDArray[np.uint8]) -> ColourStill:
    """The still of sRGB pixels, uint8 ``[H, W, 3]``, named by them."""
    digest = hashlib.sha256(f"{rgb.shape[1]}x{rgb.shape[0]}".encode() + rgb.tobytes()).hexdigest()
    return ColourStill(digest, lab_of_pixels(rgb))


def has_colour(lab: F32) -> bool:
    """Whether a picture (``[H, W, 3]``, L*, a*, b*) has more than traces of colour."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    return float(np.mean(chroma > _COLOURFUL)) >= _LEAST_COLOURFUL_SHARE


def as_png(still: ColourStill, name: str = "") -> bytes:
    """The still as a PNG file, exact: `load_still` gives the same still back. `name` (ASCII) is
    written into a file whose name is no digest of its pixels; empty: none is."""
    texts = PngInfo()
    if name:
        texts.add_text(_NAME, name)
    buffer = io.BytesIO()
    Image.fromarray(_levels(still)).save(buffer, "PNG", compress_level=1, pnginfo=texts)
    return buffer.getvalue()


def keep_still(
    still: ColourStill, uri: str, *, named: bool = False
) -> Literal["", "missing", "damaged"]:
    """Stores the still, unless it is there. Returns what was wrong. `named`: its digest is not of
    its pixels, but of what made it (`as_png`).

    Raises:
        StorageError: the store failed.
    """
    name = storage.name_of(uri) if named else ""
    try:
        data = storage.read(uri)
        if is_png_named(data, name) if named else _is_png_of(data, still):
            return ""
        wrong = "damaged"
    except ObjectMissing:
        wrong = "missing"
    storage.replace_atomically(uri, as_png(still, name))
    return wrong


def _is_png_of(data: bytes, still: ColourStill) -> bool:
    if not _png_chunks(data):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.array_equal(np.asarray(image), _levels(still))
    except (*_NOT_READABLE, Image.DecompressionBombError):
        return False


def is_png_named(data: bytes, name: str) -> bool:
    """Whether `data` is a whole file of `as_png` with this name in it."""
    return (b"tEXt", f"{_NAME}\0{name}".encode()) in _png_chunks(data)


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG file; none where any bit is not as it was written.
    (Pillow's `verify` leaves a few bits open.)"""
    if not data.startswith(_PNG_SIGNATURE):
        return []
    found = []
    at = len(_PNG_SIGNATURE)
    while at + _PNG_FRAME <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        named, checksum = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if checksum != zlib.crc32(named).to_bytes(4, "big"):
            return []
        found.append((named[:4], named[4:]))
        at += _PNG_FRAME + length
    ends = [kind for kind, _ in found].count(b"IEND")
    return found if at == len(data) and ends == 1 and found[-1] == (b"IEND", b"") else []


def _levels(still: ColourStill) -> NDArray[np.uint8]:
    """sRGB, uint8 ``[H, W, 3]``."""
    return np.rint(lab_to_srgb(still.lab) * np.float32(255)).astype(np.uint8)


def as_stored_picture(still: ColourStill, rotation: int) -> ColourStill:
    """A still as people see the film, turned to lie as the film's stored picture does.

    Sample aspect needs nothing: parts stretch a still that shows a frame to the frame's size.

    Args:
        rotation: `SourceInfo.rotation`, degrees anticlockwise from stored to shown.
    """
    lab = np.ascontiguousarray(np.rot90(still.lab, k=-rotation // 90))
    return ColourStill(still.digest, lab, still.frame)


def _decode(image: Image.Image) -> NDArray[np.uint8]:
    """sRGB, uint8 ``[H, W, 3]``."""
    is_grey = image.mode.startswith(("1", "L", "I", "F"))
    profile = None if is_grey else image.info.get("icc_profile")
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BOX)
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    if image.mode not in {"RGB", "CMYK"}:
        image = image.convert("RGB")
    if profile:
        embedded = _profile(profile)
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
        image = converted or image  # None stands for a change in place, which was not asked for
    return np.asarray(image.convert("RGB"))


def _profile(data: bytes) -> ImageCms.ImageCmsProfile:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(data))
    except OSError as error:
        raise ImageCms.PyCMSError("not a profile") from error


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts names with numbers in them as people count."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
