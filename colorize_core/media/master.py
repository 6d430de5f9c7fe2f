"""What the master of a film looks like: the one decision of size, depth, layout and colour tags."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from colorize_core.media.color import resolve_tags
from colorize_core.media.source import ColourTags, SourceInfo

Merge = Literal["exact_luma", "lab"]

# The FFV1 layout that loses no chroma of the source's (FFV1 has no 4:1:1, 4:1:0 at 10 bits).
_LAYOUTS = {"420": "420", "422": "422", "444": "444", "grey": "444", "440": "444"}
_LAYOUTS |= {"411": "422", "410": "420"}
_DEPTHS = (10, 12, 16)  # FFV1 writes all three layouts at these

STEPS: dict[str, tuple[int, int]] = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}


@dataclass(frozen=True, slots=True)
class MasterFormat:
    """The master's picture.

    Attributes:
        width, height: of the source's coded picture. sar: its sample aspect ratio.
        layout: "420", "422" or "444". depth: bits of a sample. source_depth: of the source's Y'.
        tags: resolved: the new chroma means precisely these.
        merge: how chroma meets the source's luma.
    """

    width: int
    height: int
    sar: Fraction
    layout: str
    depth: int
    source_depth: int
    tags: ColourTags
    merge: Merge

    @property
    def pix_fmt(self) -> str:
        return f"yuv{self.layout}p" + ("" if self.depth == 8 else f"{self.depth}le")

    @property
    def shift(self) -> int:
        """Y' of the master is Y' of the source, this many bits higher."""
        return self.depth - self.source_depth

    @property
    def chroma_size(self) -> tuple[int, int]:
        """``(width, height)`` of a chroma plane."""
        across, down = STEPS[self.layout]
        return -(-self.width // across), -(-self.height // down)


def master_format(info: SourceInfo, merge: Merge) -> MasterFormat:
    """The master of a film: the source's size, SAR, depth (10 bits at least) and chroma layout.

    `lab` is always 10 bits (or the source's depth, where that is more) and 4:4:4.
    """
    tags = resolve_tags(info)
    layout = "444" if merge == "lab" else _LAYOUTS[info.chroma]
    if layout == "444":
        tags = tags.model_copy(update={"chroma_location": 0})
    return MasterFormat(
        width=info.width,
        height=info.height,
        sar=info.sar,
        layout=layout,
        depth=next(depth for depth in _DEPTHS if depth >= info.depth),
        source_depth=info.depth,
        tags=tags,
        merge=merge,
    )
