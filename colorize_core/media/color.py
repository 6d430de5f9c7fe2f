"""Colour: what a film's samples mean, and the way to CIE L*a*b* and back.

R'G'B' is taken as sRGB-like (its transfer curve and primaries, D65) whatever the primaries and
transfer tags say; matrix, range and depth are the film's own. "Codes" are the integers in a plane.
Formulas: ITU-T H.273 (matrices, quantisation), IEC 61966-2-1 (sRGB), CIE 15 (L*a*b*).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.errors import UnsupportedSource
from colorize_core.media.source import ColourTags, SourceInfo

BT709, UNSPECIFIED, SMPTE170M = 1, 2, 6
LIMITED, FULL = 1, 2
CHROMA_LEFT = 1

# Kr and Kb of H.273's MatrixCoefficients.
_WEIGHTS: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG
    6: (0.299, 0.114),  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
}

# Linear sRGB from XYZ relative to the D65 white, so that (1, 1, 1) is white on both sides.
_XYZ_FROM_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB / _XYZ_FROM_RGB.sum(1, keepdims=True)).astype(
    np.float32
)
_DELTA = 6 / 29  # where the cube root of L*a*b* gives way to a line


def resolve_tags(info: SourceInfo) -> ColourTags:
    """The film's tags with everything unspecified decided, as players decide it.

    Matrix: BT.709 from 720 lines on, SMPTE 170M below. Range: limited; full for ``yuvj*`` and for
    grey formats (swscale reads them so). Primaries, transfer: BT.709. Chroma location: left, the
    default of MPEG-2 and of all after it; 0 where no chroma plane is subsampled.

    Raises:
        UnsupportedSource: chroma planes of a matrix without a Y' (RGB, YCgCo, constant luminance).
    """
    tags = info.tags
    grey = info.chroma == "grey"
    matrix = tags.matrix
    if matrix == UNSPECIFIED or (grey and matrix not in _WEIGHTS):
        matrix = BT709 if info.height >= 720 else SMPTE170M
    if matrix not in _WEIGHTS:
        raise UnsupportedSource(
            f"The film's colour matrix (H.273 code {matrix}) has no luma plane that can be kept.",
            "Convert the film to BT.709 Y'CbCr first.",
        )
    full = grey or info.pix_fmt.startswith("yuvj")
    subsampled = info.chroma not in ("grey", "444")
    return ColourTags(
        matrix=matrix,
        primaries=BT709 if tags.primaries == UNSPECIFIED else tags.primaries,
        transfer=BT709 if tags.transfer == UNSPECIFIED else tags.transfer,
        range=tags.range or (FULL if full else LIMITED),
        chroma_location=(tags.chroma_location or CHROMA_LEFT) if subsampled else 0,
    )


@dataclass(frozen=True, slots=True)
class Coding:
    """How Y'CbCr of one matrix, range and depth becomes codes.

    Y' in [0, 1] is ``black + luma_span · Y'``; Cb and Cr in [-½, ½] are ``mid + chroma_span · C``.
    """

    kr: float
    kb: float
    depth: int
    black: int
    luma_span: int
    chroma_span: int

    @property
    def mid(self) -> int:
        return 1 << (self.depth - 1)

    @property
    def top(self) -> int:
        return (1 << self.depth) - 1

    @property
    def weights(self) -> F32:
        """Y' of R', G', B': float32 ``[3]``, sum 1."""
        return np.array([self.kr, 1 - self.kr - self.kb, self.kb], np.float32)


def coding(tags: ColourTags, depth: int) -> Coding:
    """The coding of resolved `tags` at `depth` bits (8 to 16)."""
    kr, kb = _WEIGHTS[tags.matrix]
    if tags.range == FULL:
        return Coding(kr, kb, depth, 0, (1 << depth) - 1, (1 << depth) - 1)
    step = 1 << (depth - 8)
    return Coding(kr, kb, depth, 16 * step, 219 * step, 224 * step)


def lstar_from_luma(luma: NDArray[np.unsignedinteger], depth: int, tags: ColourTags) -> F32:
    """L* of the grey (Y', Y', Y') of each sample: float32 in [0, 100], shape of `luma`.

    `luma` are uint8 or uint16 codes of `depth` bits; `tags` are resolved.
    """
    return _looked_up(_lstar_table(coding(tags, depth)), luma)


def unit_luma(luma: NDArray[np.unsignedinteger], depth: int, tags: ColourTags) -> F32:
    """Y' in [0, 1] of each code: float32, headroom and footroom clipped."""
    return _looked_up(_luma_table(coding(tags, depth)), luma)


def _looked_up(table: F32, codes: NDArray[np.unsignedinteger]) -> F32:
    if codes.dtype == np.uint8:
        return np.asarray(cv2.LUT(codes, table), np.float32)  # 7 times as fast, for 8 bits only
    return np.take(table, codes)


@lru_cache(maxsize=8)
def _luma_table(code: Coding) -> F32:
    steps = (np.arange(code.top + 1, dtype=np.float64) - code.black) / code.luma_span
    return np.clip(steps, 0, 1).astype(np.float32)


@lru_cache(maxsize=8)
def _lstar_table(code: Coding) -> F32:
    return lstar_from_grey(_luma_table(code).astype(np.float64)).astype(np.float32)


def lstar_from_grey(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """L* of the sRGB grey (v, v, v), v in [0, 1]."""
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    cube = np.where(linear > _DELTA**3, np.cbrt(linear), linear / (3 * _DELTA**2) + 4 / 29)
    return 116 * cube - 16


def srgb_to_lab(rgb: F32) -> F32:
    """L*, a*, b* (D65) of sRGB in [0, 1]: float32 ``[H, W, 3]`` both."""
    # OpenCV's own path from sRGB interpolates in a coarse table: 0.5 off in a*. From linear: 0.02.
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** np.float32(2.4))
    return lab_of_light(light)


def lab_of_pixels(rgb: NDArray[np.uint8]) -> F32:
    """L*, a*, b* (D65) of 8-bit sRGB ``[H, W, 3]``."""
    return srgb_to_lab(rgb.astype(np.float32) / np.float32(255))


def lab_to_srgb(lab: F32) -> F32:
    """sRGB, clipped to [0, 1], of L*, a*, b* (D65): float32 ``[H, W, 3]`` both."""
    return _curve(light_of_lab(lab))


def lab_of_light(light: F32) -> F32:
    """L*, a*, b* (D65) of linear light of sRGB's primaries, clipped to [0, 1]: float32
    ``[H, W, 3]`` both."""
    return np.asarray(cv2.cvtColor(light, cv2.COLOR_LRGB2LAB), np.float32)


def light_of_lab(lab: F32) -> F32:
    """Linear light of sRGB's primaries, clipped to [0, 1], of L*, a*, b* (D65): float32
    ``[H, W, 3]`` both."""
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2LRGB), np.float32)


