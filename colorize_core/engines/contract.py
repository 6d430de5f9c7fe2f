"""What an engine part is: three small contracts and the values that cross them.

Shapes: H, W working height and width, F frames. Colours are CIE L*a*b* (D65), always float32:
L* in [0, 100], a* and b* in about [-110, 110]. Parts never see files, storage or a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from colorize_core.timebase import FrameSpan

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class GreyFrame:
    """One frame's lightness: float32 ``[H, W]`` in [0, 100]; `frame` is its number in the film."""

    frame: int
    lstar: F32


@dataclass(frozen=True, slots=True, eq=False)
class ColourStill:
    """A colour picture.

    Attributes:
        digest: of the still's content; the still's name in the manifest.
        lab: float32 ``[H, W, 3]``, L*, a*, b*. Any size: parts resize as they need.
        frame: the film's frame that it shows, or None where it shows some other picture.
    """

    digest: str
    lab: F32
    frame: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Chroma:
    """The colours of one frame.

    Attributes:
        ab: float32 ``[H, W, 2]``, a* and b*.
        confidence: float32 ``[H, W]`` in [0, 1]; 0 means that the colours are a guess.
    """

    ab: F32
    confidence: F32

    def __post_init__(self) -> None:
        if self.ab.ndim != 3 or self.ab.shape[2] != 2 or self.ab.dtype != np.float32:
            raise ValueError(f"ab must be float32 [H, W, 2], not {self.ab.dtype} {self.ab.shape}")
        if self.confidence.shape != self.ab.shape[:2] or self.confidence.dtype != np.float32:
            raise ValueError("confidence must be float32 [H, W] of the same size as ab")

    @classmethod
    def grey(cls, height: int, width: int) -> Chroma:
        """No colour at all, and no claim to it."""
        return cls(np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32))


class FrameReader(Protocol):
    """Reads the film's grey frames at the part's working size, any span, as often as wanted."""

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        """The frames of `span` in order, one at a time. To go backwards, read short spans."""
        ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What a part declares of itself.

    Attributes:
        name, version: identify the part; a change of results is a change of version.
        pixel_budget: frames are brought to about this many pixels, never enlarged.
        size_multiple: working width and height are multiples of it.
        max_frames: most frames in one call (0: any number).
        needs_gpu, needs_weights: what must be there for it to run.
        bytes_per_pixel: working memory of one call, for each pixel of each frame it holds.
    """

    name: str
    version: int
    pixel_budget: int
    size_multiple: int = 1
    max_frames: int = 0
    needs_gpu: bool = False
    needs_weights: bool = False
    bytes_per_pixel: int = 0

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """``(width, height)`` at which the part works on a film of this size, aspect kept."""
        scale = min(1.0, math.sqrt(self.pixel_budget / (width * height)))

        def fit(length: int) -> int:
            step = self.size_multiple
            return max(step, round(length * scale / step) * step)

        return fit(width), fit(height)


class ReferenceMaker(Protocol):
    """Stage *reference*: makes the colour still that a shot takes its colours from."""

    @property
    def facts(self) -> Facts: ...

    def make(
        self, grey: GreyFrame, prompt: str, seed: int, kindred: Sequence[ColourStill]
    ) -> ColourStill:
        """A colour still of `grey`. `kindred` are stills of shots that show the same things.

        Raises:
            EngineFailed: no acceptable still could be made.
        """
        ...


class AnchorColorizer(Protocol):
    """Stage *anchors*: colours single frames from references."""

    @property
    def facts(self) -> Facts: ...

    def colorize(
        self,
        anchors: Sequence[int],
        references: Sequence[ColourStill],
        reader: FrameReader,
        seed: int,
    ) -> Iterator[tuple[int, Chroma]]:
        """Each anchor's frame number and its colours, once, in any order, each when it is ready:
        so a part may batch anchors or meet them on a walk, and holds no more than it needs.

        Args:
            anchors: frame numbers, ascending, of one shot.
            references: those with a `frame` lie in the same shot.
            reader: gives any frame of that shot; `Chroma` is of its size.
        """
        ...


class Interpolator(Protocol):
    """Stage *interpolation*: fills a segment between two anchors."""

    @property
    def facts(self) -> Facts: ...

    def fill(
        self, frames: Sequence[GreyFrame], start: Chroma, end: Chroma, seed: int
    ) -> Sequence[Chroma]:
        """One `Chroma` for each of `frames`, both anchors included (F ≥ 1; at F = 1 they are one).

        The result depends on nothing but the arguments: never on another segment.
        """
        ...
