"""What an engine part is: three small contracts and the values that cross them.

Shapes: H, W working height and width, F frames. Colours are CIE L*a*b* (D65), always float32:
L* in [0, 100], a* and b* in about [-110, 110]. Parts never see files, storage or a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

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
        references: digests of the stills that the part took for this frame, where it chose among
            those it was given; empty: all of them.
    """

    ab: F32
    confidence: F32
    references: tuple[str, ...] = ()

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
class Device:
    """Where a part computes. `memory_bytes`: how much it may use there, weights included."""

    kind: Literal["cpu", "cuda"] = "cpu"
    memory_bytes: int = 4 * 2**30


CPU = Device()


@dataclass(frozen=True, slots=True)
class Memory:
    """A part's memory by formula, in bytes: ``fixed + per_pixel · pixels · frames``.

    Attributes:
        fixed: weights and what does not grow with the pictures.
        per_pixel: for each pixel at working size of each frame worked on at once.
        frames: least frames that the part works on at once.
    """

    fixed: int
    per_pixel: int
    frames: int = 1

    def need(self, pixels: int, frames: int | None = None) -> int:
        """Bytes for `frames` (default: the least) pictures of `pixels` at once."""
        return self.fixed + self.per_pixel * pixels * (self.frames if frames is None else frames)

    def most_frames(self, pixels: int, memory_bytes: int) -> int:
        """How many frames fit at once: a multiple of `frames`, and at least that."""
        room = (memory_bytes - self.fixed) // (self.per_pixel * pixels * self.frames)
        return max(1, room) * self.frames


@dataclass(frozen=True, slots=True)
class Facts:
    """What a part declares of itself.

    Attributes:
        name, version: identify the part; a change of results is a change of version.
        pixel_budget: frames are brought to about this many pixels, aspect kept.
        memory: see `Memory`.
        enlarges: smaller frames are brought up to the budget, too: networks know one size best.
        square_pixels: frames are brought to square pixels, as people see them.
        max_frames: most frames in one call (0: any number).
        needs_gpu: meant for a GPU; on a CPU only where a person asks for it.
        walks: anchors are met on a walk through the shot, so that those on one side of a still
            belong together.
        kindred: most stills of kindred shots that a reference is made with.
        weights: identifies the weights (`weights.identity`); none: the part has no weights.
        network_calls: network evaluations for one frame of output (estimates; 0: no network).
    """

    name: str
    version: int
    pixel_budget: int
    memory: Memory
    enlarges: bool = False
    square_pixels: bool = False
    max_frames: int = 0
    needs_gpu: bool = False
    walks: bool = False
    kindred: int = 0
    weights: str = ""
    network_calls: float = 0.0

    @property
    def label(self) -> str:
        """The part with its version, as manifests and timings name it (``match/1``)."""
        return f"{self.name}/{self.version}"

    def working_size(self, width: int, height: int, sar: Fraction = Fraction(1)) -> tuple[int, int]:
        """``(width, height)`` at which the part works on a film of this size and sample aspect."""
        shown = width * float(sar) if self.square_pixels else width
        scale = math.sqrt(self.pixel_budget / (shown * height))
        scale = scale if self.enlarges else min(1.0, scale)
        return max(1, round(shown * scale)), max(1, round(height * scale))


class ReferenceMaker(Protocol):
    """Stage *reference*: makes the colour still that a shot takes its colours from."""

    @property
    def facts(self) -> Facts: ...

    def make(
        self, grey: GreyFrame, prompt: str, seed: int, kindred: Sequence[ColourStill]
    ) -> ColourStill:
        """A colour still of `grey`, of its size. `kindred` are stills of shots that show the same
        things.

        Raises:
            ReferenceRejected: no acceptable still could be made.
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
