"""Colour stills as people have them: picture files of many kinds, and which frame each shows."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from colorize_core import storage
from colorize_core.engines.contract import F32, ColourStill
from colorize_core.errors import ObjectMissing, ReferenceUnusable
from colorize_core.media.color import lab_to_srgb, srgb_to_lab
from colorize_core.timebase import is_moment

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")  # no format that runs another program (EPS)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_LONGEST_SIDE = 2048  # larger stills are reduced: no part works at more
_COLOURFUL = 4.0  # a*b* distance from grey that JPEG alone does not make of a grey picture
_LEAST_COLOURFUL_SHARE = 0.001
_NOT_READABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)  # what Pillow raises


@dataclass(frozen=True, slots=True)
class ReferenceSpec:
    """A still as it was asked for: where it is, and the moment of the film that it shows."""

    uri: str
    moment: str | None = None

    def __str__(self) -> str:
        return self.uri if self.moment is None else f"{self.uri}@{self.moment}"


def parse_reference(text: str) -> ReferenceSpec:
    """``IMAGE`` or ``IMAGE@TIME``.

    What follows the last ``@`` is a TIME only where it has the form of one, since paths and URLs
    may hold an ``@``. Without it a TIME at the end of the file's stem counts (``still@f250.png``).

    Raises:
        ReferenceUnusable: nothing but a TIME.
    """
    uri, _, moment = text.rpartition("@")
    if is_moment(moment):
        if not uri:
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
    return [parse_reference(storage.join(folder, name)) for name in sorted(names, key=_natural)]


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
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            rgb = _decode(Image.open(file, formats=_FORMATS))
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
    return ColourStill(digest, srgb_to_lab(rgb.astype(np.float32) / np.float32(255)))


def has_colour(lab: F32) -> bool:
    """Whether a picture (``[H, W, 3]``, L*, a*, b*) has more than traces of colour."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    return float(np.mean(chroma > _COLOURFUL)) >= _LEAST_COLOURFUL_SHARE


def as_png(still: ColourStill) -> bytes:
    """The still as a PNG file, exact: `load_still` gives the same still back."""
    levels = np.rint(lab_to_srgb(still.lab) * np.float32(255)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def is_whole_png(data: bytes) -> bool:
    """Whether `data` is a PNG file whose checksums are right."""
    try:
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()
    except _NOT_READABLE:
        return False
    return data.endswith(b"IEND\xaeB`\x82")


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
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
        image = converted or image  # None stands for a change in place, which was not asked for
    return np.asarray(image.convert("RGB"))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
