"""Chroma made at the working size + the source's luma → the planes of a finished frame.

Two forms. `exact_luma`: the source's Y' plane, bit for bit; Cb and Cr are solved for the wanted
a*, b* at that Y'. `lab`: L* of the source with the new a*, b* (the paper, section 3.4), which
moves Y' wherever the colour has another luma than the grey, and clips what is no R'G'B'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, Chroma
from colorize_core.media.color import (
    chroma_at_luma,
    coding,
    lab_to_srgb,
    lstar_from_luma,
    to_codes,
    unit_luma,
    ycbcr_from_rgb,
)
from colorize_core.media.luma import Samples
from colorize_core.media.master import STEPS, Merge, master_format
from colorize_core.media.source import SourceInfo
from colorize_core.upsample import upsample_chroma


class Planes(NamedTuple):
    """A finished frame: uint16 codes of the master's depth, chroma at the size of its layout."""

    y: NDArray[np.uint16]
    cb: NDArray[np.uint16]
    cr: NDArray[np.uint16]


class Merger:
    """Finishes the frames of one film.

    Args:
        info: of the film. merge: the form, as above.
        dither: for `lab`, the amplitude in units of a* and b* of a triangular dither, the same in
            every frame. Smooth chroma over an 8-bit grey leaves combs in the histograms of R'G'B'
            once that is rounded to 8 bits; dither takes them out, as in any requantisation.
    """

    def __init__(self, info: SourceInfo, merge: Merge, dither: float = 0.0) -> None:
        self._form = master_format(info, merge)
        draw = np.random.default_rng(0).random((2, info.height, info.width, 2), np.float32)
        self._dither = np.float32(dither) * (draw[0] - draw[1]) if dither else None
        self._code = coding(self._form.tags, self._form.depth)

    def finish(self, luma: Samples, chroma: Chroma | None) -> Planes:
        """The finished frame of one source frame and its colours; None leaves it grey.

        Args:
            luma: the source's Y' plane ``[H, W]``, native values.
            chroma: at any working size ``[h, w]`` of the same picture.
        """
        if self._form.merge == "lab":
            return self._with_lstar(luma, chroma)
        exact = np.left_shift(luma.astype(np.uint16), np.uint16(self._form.shift))
        width, height = self._form.chroma_size
        cb, cr = (np.full((height, width), self._code.mid, np.uint16) for _ in range(2))
        if chroma is not None:
            self._solve(luma, self._full_size(luma, chroma), cb, cr)
        return Planes(exact, cb, cr)

    def _with_lstar(self, luma: Samples, chroma: Chroma | None) -> Planes:
        lstar, ab = self._lstar(luma), self._full_size(luma, chroma)
        if self._dither is not None and chroma is not None:
            ab = ab + self._dither
        planes = Planes(*(np.empty(luma.shape, np.uint16) for _ in range(3)))
        for rows in _bands(*luma.shape):
            rgb = lab_to_srgb(np.dstack([lstar[rows], ab[rows]]))
            codes = ycbcr_from_rgb(rgb, self._form.tags, self._form.depth)
            for plane, channel in zip(planes, np.moveaxis(codes, 2, 0), strict=True):
                plane[rows] = channel
        return planes

    def _lstar(self, luma: Samples) -> F32:
        return lstar_from_luma(luma, self._form.source_depth, self._form.tags)

    def _full_size(self, luma: Samples, chroma: Chroma | None) -> F32:
        """a*, b* ``[H, W, 2]``, along the edges of the luma."""
        if chroma is None:
            return np.zeros((*luma.shape, 2), np.float32)
        height, width = chroma.confidence.shape
        small = cast(Samples, cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA))
        return upsample_chroma(chroma.ab, self._lstar(small), self._lstar(luma))

    def _solve(
        self, luma: Samples, ab: F32, cb: NDArray[np.uint16], cr: NDArray[np.uint16]
    ) -> None:
        """Writes Cb and Cr at the master's chroma sites, to which Y', a*, b* are averaged first."""
        code, tags, steps = self._code, self._form.tags, STEPS[self._form.layout]
        unit = unit_luma(luma, self._form.source_depth, tags)
        unit, ab = (at_chroma_sites(image, steps, tags.chroma_location) for image in (unit, ab))
        for rows in _bands(*cb.shape):
            blue, red = chroma_at_luma(unit[rows], ab[rows], code)
            cb[rows] = to_codes(blue * code.chroma_span + code.mid, code)
            cr[rows] = to_codes(red * code.chroma_span + code.mid, code)


_BAND_PIXELS = 16384  # arrays of so many stay in the processor's cache: twice as fast


def _bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, some at a time."""
    rows = max(1, _BAND_PIXELS // width)
    return (slice(top, top + rows) for top in range(0, height, rows))


# Where a chroma sample lies among the 2 luma samples it stands for, by FFmpeg's chroma location:
# (across, down), 0 on the first, 1 between, 2 on the second.
_SITES = {0: (0, 1), 1: (0, 1), 2: (1, 1), 3: (0, 0), 4: (1, 0), 5: (0, 2), 6: (1, 2)}
# The area of a sample is 2 luma samples wide. Weights, and which of them is on the first sample.
_WEIGHTS = {0: ((0.25, 0.5, 0.25), 1), 1: ((0.5, 0.5), 0), 2: ((0.25, 0.5, 0.25), 0)}
_NO_STEP = ((1.0,), 0)


def at_chroma_sites(image: F32, steps: tuple[int, int], location: int) -> F32:
    """Area averages of `image` ``[H, W]`` or ``[H, W, C]`` at the sites of chroma samples.

    Args:
        steps: samples of `image` for one chroma sample ``(across, down)``, 1 or 2.
        location: FFmpeg's chroma location (unspecified: left, as in MPEG-2). Edges are repeated.
    """
    if steps == (1, 1):
        return image
    across, down = steps
    site_x, site_y = _SITES[location]
    row, first_x = _WEIGHTS[site_x] if across == 2 else _NO_STEP
    column, first_y = _WEIGHTS[site_y] if down == 2 else _NO_STEP
    averaged = cv2.sepFilter2D(
        image,
        -1,
        np.array(row),
        np.array(column),
        anchor=(first_x, first_y),
        borderType=cv2.BORDER_REPLICATE,
    )
    return np.asarray(averaged[::down, ::across], np.float32)
