"""Part `match`: colours for anchors from references of the same shot or of other pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import Chroma, ColourStill, Facts, FrameReader, GreyFrame
from colorize_core.engines.exemplar.correspond import transfer
from colorize_core.engines.exemplar.dense_flow import DenseFlow
from colorize_core.engines.exemplar.propagate import Walk, blend, fuse, precision
from colorize_core.engines.exemplar.raster import resized, size_of, to_byte
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
            version=1,
            pixel_budget=self._settings.working_pixels,
            bytes_per_pixel=64,
        )

    def colorize(
        self,
        anchors: Sequence[GreyFrame],
        references: Sequence[ColourStill],
        reader: FrameReader,
        seed: int,
    ) -> Sequence[Chroma]:
        """See `contract.AnchorColorizer`. Nothing here is random: `seed` changes nothing."""
        inside = {still.frame: still for still in references if still.frame is not None}
        others = [still for still in references if still.frame is None]
        carried = self._carry([anchor.frame for anchor in anchors], inside, reader)
        return [self._decide(anchor, carried[anchor.frame], others) for anchor in anchors]

    def _decide(
        self,
        anchor: GreyFrame,
        carried: Sequence[tuple[Chroma, float]],
        others: Sequence[ColourStill],
    ) -> Chroma:
        """Carried colours first; other pictures count where those are not sure."""
        doubt = self._settings.doubt
        votes = [(chroma, share * precision(chroma, doubt)) for chroma, share in carried]
        known = [chroma.confidence for chroma, _ in carried]
        unsure = 1 - np.maximum.reduce([np.zeros_like(anchor.lstar), *known])
        for still in others if unsure.any() else ():
            chroma = transfer(anchor.lstar, still)
            votes.append((chroma, unsure * precision(chroma, doubt)))
        return blend(votes) if votes else Chroma.grey(*anchor.lstar.shape)

    def _carry(
        self, anchors: Sequence[int], inside: Mapping[int, ColourStill], reader: FrameReader
    ) -> Mapping[int, Sequence[tuple[Chroma, float]]]:
        """For each anchor, the colours that reach it from the nearest reference on either side,
        with shares that fall linearly on the way from one reference to the next."""
        reached: dict[int, list[tuple[Chroma, float]]] = {anchor: [] for anchor in anchors}
        marks = sorted(inside)
        for i, mark in enumerate(marks):
            before = marks[i - 1] if i > 0 else None
            after = marks[i + 1] if i + 1 < len(marks) else None
            behind = [a for a in reversed(anchors) if a < mark and (before is None or a > before)]
            ahead = [a for a in anchors if a > mark and (after is None or a < after)]
            source = next(iter(reader.read(FrameSpan(mark, mark + 1))))
            chroma = _at_size(inside[mark], source)
            if mark in reached:
                reached[mark].append((chroma, 1.0))
            for goals, neighbour in ((behind, before), (ahead, after)):
                for anchor, found in self._walk(source, chroma, goals, reader):
                    share = 1.0 if neighbour is None else (anchor - neighbour) / (mark - neighbour)
                    reached[anchor].append((found, share))
        return reached

    def _walk(
        self, source: GreyFrame, chroma: Chroma, goals: Sequence[int], reader: FrameReader
    ) -> Iterator[tuple[int, Chroma]]:
        """Walk from `source` over all frames to the last of `goals` (nearest first)."""
        if not goals:
            return
        walk = Walk(source.lstar, chroma, self._settings, self._flow)
        previous: NDArray[np.uint8] = to_byte(source.lstar)
        for frame in _frames_between(source.frame, goals[-1], reader):
            byte = to_byte(frame.lstar)
            walk.step(byte, self._flow.between(byte, previous), self._flow.between(previous, byte))
            previous = byte
            if frame.frame in goals:
                yield (
                    frame.frame,
                    fuse(frame.lstar, [(walk.carried(), walk.memory, 1.0)], self._settings),
                )


def _at_size(still: ColourStill, frame: GreyFrame) -> Chroma:
    ab = resized(np.ascontiguousarray(still.lab[..., 1:]), size_of(frame.lstar))
    return Chroma(ab, np.ones(frame.lstar.shape, np.float32))


def _frames_between(start: int, goal: int, reader: FrameReader) -> Iterator[GreyFrame]:
    """The frames after `start` up to `goal`, or before it down to `goal`, in walking order."""
    if goal > start:
        yield from reader.read(FrameSpan(start + 1, goal + 1))
        return
    for end in range(start, goal, -_BLOCK):
        yield from reversed(list(reader.read(FrameSpan(max(goal, end - _BLOCK), end))))
