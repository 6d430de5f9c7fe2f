"""Which colours a picture has at each lightness: what pictures of the same things share, however
those have moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32

_LEVELS = 8
_COLOURED = 5.0  # a*b* units from the grey axis: the least that people take for a colour
_LEAST_SHARE = 1e-3  # of a picture: what has fewer pixels at a lightness says nothing of it

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """Of each of 8 levels of lightness, float64.

    Attributes:
        share: of the picture's pixels, ``[8]``, sum 1.
        ab: mean a*b* of its pixels, ``[8, 2]``.
        coloured: share of its pixels that have a colour, ``[8]``.
    """

    share: F64
    ab: F64
    coloured: F64

    @classmethod
    def of(cls, lstar: F32, ab: F32) -> Palette:
        """Of a picture: L* ``[H, W]``, a*b* ``[H, W, 2]``. A pixel counts for the two levels that
        it lies between, so that a little more light changes little."""
        place = np.clip(lstar.ravel() * ((_LEVELS - 1) / 100), 0, _LEVELS - 1)
        below = np.minimum(place.astype(np.intp), _LEVELS - 2)
        above = place - below
        a, b = ab[..., 0].ravel(), ab[..., 1].ravel()
        has_colour = a * a + b * b >= _COLOURED**2

        def total(values: NDArray[np.floating] | NDArray[np.bool_] | float) -> F64:
            low = np.bincount(below, (1 - above) * values, _LEVELS)
            return low + np.bincount(below + 1, above * values, _LEVELS)

        count = total(1.0)
        safe = np.maximum(count, 1e-9)
        means = np.stack([total(a), total(b)], axis=1) / safe[:, None]
        return cls(count / count.sum(), means, total(has_colour) / safe)

    def drift_from(self, reference: Palette) -> float:
        """How far the colours lie from the reference's at the same lightness: a*b* units, root mean
        square over pixels. Lightness that the reference has not counts for nothing."""
        apart = np.square(self.ab - reference.ab).sum(axis=1)
        return float(np.sqrt((self.share * reference._known * apart).sum()))

    def greyer_than(self, reference: Palette) -> float:
        """Share of the picture that has no colour where the reference has some, in [0, 1]."""
        lost = np.maximum(reference.coloured - self.coloured, 0)
        return float((self.share * reference._known * lost).sum())

    @property
    def _known(self) -> NDArray[np.bool_]:
        return self.share >= _LEAST_SHARE
