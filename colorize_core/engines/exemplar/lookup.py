"""Non-local look-up: the colours of the places in other pictures that look like this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, Chroma
from colorize_core.engines.exemplar.features import describe
from colorize_core.engines.exemplar.raster import positions_in, resized, size_of

_GRID = 72  # cells along a picture's longer side
_NEIGHBOURS = 4
_SOFTNESS = 0.05  # of the weights among the neighbours, in squared descriptor distance
_DISTRUST = 0.5  # what a colour without confidence adds to the distance
_HALF = 0.2  # distance at which half of the colours found are right (measured on DAVIS)


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Places with known colours: descriptors ``[N, D]``, a*b* ``[N, 2]``, confidence ``[N]``."""

    descriptors: F32
    ab: F32
    confidence: F32


def grid_size(lstar: F32) -> tuple[int, int]:
    """Columns and rows of the cells of a picture."""
    width, height = size_of(lstar)
    scale = min(1.0, _GRID / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def describe_cells(lstar: F32, nearness: float) -> F32:
    """Descriptors of a picture's cells, float32 ``[rows, columns, D]``.

    Args:
        nearness: what a place at the picture's other side adds to the distance, squared: how much
            more likely things are to be found where they were.
    """
    columns, rows = grid_size(lstar)
    descriptors = describe(lstar, columns, rows)
    places = positions_in((columns, rows), (1, 1)) * np.float32(nearness)
    return np.concatenate([descriptors, places], axis=2)


def build_library(sources: Sequence[tuple[F32, Chroma]], nearness: float) -> Library:
    """Every cell of every source: L* float32 ``[H, W]`` and its colours, any sizes."""
    parts = []
    for lstar, known in sources:
        descriptors = describe_cells(lstar, nearness)
        cells = to_cells(known, grid_size(lstar))
        parts.append(
            (
                descriptors.reshape(-1, descriptors.shape[2]),
                cells.ab.reshape(-1, 2),
                cells.confidence.ravel(),
            )
        )
    descriptors, ab, confidence = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Library(descriptors, ab, confidence)


def to_cells(known: Chroma, size: tuple[int, int]) -> Chroma:
    """Mean colours of the cells of a grid of `size` (columns, rows), sure pixels counting more."""
    weight = known.confidence + np.float32(1e-3)
    ab = resized(known.ab * weight[..., None], size) / resized(weight, size)[..., None]
    return Chroma(ab, resized(known.confidence, size))


def distances(queries: F32, keys: F32) -> F32:
    """Squared distances float32 ``[Q, N]`` of descriptors ``[Q, D]`` and ``[N, D]``."""
    products = queries @ keys.T
    products *= -2
    products += np.einsum("qd,qd->q", queries, queries)[:, None]
    products += np.einsum("nd,nd->n", keys, keys)[None]
    return np.maximum(products, 0, out=products)


def look_up(distance: F32, library: Library) -> tuple[F32, F32]:
    """Colours ``[Q, 2]`` and confidence ``[Q]`` from the nearest places of a library.

    Args:
        distance: of the queries to the library's descriptors, float32 ``[Q, N]``.
    """
    cost = distance + np.float32(_DISTRUST) * (1 - library.confidence)
    count = min(_NEIGHBOURS, cost.shape[1])
    nearest: NDArray[np.intp] = np.argpartition(cost, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(cost, nearest, axis=1)
    weight = np.exp((near.min(axis=1, keepdims=True) - near) / np.float32(_SOFTNESS))
    weight /= weight.sum(axis=1, keepdims=True)
    ab = np.einsum("qk,qkc->qc", weight, library.ab[nearest])
    trust = np.einsum("qk,qk->q", weight, library.confidence[nearest])
    typical = np.einsum("qk,qk->q", weight, near)
    return ab, trust * certainty(typical, _HALF)


def certainty(distance: F32, half: float) -> F32:
    """A squared descriptor distance as the chance that the match is right: 1 at 0, ½ at `half`."""
    return (1 / (1 + (distance / np.float32(half)) ** 2)).astype(np.float32)
