"""Colour stills that are none, or not what they seem, and moments that are in no film."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.bad_input.case import Case, Place, Published, Refused
from tests.bad_input.containers import FRAMES
from tests.media_factory import colour_picture


def _encoded(
    form: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    picture = Image.fromarray(colour_picture(0, 0, *size)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _still(name: str, make: Callable[[], bytes]) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        still = place.given(name, make())
        return place.command(place.film(), "--reference", f"{still}@f0")

    return command


def _moment(moment: str) -> Callable[[Place], list[str]]:
    return lambda place: place.command(place.film(), "--reference", f"{place.still()}@{moment}")


def _reference(text: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        place.still()
        return place.command(place.film(), f"--reference={text}")

    return command


def _folder(*names: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        folder = place.folder / "stills"
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(_encoded("PNG"))
        return place.command(place.film(), "--references", folder)

    return command


def _declared(width: int, height: int) -> bytes:
    """A small PNG whose header speaks of another size."""
    data = bytearray(_encoded("PNG"))
    struct.pack_into(">II", data, 16, width, height)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def _bomb() -> bytes:
    """A PNG of few bytes with 20 GB of text in it, as it says (really 64 MiB)."""
    data = _encoded("PNG")
    content = b"Comment\0\0" + zlib.compress(bytes(2**26), 9)
    chunk = b"zTXt" + content
    text = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:33] + text + data[33:]


def _deep() -> bytes:
    samples = np.random.default_rng(0).integers(0, 2**16, (48, 64), np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG")
    return buffer.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    return _encoded("JPEG", size=(48, 64), exif=exif)


def _film_of_pictures(form: str) -> bytes:
    shades = [Image.new("RGB", (64, 48), (0, shade, 0)) for shade in (50, 150)]
    buffer = io.BytesIO()
    shades[0].save(buffer, form, save_all=True, append_images=shades[1:])
    return buffer.getvalue()


_NO_PICTURE = "is not a picture that can be read"
_NO_MOMENT = "There is no colour still at"  # what follows the @ belongs to a name
_HUGE_PROFILE = bytes(2**20)
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
_POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n(x) (w) file\n"

_PICTURES: dict[str, tuple[str, Callable[[], bytes], Published | Refused]] = {
    "a still that is text": ("a.png", lambda: b"no picture", Refused(_NO_PICTURE)),
    "an empty still": ("a.png", lambda: b"", Refused(_NO_PICTURE)),
    "a cut PNG": ("a.png", lambda: _encoded("PNG")[:-900], Refused(_NO_PICTURE)),
    "a cut JPEG": ("a.jpg", lambda: _encoded("JPEG")[:-300], Refused(_NO_PICTURE)),
    "a PNG of a header": ("a.png", lambda: _encoded("PNG")[:33], Refused(_NO_PICTURE)),
    "a PNG with flipped bits": (
        "a.png",
        lambda: _encoded("PNG")[:400] + bytes(99) + _encoded("PNG")[499:],
        Refused(_NO_PICTURE),
    ),
    "a still of one pixel": ("a.png", lambda: _encoded("PNG", size=(1, 1)), Published(FRAMES)),
    "a still of one line": ("a.png", lambda: _encoded("PNG", size=(3000, 1)), Published(FRAMES)),
    "50000×50000 pixels": (
        "a.png",
        lambda: _declared(50_000, 50_000),
        Refused("more than .* pixels"),
    ),
    "no pixels": ("a.png", lambda: _declared(0, 0), Refused(_NO_PICTURE)),
    "text that grows": ("a.png", _bomb, Refused(_NO_PICTURE)),
    "CMYK": ("a.jpg", lambda: _encoded("JPEG", "CMYK"), Published(FRAMES)),
    "L*a*b*": ("a.tif", lambda: _encoded("TIFF", "LAB"), Published(FRAMES)),
    "a palette as a still": ("a.png", lambda: _encoded("PNG", "P"), Published(FRAMES)),
    "16 bits of grey as a still": ("a.png", _deep, Refused("has no colour")),
    "one bit of grey as a still": ("a.png", lambda: _encoded("PNG", "1"), Refused("has no colour")),
    "a transparent still": ("a.png", lambda: _encoded("PNG", "RGBA"), Published(FRAMES)),
    "a turned still": ("a.jpg", _turned, Published(FRAMES)),
    "a profile that is none": (
        "a.png",
        lambda: _encoded("PNG", icc_profile=b"profile"),
        Refused("colour profile"),
    ),
    "a huge profile that is none": (
        "a.png",
        lambda: _encoded("PNG", icc_profile=_HUGE_PROFILE),
        Refused("colour profile|" + _NO_PICTURE),
    ),
    "an animated GIF": ("a.gif", lambda: _film_of_pictures("GIF"), Refused(_NO_PICTURE)),
    "an animated WebP": ("a.webp", lambda: _film_of_pictures("WEBP"), Published(FRAMES)),
    "an SVG as a still": ("a.svg", lambda: _SVG, Refused(_NO_PICTURE)),
    "an SVG that is called PNG": ("a.png", lambda: _SVG, Refused(_NO_PICTURE)),
    "PostScript": ("a.eps", lambda: _POSTSCRIPT, Refused(_NO_PICTURE)),
    "a HEIC by its name": (
        "a.heic",
        lambda: b"\0\0\0\x18ftypheic" + bytes(99),
        Refused(_NO_PICTURE),
    ),
    "a film as a still": ("a.mkv", lambda: b"\x1a\x45\xdf\xa3" + bytes(99), Refused(_NO_PICTURE)),
}

CASES = (
    *(Case(name, _still(file, make), outcome) for name, (file, make, outcome) in _PICTURES.items()),
    Case("a moment past the end", _moment("f12"), Refused("outside the film")),
    Case("a moment far past the end", _moment("f999999999999"), Refused("outside the film")),
    Case(
        "a moment of too many digits", _moment("f" + "9" * 5000), Refused(_NO_MOMENT + "|too long")
    ),
    Case("seconds past the end", _moment("999999999999.5"), Refused("outside the film")),
    Case("seconds of too many digits", _moment("9" * 400), Refused(_NO_MOMENT + "|too long")),
    Case("a negative moment", _moment("-1"), Refused(_NO_MOMENT)),
    Case("a negative frame", _moment("f-1"), Refused(_NO_MOMENT)),
    Case("half a frame", _moment("f1.5"), Refused(_NO_MOMENT)),
    Case("no number", _moment("nan"), Refused(_NO_MOMENT)),
    Case("no end", _moment("inf"), Refused(_NO_MOMENT)),
    Case("a power", _moment("1e400"), Refused(_NO_MOMENT)),
    Case("other digits", _moment("f٣"), Refused(_NO_MOMENT)),
    Case("a label past the end", _moment("00:00:00:999"), Refused("outside the film")),
    Case("a label of days", _moment("999999:59:59;29"), Refused("outside the film")),
    Case("minutes above 59", _moment("00:99:99"), Refused("outside the film")),
    Case("a moment and no picture", _reference("@f3"), Refused("no picture")),
    Case("no still", _reference(""), Refused("empty|no picture")),
    Case("a still on an unknown protocol", _reference("gopher://host/a.png"), Refused("gopher")),
    Case("a folder without pictures", _folder("a.txt"), Refused("no picture in the folder")),
    Case(
        "a folder of a picture that is named for a moment past the end",
        _folder("a@f99.png"),
        Refused("outside the film"),
    ),
    Case("a folder of hidden pictures", _folder(".a.png"), Refused("no picture in the folder")),
)
