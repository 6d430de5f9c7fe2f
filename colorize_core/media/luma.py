"""Where the Y' samples of a decoded picture lie, for every pixel format that has them.

Nothing is converted: samples are viewed or copied, never scaled, so every path is exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from colorize_core.errors import UnsupportedSource

Samples = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
Chroma = Literal["grey", "420", "422", "444", "440", "411", "410"]

_SUBSAMPLING: dict[tuple[int, int], Chroma] = {  # of a 16 × 16 picture's chroma
    (8, 8): "420",
    (8, 16): "422",
    (16, 16): "444",
    (16, 8): "440",
    (4, 16): "411",
    (4, 4): "410",
}


@dataclass(frozen=True, slots=True)
class _Lane:
    """Samples `first`, `first + step`, … of each row of a plane."""

    plane: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True)
class LumaForm:
    """How a pixel format stores its samples.

    Attributes:
        depth: bits of a sample (8 to 16).
        chroma: layout of the chroma planes, or "grey".
        shift: unused low bits below each sample.
        big_endian: byte order of samples above 8 bits.
        lanes: of Y', then (unless grey) of the two chroma components, in no fixed order.
    """

    depth: int
    chroma: Chroma
    shift: int
    big_endian: bool
    lanes: tuple[_Lane, ...]


_PLANAR = re.compile(r"yuvj?a?\d{3}p(\d+(msb)?[lb]e)?|gray(\d+(msb)?[lb]e)?")
_SEMI_PLANAR = re.compile(r"nv(12|16|20[lb]e|21|24|42)|(?P<high>p[024]1[0-6][lb]e)")
# Packed formats: (Y' first, step), (one chroma first, step), (the other), unused low bits.
_PACKED: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]] = {
    "yuyv422": ((0, 2), (1, 4), (3, 4), 0),
    "yvyu422": ((0, 2), (1, 4), (3, 4), 0),
    "uyvy422": ((1, 2), (0, 4), (2, 4), 0),
    "y210le": ((0, 2), (1, 4), (3, 4), 6),
    "y212le": ((0, 2), (1, 4), (3, 4), 4),
    "y216le": ((0, 2), (1, 4), (3, 4), 0),
    "ayuv": ((1, 4), (2, 4), (3, 4), 0),
    "ayuv64le": ((1, 4), (2, 4), (3, 4), 0),
    "vuya": ((2, 4), (0, 4), (1, 4), 0),
    "vuyx": ((2, 4), (0, 4), (1, 4), 0),
    "xv36le": ((1, 4), (0, 4), (2, 4), 4),
}
_GREY_ALPHA = {"ya8", "ya16le"}


def luma_form(pix_fmt: str) -> LumaForm:
    """How `pix_fmt` (FFmpeg's name) stores Y'.

    Raises:
        UnsupportedSource: it has none that can be kept: RGB, palette, Bayer, XYZ, bitmaps, float.
    """
    form = VideoFormat(pix_fmt, 16, 16)
    depth = form.components[0].bits
    shift = 0
    if pix_fmt in _PACKED:
        *packed, shift = _PACKED[pix_fmt]
        lanes = tuple(_Lane(0, first, step) for first, step in packed)
    elif pix_fmt in _GREY_ALPHA:
        lanes = (_Lane(0, 0, 2),)
    elif _PLANAR.fullmatch(pix_fmt) and depth <= 16:
        shift = 16 - depth if "msb" in pix_fmt else 0
        lanes = (_Lane(0),) if pix_fmt.startswith("gray") else (_Lane(0), _Lane(1), _Lane(2))
    elif found := _SEMI_PLANAR.fullmatch(pix_fmt):
        shift = 16 - depth if found["high"] else 0
        lanes = (_Lane(0), _Lane(1, 0, 2), _Lane(1, 1, 2))
    else:
        raise UnsupportedSource(
            f"The film's pixel format, {pix_fmt}, has no luma plane that could be kept as it is.",
            "Convert it first: ffmpeg -i SOURCE -map 0 -c copy -c:v ffv1 -pix_fmt yuv444p10le "
            "converted.mkv",
        )
    grey = len(lanes) == 1
    chroma = "grey" if grey else _SUBSAMPLING[form.chroma_width(16), form.chroma_height(16)]
    return LumaForm(depth, chroma, shift, form.is_big_endian, lanes)


def luma_view(frame: VideoFrame, form: LumaForm) -> Samples:
    """Y' of a decoded frame: uint8 or uint16 ``[H, W]``, native values.

    Read-only: where the format allows it, this is the decoder's own memory, which may still serve
    as a reference for later frames. Rows may be padded.
    """
    return _view(frame, form, form.lanes[0], frame.width, frame.height)


def luma_bytes(frame: VideoFrame, form: LumaForm) -> NDArray[np.uint8]:
    """Y' as 8 bits: the view itself, or the upper bits of deeper samples. Read-only."""
    luma = luma_view(frame, form)
    if form.depth > 8:
        luma = (luma >> (form.depth - 8)).astype(np.uint8)
        luma.flags.writeable = False
    return cast(NDArray[np.uint8], luma)


def chroma_views(frame: VideoFrame, form: LumaForm) -> tuple[Samples, ...]:
    """The two chroma components (their order is the format's), or none. As `luma_view`."""
    width = frame.format.chroma_width(frame.width)
    height = frame.format.chroma_height(frame.height)
    return tuple(_view(frame, form, lane, width, height) for lane in form.lanes[1:])


def _view(frame: VideoFrame, form: LumaForm, lane: _Lane, width: int, height: int) -> Samples:
    plane = frame.planes[lane.plane]
    dtype = np.dtype(np.uint8 if form.depth == 8 else ">u2" if form.big_endian else "<u2")
    rows = np.frombuffer(cast(Any, plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
    view: Samples = rows[:height, lane.first :: lane.step][:, :width]
    if form.big_endian and form.depth > 8:
        view = view.astype(np.uint16)
    if form.shift:
        view = np.right_shift(view, form.shift, dtype=np.uint16)
    view.flags.writeable = False
    return view
