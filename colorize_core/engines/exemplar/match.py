"""Part `match`: colours for anchors from references of the same shot or of other pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from colorize_core.engines.contract import (
    Chroma,
    ColourStill,
    Facts,
    FrameReader,
    GreyFrame,
)
from colorize_core.engines.exemplar.correspond import transfer
from colorize_core.engines.exemplar.dense_flow import DenseFlow
from colorize_core.engines.exemplar.propagate import Carried, Walk, fuse
from colorize_core.engines.exemplar.raster import resized, size_of, to_byte
from colorize_core.engines.exemplar.recall import Memory
from colorize_core.engines.exemplar.settings import MatchSettings
from colorize_core.timebase import FrameSpan

_BLOCK = 16  # frames held at once where a walk goes backwards


class Match:
    """Anchor colorizer on the CPU, without weights."""

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
        by_frame = {anchor.frame: anchor for anchor in anchors}
        reached: dict[int, list[tuple[Carried, Memory, float]]] = {f: [] for f in by_frame}
        inside = {still.frame: still for still in references if still.frame is not None}
        for frame, still in sorted(inside.items()):
            for found, carried, memory in self._carry(frame, still, by_frame, set(inside), reader):
                reached[found].append((carried, memory, 1.0))
        others = [still for still in references if still.frame is None]
        return [self._decide(anchor, reached[anchor.frame], others) for anchor in anchors]
