"""Chroma made at the working size + the source's luma → the planes of a finished frame.

Two forms. `exact_luma`: the source's Y' plane, bit for bit; Cb and Cr are solved for the wanted
a*, b* at that Y'. `lab`: L* of the source with the new a*, b* (the paper, section 3.4), which
moves Y' wherever the colour has another luma than the grey, and clips what is no R'G'B'.
"""

from __future__ import annotations

from itertools import product
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
    """

    def __init__(self, info: SourceInfo, merge: Merge) -> None:
        self._form = master_format(info, merge)
        self._code = coding(self._form.tags, self._form.depth)

    def finish(self, luma: Samples, chroma: Chroma | None) -> Planes:
        """The finished frame of one source frame and its colours; None leaves it grey.

        Args:
            luma: the source's Y' plane ``[H, W]``, native values.
            chroma: at any working size ``[h, w]`` of the same picture.
        """
        if self._form.merge == "lab":
            ab = self._full_size(luma, chroma)
            rgb = lab_to_srgb(np.dstack([self._lstar(luma), ab]))
            codes = ycbcr_from_rgb(rgb, self._form.tags, self._form.depth)
            return Planes(*(np.ascontiguousarray(plane) for plane in np.moveaxis(codes, 2, 0)))
        exact = luma.astype(np.uint16) << self._form.shift
        if chroma is None:
            width, height = self._form.chroma_size
            neutral = np.full((height, width), self._code.mid, np.uint16)
            return Planes(exact, neutral, neutral)
        return Planes(exact, *self._solved(luma, self._full_size(luma, chroma)))

    def _lstar(self, luma: Samples) -> F32:
        return lstar_from_luma(luma, self._form.source_depth, self._form.tags)

    def _full_size(self, luma: Samples, chroma: Chroma | None) -> F32:
        """a*, b* ``[H, W, 2]``, along the edges of the luma."""
        if chroma is None:
            return np.zeros((*luma.shape, 2), np.float32)
        height, width = chroma.confidence.shape
        small = cast(Samples, cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA))
        return upsample_chroma(chroma.ab, self._lstar(small), self._lstar(luma))

    def _solved(self, luma: Samples, ab: F32) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Cb and Cr codes at the master's chroma sites, where Y', a* and b* are averaged first."""
        form, code = self._form, self._code
        unit = unit_luma(luma, form.source_depth, form.tags)
        sited = at_chroma_sites(
            np.dstack([unit, ab]), STEPS[form.layout], form.tags.chroma_location
        )
        cb, cr = chroma_at_luma(sited[..., 0], sited[..., 1:], code)
        return (
            to_codes(cb * code.chroma_span + code.mid, code),
            to_codes(cr * code.chroma_span + code.mid, code),
        )


# Where a chroma sample lies among the 2 luma samples it stands for, by FFmpeg's chroma location:
# (across, down), 0 on the first, 1 between, 2 on the second.
_SITES = {0: (0, 1), 1: (0, 1), 2: (1, 1), 3: (0, 0), 4: (1, 0), 5: (0, 2), 6: (1, 2)}
# A sample between two is their mean: one window of 2. A sample on one of them is weighted 1 2 1:
# the mean of the two windows that hold it.
_WINDOWS = {0: (-1, 0), 1: (0,), 2: (0, 1)}


def at_chroma_sites(image: F32, steps: tuple[int, int], location: int) -> F32:
    """Area averages of `image` ``[H, W, C]`` at the sites of chroma samples.

    Args:
        steps: samples of `image` for one chroma sample ``(across, down)``, 1 or 2.
        location: FFmpeg's chroma location (unspecified: left, as in MPEG-2). Edges are repeated.
    """
    across, down = steps
    if steps == (1, 1):
        return image
    height, width = -(-image.shape[0] // down), -(-image.shape[1] // across)
    site_x, site_y = _SITES[location]
    rows = _WINDOWS[site_y] if down == 2 else (0,)
    columns = _WINDOWS[site_x] if across == 2 else (0,)
    padded = cv2.copyMakeBorder(image, 1, 2, 1, 2, cv2.BORDER_REPLICATE)
    total = np.zeros((height, width, image.shape[2]), np.float32)
    for y, x in product(rows, columns):
        window = padded[1 + y : 1 + y + height * down, 1 + x : 1 + x + width * across]
        total += cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA)
    return total / np.float32(len(rows) * len(columns))