def _curve(light: F32) -> F32:
    """sRGB of linear light, odd: negative light gives negative values."""
    size = np.abs(light)
    power = np.float32(1.055) * np.power(size, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.copysign(np.where(size > 0.0031308, power, size * np.float32(12.92)), light)


def ycbcr_from_rgb(rgb: F32, tags: ColourTags, depth: int) -> NDArray[np.uint16]:
    """Y', Cb, Cr codes of R'G'B' in [0, 1]: ``[H, W, 3]`` both. Rounded once, at the end."""
    code = coding(tags, depth)
    luma = code.weights.astype(np.float64)
    red, blue = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    rows = np.stack(
        [
            luma * code.luma_span,
            (blue - luma) * code.chroma_span / (2 * (1 - code.kb)),
            (red - luma) * code.chroma_span / (2 * (1 - code.kr)),
        ]
    )
    offset = np.array([code.black, code.mid, code.mid])
    return to_codes(_transform(rgb, np.column_stack([rows, offset]).astype(np.float32)), code)


def rgb_from_ycbcr(codes: NDArray[np.unsignedinteger], tags: ColourTags, depth: int) -> F32:
    """R'G'B' clipped to [0, 1], float32, of Y', Cb, Cr codes ``[H, W, 3]``."""
    code = coding(tags, depth)
    unit = codes.astype(np.float32)
    unit -= np.array([code.black, code.mid, code.mid], np.float32)
    unit /= np.array([code.luma_span, code.chroma_span, code.chroma_span], np.float32)
    rows = np.column_stack([np.ones(3, np.float32), offsets_from_chroma(code)])
    return np.clip(_transform(unit, rows), 0, 1)


def offsets_from_chroma(code: Coding) -> NDArray[np.float32]:
    """``[3, 2]``: R' - Y', G' - Y' and B' - Y' from Cb and Cr."""
    to_blue, to_red = 2 * (1 - code.kb), 2 * (1 - code.kr)
    green = 1 - code.kr - code.kb
    return np.array(
        [[0, to_red], [-code.kb * to_blue / green, -code.kr * to_red / green], [to_blue, 0]],
        np.float32,
    )


def _transform(image: F32, matrix: F32) -> F32:
    """`matrix` times each pixel, with a last column as offset where it has one more."""
    return np.asarray(cv2.transform(image, matrix), np.float32)


def to_codes(values: F32, code: Coding) -> NDArray[np.uint16]:
    """Codes from code values before rounding: half up, kept inside the depth."""
    return np.clip(values + np.float32(0.5), 0, code.top).astype(np.uint16)


# -- colours at a given luma -----------------------------------------------------------------

_FINE = 4096  # nodes of the table from Y' to f(Y); between them the error is under 0.03 L*


@lru_cache(maxsize=1)
def _cube_table() -> F32:
    return ((lstar_from_grey(np.linspace(0, 1, _FINE)) + 16) / 116).astype(np.float32)


def chroma_at_luma(luma: F32, ab: F32, code: Coding) -> tuple[F32, F32]:
    """Cb and Cr, in [-½, ½], that give pixels of this Y' the colours a*, b*.

    L* is free: it is solved so that the colour's Y' is the given one, by one step from the L* of
    the grey of that Y' (mean error 0.04 in a*b* for |a*|, |b*| up to 40). Where the colour lies
    outside R'G'B' it is desaturated towards the grey at the same Y', along a line in Cb, Cr, which
    keeps its hue. No colour gives no chroma.

    Args:
        luma: float32 ``[H, W]`` in [0, 1]. ab: float32 ``[H, W, 2]``.
    """
    weights = code.weights
    missing = luma - _transform(_rgb_beside_grey(luma, ab), weights[None])
    rgb = _rgb_beside_grey(luma + missing, ab)
    red, green, blue = cv2.split(_transform(rgb, np.eye(3, dtype=np.float32) - weights))
    above = cv2.max(cv2.max(red, green), blue)  # ≥ 0 ≥ below: their weighted sum is 0
    below = cv2.min(cv2.min(red, green), blue)
    room = np.minimum((1 - luma) / np.maximum(above, _TINY), luma / np.maximum(-below, _TINY))
    room = np.minimum(room, 1)
    return (
        blue * room * np.float32(0.5 / (1 - code.kb)),
        red * room * np.float32(0.5 / (1 - code.kr)),
    )


_TINY = np.float32(1e-9)
_A_SCALE, _B_SCALE = np.float32(500), np.float32(200)


def _rgb_beside_grey(luma: NDArray[np.floating], ab: F32) -> F32:
    """R'G'B' of (L* of the grey of `luma`, a*, b*), not clipped: negative light stays negative."""
    a, b = ab[..., 0], ab[..., 1]
    fy: F32 = np.take(_cube_table(), (luma * (_FINE - 1) + 0.5).astype(np.int32), mode="clip")
    xyz = np.dstack([_cube(fy + a / _A_SCALE), _cube(fy), _cube(fy - b / _B_SCALE)])
    return _curve(_transform(xyz, _RGB_FROM_XYZ))


def _cube(root: NDArray[np.floating]) -> F32:
    line = np.float32(3 * _DELTA**2) * (root - np.float32(4 / 29))
    return np.where(root > _DELTA, root * root * root, line)
