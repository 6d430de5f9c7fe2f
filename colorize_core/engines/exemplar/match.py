"""Part `match`: colours for anchors from references of the same shot or of other pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import (
    Chroma,
    ColourStill,
    Facts,
    FrameReader,
    GreyFrame,
    Memory,
)
from colorize_core.engines.exemplar.correspond import transfer
from colorize_core.engines.exemplar.dense_flow import DenseFlow
from colorize_core.engines.exemplar.doubt import confidence_of, match_error, precision
from colorize_core.engines.exemplar.propagate import Source, Vote, Walk, blend, fuse
from colorize_core.engines.exemplar.raster import resized, size_of, to_byte
from colorize_core.engines.exemplar.regress import Regression
from colorize_core.engines.exemplar.settings import MatchSettings
from colorize_core.timebase import FrameSpan

_BLOCK = 16  # frames held at once where a walk goes backwards


class Match:
    """Anchor colorizer on the CPU, without weights.

    A reference that shows a frame of the shot is carried to the anchors by optical flow through
    the frames between; another picture is matched with each anchor.
    """

    def __init__(self, settings: MatchSettings) -> None:
        self._settings = settings
        self._flow = DenseFlow(settings)

    @property
    def facts(self) -> Facts:
        return Facts(
            name="match",
            version=2,
            pixel_budget=self._settings.working_pixels,
            memory=Memory(fixed=0, per_pixel=64, frames=25),
            walks=True,
        )

    def colorize(
        self,
        anchors: Sequence[int],
        references: Sequence[ColourStill],
        reader: FrameReader,
        seed: int,
    ) -> Iterator[tuple[int, Chroma]]:
        """See `contract.AnchorColorizer`. Nothing here is random: `seed` changes nothing.

        Held are the references' frames, and what far references give to the anchors between two.
        """
        inside = {still.frame: still for still in references if still.frame is not None}
        others = [still for still in references if still.frame is None]
        if not inside:
            for anchor in anchors:
                grey = next(reader.read(FrameSpan(anchor, anchor + 1)))
                yield anchor, self._decide(grey, (), others)
            return
        near, far = _routes(anchors, sorted(inside))
        sources = {mark: _Known.of(still, reader) for mark, still in inside.items()}
        known = [(each.grey.lstar, each.chroma) for each in sources.values()]
        regression = Regression.learnt(known, self._settings)
        votes: dict[int, list[tuple[Chroma, float]]] = {anchor: [] for anchor in anchors}
        for mark, goals in far:
            for grey, chroma, share in self._carry(sources[mark], goals, regression, reader):
                votes[grey.frame].append((chroma, share))
        for mark, goals in near:
            for grey, chroma, share in self._carry(sources[mark], goals, regression, reader):
                carried = [*votes.pop(grey.frame), (chroma, share)]
                yield grey.frame, self._decide(grey, carried, others)

    def _decide(
        self,
        anchor: GreyFrame,
        carried: Sequence[tuple[Chroma, float]],
        others: Sequence[ColourStill],
    ) -> Chroma:
        """Carried colours first; other pictures count where those are not sure."""
        votes = [
            (chroma, np.float32(share) * precision(chroma.confidence)) for chroma, share in carried
        ]
        known = [chroma.confidence for chroma, _ in carried]
        unsure = 1 - np.maximum.reduce([np.zeros_like(anchor.lstar), *known])
        for still in others if unsure.any() else ():
            chroma = transfer(anchor.lstar, still)
            votes.append((chroma, unsure * precision(chroma.confidence)))
        return blend(votes) if votes else Chroma.grey(*anchor.lstar.shape)

    def _carry(
        self,
        known: _Known,
        goals: Mapping[int, float],
        regression: Regression,
        reader: FrameReader,
    ) -> Iterator[tuple[GreyFrame, Chroma, float]]:
        """A reference's colours at each of `goals` (frame → share), nearest first. They lie on one
        side of it, or are its own frame."""
        source, chroma = known.grey, known.chroma
        if source.frame in goals:
            yield source, chroma, goals[source.frame]
        away = sorted(goals.keys() - {source.frame}, key=lambda goal: abs(goal - source.frame))
        for grey, arrived in self._walk(source, chroma, away, reader):
            others = [regression.guess(grey.lstar, self._settings), _matched(grey, known.still)]
            yield grey, fuse(grey.lstar, [arrived], others, self._settings), goals[grey.frame]

    def _walk(
        self, source: GreyFrame, chroma: Chroma, goals: Sequence[int], reader: FrameReader
    ) -> Iterator[tuple[GreyFrame, Source]]:
        """Walk from `source` over all frames to the last of `goals` (nearest first)."""
        if not goals:
            return
        walk = Walk(source.lstar, chroma, self._settings, self._flow)
        previous: NDArray[np.uint8] = to_byte(source.lstar)
        for frame in _frames_between(source.frame, goals[-1], reader):
            byte = to_byte(frame.lstar)
            back = self._flow.neighbours(byte, previous)
            walk.step(byte, back, self._flow.neighbours(previous, byte))
            previous = byte
            if frame.frame in goals:
                yield frame, Source(walk.carried(frame.lstar), walk.memory, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """A frame of the shot that a reference shows, and the reference's colours at its size."""

    still: ColourStill
    grey: GreyFrame
    chroma: Chroma

    @classmethod
    def of(cls, still: ColourStill, reader: FrameReader) -> _Known:
        assert still.frame is not None  # noqa: S101  references of the shot have one
        grey = next(reader.read(FrameSpan(still.frame, still.frame + 1)))
        ab = resized(np.ascontiguousarray(still.lab[..., 1:]), size_of(grey.lstar))
        return cls(still, grey, Chroma(ab, np.ones(grey.lstar.shape, np.float32)))


