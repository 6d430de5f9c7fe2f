"""Colours as a smooth function of what a place looks like and where it lies, learnt from frames
whose colours are known: an educated guess for what those frames do not show.

Kernel ridge regression on a few hundred centres (Rasmussen and Williams, Gaussian Processes for
Machine Learning, 2006, section 8.3.1). Far from all that it has learnt it falls back to the mean
colour, which errs least; a look-alike's full colour at a wrong place costs twice as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from colorize_core.engines.contract import F32, Chroma
from colorize_core.engines.exemplar.doubt import LEAST_ERROR
from colorize_core.engines.exemplar.raster import (
    blurred,
    mean_square,
    positions_in,
    resized,
    size_of,
)
from colorize_core.engines.exemplar.recall import grid_of
from colorize_core.engines.exemplar.settings import CarrySettings

_CENTRES = 400
_NEW = 3.0  # times the error where it has learnt: what is new is harder (measured on DAVIS)
_LEAST = 170.0  # squared error of a guess (measured on DAVIS, where nothing else is sure)
_RIDGE = 0.001  # of the mean of a centre's own sum of squares
# What counts for one kernel width: 12 L* of lightness, 10 log units of texture, a third of a side
_LIGHTNESS, _TEXTURE, _PLACE = np.float32(0.08), np.float32(1.0), np.float32(3.0)


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """What is learnt: colour = mean + Σ weights · kernel(cell, centre).

    Attributes:
        centres: float32 ``[M, D]``. weights: float32 ``[M, 2]``. mean: float32 ``[2]``, a*b*.
        error: expected squared error of a guess: where chroma follows nothing that lightness
            shows, guesses say little.
    """

    centres: F32
    weights: F32
    mean: F32
    error: float

    @classmethod
    def learnt(cls, known: Sequence[tuple[F32, Chroma]], settings: CarrySettings) -> Regression:
        """From frames' L* ``[H, W]`` and colours (at least one); sure colours count more."""
        cells = np.concatenate([_cells(lstar, settings) for lstar, _ in known])
        ab = np.concatenate([_small(chroma.ab, settings) for _, chroma in known])
        trust = np.concatenate([_small(chroma.confidence, settings) for _, chroma in known])
        trust = trust + np.float32(1e-3)
        order = np.random.default_rng(0).permutation(len(cells))
        centres = cells[order[:_CENTRES]]
        mean = np.average(ab, axis=0, weights=trust[:, 0]).astype(np.float32)
        kernel = _kernel(cells, centres)
        weighted = (kernel * trust).T
        normal = (weighted @ kernel).astype(np.float64)
        normal += _RIDGE * normal.trace() / len(centres) * np.eye(len(centres))
        weights = np.linalg.solve(normal, (weighted @ (ab - mean)).astype(np.float64))
        weights = weights.astype(np.float32)
        left = ab - mean - kernel @ weights
        squares = np.einsum("nc,nc->n", left, left)
        error = max(_LEAST, _NEW * float(np.average(squares, weights=trust[:, 0])))
        return cls(centres, weights, mean, error)

    def guess(self, lstar: F32, settings: CarrySettings) -> tuple[Chroma, F32]:
        """A guess, without confidence, for a frame ``[H, W]``, and its weight beside others."""
        columns, rows = grid_of(lstar, settings)
        ab = _kernel(_cells(lstar, settings), self.centres) @ self.weights + self.mean
        guess = resized(ab.reshape(rows, columns, 2), size_of(lstar))
        weight = settings.guess_weight / (LEAST_ERROR + np.float32(self.error))
        return Chroma(guess, np.zeros_like(lstar)), np.full_like(lstar, weight)


def _kernel(cells: F32, centres: F32) -> F32:
    distance = cells @ centres.T
    distance -= np.einsum("nd,nd->n", cells, cells)[:, None] / 2
    distance -= np.einsum("nd,nd->n", centres, centres)[None] / 2
    # e⁻³⁰ is nothing; less would be subnormal, which is slow
    return np.exp(np.maximum(distance, np.float32(-30), out=distance), out=distance)


def _small(picture: F32, settings: CarrySettings) -> F32:
    small = resized(picture, grid_of(picture, settings))
    return small.reshape(-1, picture.shape[2] if picture.ndim == 3 else 1)


def _cells(lstar: F32, settings: CarrySettings) -> F32:
    """Cells ``[N, D]``: lightness on four scales, texture on two and its direction, place."""
    size = grid_of(lstar, settings)
    light = resized(lstar, size)
    wider = [np.asarray(cv2.GaussianBlur(light, (0, 0), s), np.float32) for s in (1.5, 4, 10)]
    fine = lstar - blurred(lstar, 7)
    coarse = light - wider[1]
    across = np.asarray(cv2.Scharr(lstar, cv2.CV_32F, 1, 0, scale=1 / 32), np.float32)
    down = np.asarray(cv2.Scharr(lstar, cv2.CV_32F, 0, 1, scale=1 / 32), np.float32)
    along, athwart = (blurred(resized(each * each, size), 3) for each in (across, down))
    planes = [plane * _LIGHTNESS for plane in (light, *wider)]
    planes += [
        _TEXTURE * np.log1p(np.sqrt(np.maximum(energy, 0)))  # as in `mean_square`
        for energy in (blurred(resized(fine * fine, size), 3), mean_square(coarse, 7))
    ]
    planes.append(_TEXTURE * (along - athwart) / (along + athwart + 4))
    place = positions_in(size, (1, 1)) * _PLACE
    cells = np.dstack([*planes, place]).astype(np.float32)
    return cells.reshape(-1, cells.shape[2])
