"""How wrong a colour is expected to be: the one scale on which carried colours, look-alikes and
guesses are weighed, each by the inverse of its expected squared error (in a*b* units, squared).

Confidence is the same on a scale from 0 to 1: one half where the expected error is 8 units.
The constants were measured on the errors of middle frames' colours carried through DAVIS.
"""

from __future__ import annotations

import numpy as np

from colorize_core.engines.contract import F32

_HALF = np.float32(64.0)  # squared error at which confidence is one half
_MOST = np.float32(6400.0)  # a colour without any confidence
LEAST_ERROR = np.float32(3.5)  # of what is carried by a perfect match: grain, compression, rounding
_MATCHED = np.float32(3.3)


def expected_error(confidence: F32) -> F32:
    """Expected squared error of colours of this confidence; 0 where it is 1."""
    floor = _HALF / (_HALF + _MOST)
    return np.asarray(_HALF / np.maximum(confidence, floor) - _HALF, np.float32)


def confidence_of(error: F32) -> F32:
    """The inverse of `expected_error`: float32 in [0, 1], 0 for what it gives at confidence 0."""
    return np.where(error < _MOST, _HALF / (_HALF + error), np.float32(0)).astype(np.float32)


def precision(confidence: F32) -> F32:
    """The weight of colours of this confidence."""
    return np.reciprocal(LEAST_ERROR + expected_error(confidence))


def walk_error(mismatch: F32, inconsistency: F32) -> F32:
    """What a walk adds to the expected squared error.

    Args:
        mismatch: how far the warped source's L* is from the frame's, local mean square root.
        inconsistency: squared forward–backward error summed on the way, in units of
            `consistency_px` squared.
    """
    return LEAST_ERROR * (1 + mismatch) ** np.float32(1.25) * np.cbrt(1 + inconsistency)


def likeness_error(distance: F32) -> F32:
    """What a look-alike adds, by its squared patch distance (L*²)."""
    return LEAST_ERROR * (1 + distance)


def match_error(confidence: F32) -> F32:
    """Of colours that were matched without a walk: where few are wrong, those are far off."""
    return _MATCHED * (LEAST_ERROR + expected_error(confidence))