Route = tuple[int, dict[int, float]]
"""A reference's frame, and the share that its colours have at each goal on one side of it."""


def _routes(anchors: Sequence[int], marks: Sequence[int]) -> tuple[list[Route], list[Route]]:
    """Which reference (its frame is one of `marks`, ascending) goes to which anchors: the routes
    from each anchor's nearest reference, and those from the reference on its other side. Shares
    fall linearly on the way from one reference to the next."""
    near: dict[tuple[int, bool], dict[int, float]] = {}
    far: dict[tuple[int, bool], dict[int, float]] = {}
    for anchor in anchors if marks else ():
        before = [mark for mark in marks if mark <= anchor][-1:]
        after = [mark for mark in marks if mark >= anchor][:1]
        sides = sorted({*before, *after}, key=lambda mark: (abs(mark - anchor), mark))
        for mark, other, routes in zip(sides, sides[::-1], (near, far), strict=False):
            share = 1.0 if mark == other else abs(anchor - other) / abs(mark - other)
            routes.setdefault((mark, anchor > mark), {})[anchor] = share
    return _listed(near), _listed(far)


def _listed(routes: dict[tuple[int, bool], dict[int, float]]) -> list[Route]:
    return [(mark, goals) for (mark, _), goals in sorted(routes.items())]


def _matched(frame: GreyFrame, still: ColourStill) -> Vote:
    """A reference's colours found without the frames between: what was covered on the way is found
    again."""
    found = transfer(frame.lstar, still)
    confidence = confidence_of(match_error(found.confidence))
    return Chroma(found.ab, confidence), precision(confidence)


def _frames_between(start: int, goal: int, reader: FrameReader) -> Iterator[GreyFrame]:
    """The frames after `start` up to `goal`, or before it down to `goal`, in walking order."""
    if goal > start:
        yield from reader.read(FrameSpan(start + 1, goal + 1))
        return
    for end in range(start, goal, -_BLOCK):
        yield from reversed(list(reader.read(FrameSpan(max(goal, end - _BLOCK), end))))
