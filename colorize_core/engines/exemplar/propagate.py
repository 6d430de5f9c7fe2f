"""Carries one frame's colours to its neighbours, step by step, and says how sure it is.

A walk does not pass colours from hand to hand: it keeps, for each pixel, where in the source
picture it came from, M_j(x) = M_{j-1}(x + f_{j→j-1}(x)), and samples the source once. What is
left between the warped source and the frame (drift) is measured by optical flow and taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, Chroma
from colorize_core.engines.exemplar.dense_flow import DenseFlow, advanced, identity, inconsistency
from colorize_core.engines.exemplar.doubt import (
    confidence_of,
    expected_error,
    precision,
    walk_error,
)
from colorize_core.engines.exemplar.raster import (
    blurred,
    mean_square,
    resized,
    sampled,
    size_of,
    to_byte,
)
from colorize_core.engines.exemplar.recall import Memory, describe, recall
from colorize_core.engines.exemplar.settings import CarrySettings

_STEP_LIMIT_PX2 = 25.0  # one step's inconsistency counts for no more than 5 px
_MISMATCH_SIDE = 7  # px over which a walk is compared with the frame
_LIGHT_SIDE = 25  # px over which a common change of the light is no mismatch
_EXPECTATION_SIDE = 9  # cells over which the expected place is averaged, sure pixels first


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A walk's answer at one frame: colours, confidence, and where in the source they come from."""

    chroma: Chroma
    coords: F32

    @property
    def mean_confidence(self) -> float:
        return float(self.chroma.confidence.mean())


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A walk's answer at a frame, its coloured frame's memory, and its share (they sum to 1)."""

    carried: Carried
    memory: Memory
    share: float


Vote = tuple[Chroma, F32]
"""Colours and their weight at each pixel."""


class Walk:
    """A walk away from one coloured frame. It holds the frame it stands on, and no other."""

    def __init__(
        self, lstar: F32, chroma: Chroma, settings: CarrySettings, flow: DenseFlow
    ) -> None:
        self.memory = Memory.of(lstar, chroma, settings)
        self._settings = settings
        self._flow = flow
        # L*, a*, b* and their expected squared error
        self._source = np.dstack([lstar, chroma.ab, expected_error(chroma.confidence)])
        self._grid = identity(lstar.shape)
        self._steps = 0
        # Of each pixel: where it comes from in the source, as an offset x, y, and the squared
        # inconsistency summed on the way.
        self._trail = np.zeros((*lstar.shape, 3), np.float32)

    def step(self, frame: NDArray[np.uint8], back: F32, forth: F32) -> None:
        """Go on to the next frame.

        Args:
            frame: uint8 ``[H, W]``, its L* (`to_byte`).
            back: its flow to the frame that the walk stands on. forth: the reverse flow.
        """
        error = inconsistency(back, forth, self._grid)
        self._trail = advanced(self._trail, back, self._grid)
        self._trail[..., 2] += np.minimum(error, np.float32(_STEP_LIMIT_PX2))
        self._steps += 1
        every = self._settings.drift_interval
        if every > 0 and self._steps % every == 0:
            source = np.ascontiguousarray(self._source[..., 0])
            warped = to_byte(sampled(source, self._grid + self._trail[..., :2]))
            left = self._flow.between(frame, warped)
            self._trail = advanced(self._trail, left, self._grid)

    def carried(self, lstar: F32) -> Carried:
        """The source's colours on the frame that the walk stands on, whose L* is `lstar`."""
        coords = self._grid + self._trail[..., :2]
        source = sampled(self._source, coords)
        inconsistency = self._trail[..., 2] / np.float32(self._settings.consistency_px**2)
        mismatch = _mismatch(source[..., 0], lstar)
        error = source[..., 3] + walk_error(mismatch, inconsistency)
        ab = np.ascontiguousarray(source[..., 1:3])
        return Carried(Chroma(ab, confidence_of(error)), coords)


def _mismatch(warped: F32, lstar: F32) -> F32:
    """Local root mean square of the difference in L*, but for slow changes of the light."""
    difference = warped - lstar
    difference -= blurred(difference, _LIGHT_SIDE)
    return np.sqrt(mean_square(difference, _MISMATCH_SIDE))


def blend(votes: Sequence[Vote]) -> Chroma:
    """Weighted mean of colours; the best confidence among them."""
    ab = np.zeros_like(votes[0][0].ab)
    weights = np.full(ab.shape[:2], 1e-9, np.float32)
    for chroma, weight in votes:
        ab += weight[..., None] * chroma.ab
        weights += weight
    ab /= weights[..., None]
    return Chroma(ab, np.maximum.reduce([chroma.confidence for chroma, _ in votes]))


def fuse(
    lstar: F32, sources: Sequence[Source], others: Sequence[Vote], settings: CarrySettings
) -> Chroma:
    """One frame's colours from what walks carried to it, from what their sources recall, and from
    `others`.

    Each colour counts by the inverse of its expected squared error, and a walk's by its source's
    share, the α of the paper's equation (4). The source that explains the frame best is asked for
    look-alikes.
    """
    votes: list[Vote] = [
        (source.carried.chroma, source.share * precision(source.carried.chroma.confidence))
        for source in sources
    ]
    if settings.recall_weight > 0:
        best = max(sources, key=lambda source: source.share * source.carried.mean_confidence)
        found = _recalled(lstar, best, settings)
        weight = np.float32(settings.recall_weight) * precision(found.confidence)
        votes.append((found, weight))
    votes += others
    return blend(votes)


def _recalled(lstar: F32, source: Source, settings: CarrySettings) -> Chroma:
    features = describe(lstar, settings)
    ab, error = recall(features, _expected(source.carried, features), source.memory, settings)
    size = size_of(lstar)
    return Chroma(resized(ab, size), resized(confidence_of(error), size))


def _expected(carried: Carried, features: F32) -> F32:
    """Where each cell is expected in the memory: the walk's coordinates, sure places first."""
    rows, columns = features.shape[:2]
    height, width = carried.chroma.confidence.shape
    trust = resized(carried.chroma.confidence, (columns, rows)) + np.float32(0.01)
    grid = identity((rows, columns))
    scale = np.array([columns / width, rows / height], np.float32)
    place = (resized(carried.coords, (columns, rows)) + np.float32(0.5)) * scale - np.float32(0.5)
    offset = blurred((place - grid) * trust[..., None], _EXPECTATION_SIDE)
    offset /= blurred(trust, _EXPECTATION_SIDE)[..., None]
    return grid + offset
