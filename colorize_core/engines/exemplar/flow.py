"""Part `flow`: both anchors' colours carried through a segment by optical flow, and fused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from colorize_core.engines.contract import Chroma, Facts, GreyFrame, Memory
from colorize_core.engines.exemplar.dense_flow import DenseFlow
from colorize_core.engines.exemplar.propagate import Carried, Source, Walk, fuse
from colorize_core.engines.exemplar.raster import to_byte
from colorize_core.engines.exemplar.regress import Regression
from colorize_core.engines.exemplar.settings import FlowSettings


class Flow:
    """Interpolator on the CPU, without weights.

    A walk from each anchor goes through the segment; their colours are fused with a share that
    falls from 1 to 0 on the way to the other anchor, weighted by how sure each walk is.
    """

    def __init__(self, settings: FlowSettings) -> None:
        self._settings = settings
        self._flow = DenseFlow(settings)

    @property
    def facts(self) -> Facts:
        return Facts(
            name="flow",
            version=2,
            pixel_budget=self._settings.working_pixels,
            memory=Memory(fixed=0, per_pixel=64, frames=25),
        )

    def fill(
        self, frames: Sequence[GreyFrame], start: Chroma, end: Chroma, seed: int
    ) -> Sequence[Chroma]:
        """See `contract.Interpolator`. Nothing here is random: `seed` changes nothing."""
        if len(frames) <= 2:
            return [start, end][: len(frames)]
        bytes_ = [to_byte(frame.lstar) for frame in frames]
        forth = [self._flow.neighbours(a, b) for a, b in pairwise(bytes_)]
        back = [self._flow.neighbours(b, a) for a, b in pairwise(bytes_)]
        first = Walk(frames[0].lstar, start, self._settings, self._flow)
        last = Walk(frames[-1].lstar, end, self._settings, self._flow)
        from_start: list[Carried] = []
        from_end: list[Carried] = []
        known = [(frames[0].lstar, start), (frames[-1].lstar, end)]
        regression = Regression.learnt(known, self._settings)
        inner = range(1, len(frames) - 1)
        for i in inner:
            first.step(bytes_[i], back[i - 1], forth[i - 1])
            from_start.append(first.carried(frames[i].lstar))
        for i in reversed(inner):
            last.step(bytes_[i], forth[i], back[i])
            from_end.append(last.carried(frames[i].lstar))
        filled = [start]
        for i, near, far in zip(inner, from_start, reversed(from_end), strict=True):
            share = 1 - i / (len(frames) - 1)
            sources = [Source(near, first.memory, share), Source(far, last.memory, 1 - share)]
            guess = regression.guess(frames[i].lstar, self._settings)
            filled.append(fuse(frames[i].lstar, sources, [guess], self._settings))
        return [*filled, end]
