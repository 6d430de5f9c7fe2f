"""Non-local look-up: the colours of the places of another picture that look like this one."""

from __future__ import annotations

import numpy as np

from colorize_core.engines.contract import F32
from colorize_core.engines.exemplar.features import describe
from colorize_core.engines.exemplar.raster import positions_in, size_of

_GRID = 72  # cells along a picture's longer side
_NEARNESS = 0.3  # what a place at the picture's other side adds to the distance, squared
_NEIGHBOURS = 4
_SOFTNESS = 0.05  # of the weights among the neighbours, in squared descriptor distance
_HALF = 0.2  # distance at which half of the colours found are right (measured on DAVIS)


def grid_size(lstar: F32) -> tuple[int, int]:
    """Columns and rows of the cells of a picture."""
    width, height = size_of(lstar)
    scale = min(1.0, _GRID / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def describe_cells(lstar: F32) -> F32:
    """Descriptors float32 ``[rows * columns, D]`` of a picture's cells and of where they lie:
    things are more likely to be found where they were."""
    columns, rows = grid_size(lstar)
    places = positions_in((columns, rows), (1, 1)) * np.float32(_NEARNESS)
    cells = np.concatenate([describe(lstar, columns, rows), places], axis=2)
    return cells.reshape(rows * columns, -1)


def distances(queries: F32, keys: F32) -> F32:
    """Squared distances float32 ``[Q, N]`` of descriptors ``[Q, D]`` and ``[N, D]``."""
    products = queries @ keys.T
    products *= -2
    products += np.einsum("qd,qd->q", queries, queries)[:, None]
    products += np.einsum("nd,nd->n", keys, keys)[None]
    return np.maximum(products, 0, out=products)


def look_up(distance: F32, ab: F32) -> tuple[F32, F32]:
    """Colours ``[Q, 2]`` and confidence ``[Q]`` from the places that look most alike.

    Args:
        distance: of each query to each place, float32 ``[Q, N]``. ab: of the places, ``[N, 2]``.
    """
    count = min(_NEIGHBOURS, distance.shape[1])
    nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(distance, nearest, axis=1)
    weight = np.exp((near.min(axis=1, keepdims=True) - near) / np.float32(_SOFTNESS))
    weight /= weight.sum(axis=1, keepdims=True)
    typical = np.einsum("qk,qk->q", weight, near)
    return np.einsum("qk,qkc->qc", weight, ab[nearest]), certainty(typical, _HALF)


def certainty(distance: F32, half: float) -> F32:
    """A squared descriptor distance as the chance that the match is right: 1 at 0, ½ at `half`."""
    return (1 / (1 + (distance / np.float32(half)) ** 2)).astype(np.float32)
