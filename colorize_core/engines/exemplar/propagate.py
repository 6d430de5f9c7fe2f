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
from colorize_core.engines.exemplar.dense_flow import DenseFlow, identity, inconsistency
from colorize_core.engines.exemplar.raster import blurred, resized, sampled, size_of, to_byte
from colorize_core.engines.exemplar.recall import Memory, describe, recall
from colorize_core.engines.exemplar.settings import CarrySettings

_STEP_LIMIT_PX2 = 25.0  # one step's inconsistency counts for no more than 5 px
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


class Walk:
    """A walk away from one coloured frame. It holds the frame it stands on, and no other."""

    def __init__(
        self, lstar: F32, chroma: Chroma, settings: CarrySettings, flow: DenseFlow
    ) -> None:
        self.memory = Memory.of(lstar, chroma, settings)
        self._settings = settings
        self._flow = flow
        self._lstar = np.ascontiguousarray(lstar)
        self._colours = np.dstack([chroma.ab, chroma.confidence])
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
        self._follow(back)
        self._trail[..., 2] += np.minimum(error, np.float32(_STEP_LIMIT_PX2))
        self._steps += 1
        every = self._settings.drift_interval
        if every > 0 and self._steps % every == 0:
            warped = to_byte(sampled(self._lstar, self._grid + self._trail[..., :2]))
            self._follow(self._flow.between(frame, warped))

    def _follow(self, flow: F32) -> None:
        """One more step in front: M(x) becomes M(x + f(x)). Offsets are interpolated, not
        coordinates, so that what lies beyond the border moves as the border does."""
        self._trail = sampled(self._trail, self._grid + flow)
        self._trail[..., :2] += flow

    def carried(self) -> Carried:
        """The source's colours on the frame that the walk stands on."""
        coords = self._grid + self._trail[..., :2]
        half = np.float32(self._settings.consistency_px**2)
        colours = sampled(self._colours, coords)
        confidence = colours[..., 2] / (1 + self._trail[..., 2] / half)
        ab = np.ascontiguousarray(colours[..., :2])
        return Carried(Chroma(ab, np.asarray(confidence, np.float32)), coords)


def precision(chroma: Chroma, doubt: float) -> F32:
    """The inverse of a colour's expected squared error, 1 where confidence is 1."""
    return np.reciprocal(1 + np.float32(doubt) * (1 - chroma.confidence)).astype(np.float32)


def blend(votes: Sequence[tuple[Chroma, F32]]) -> Chroma:
    """Weighted mean of colours; the best confidence among them."""
    ab = np.zeros_like(votes[0][0].ab)
    weights = np.full(ab.shape[:2], 1e-6, np.float32)
    for chroma, weight in votes:
        ab += weight[..., None] * chroma.ab
        weights += weight
    ab /= weights[..., None]
    return Chroma(ab, np.maximum.reduce([chroma.confidence for chroma, _ in votes]))


def fuse(lstar: F32, sources: Sequence[Source], settings: CarrySettings) -> Chroma:
    """One frame's colours from what walks carried to it and from what their sources recall.

    Each colour counts by the inverse of its expected squared error (`doubt`), and by its source's
    share, the α of the paper's equation (4). The source that explains the frame best is asked for
    look-alikes.
    """
    votes = [
        (source.carried.chroma, source.share * precision(source.carried.chroma, settings.doubt))
        for source in sources
    ]
    if settings.recall_weight > 0:
        best = max(sources, key=lambda source: source.share * source.carried.mean_confidence)
        features = describe(lstar, settings)
        ab = recall(features, _expected(best.carried, features), best.memory, settings)
        found = Chroma(resized(ab, size_of(lstar)), np.zeros_like(lstar))
        votes.append((found, np.full_like(lstar, settings.recall_weight)))
    return blend(votes)


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
