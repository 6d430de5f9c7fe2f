"""Which colours a picture has at each lightness: what pictures of the same things share, however
those have moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32

_LEVELS = 8
_LEAST_SHARE = 1e-3  # of a picture: what has fewer pixels at a lightness says nothing of it

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """Of each of 8 levels of lightness: `share` of the picture's pixels, float64 ``[8]``, sum 1;
    `ab`: mean a*b* of those pixels, float64 ``[8, 2]``."""

    share: F64
    ab: F64

    @classmethod
    def of(cls, lstar: F32, ab: F32) -> Palette:
        """Of a picture: L* ``[H, W]``, a*b* ``[H, W, 2]``. A pixel counts for the two levels that
        it lies between, so that a little more light changes little."""
        place = np.clip(lstar.ravel() * ((_LEVELS - 1) / 100), 0, _LEVELS - 1)
        below = np.minimum(place.astype(np.intp), _LEVELS - 2)
        above = place - below

        def total(values: NDArray[np.floating] | float) -> F64:
            low = np.bincount(below, (1 - above) * values, _LEVELS)
            high = np.bincount(below + 1, above * values, _LEVELS)
            return np.asarray(low + high, np.float64)

        count = total(1.0)
        sums = np.stack([total(ab[..., 0].ravel()), total(ab[..., 1].ravel())], axis=1)
        return cls(count / count.sum(), sums / np.maximum(count, 1e-9)[:, None])

    def drift_from(self, reference: Palette) -> float:
        """How far the colours lie from the reference's at the same lightness: a*b* units, root mean
        square over pixels. Lightness that the reference has not counts for nothing."""
        apart = np.square(self.ab - reference.ab).sum(axis=1)
        known = reference.share >= _LEAST_SHARE
        return float(np.sqrt((self.share * known * apart).sum()))
