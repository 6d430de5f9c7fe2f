"""Pieces of work and what comes back: small frozen values that cross from the driver to a worker.

Nothing here holds frames: items name objects and spans, and a worker reads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

from colorize_core.config import RunConfig
from colorize_core.media.source import SourceInfo
from colorize_core.quality.figures import Quality
from colorize_core.timebase import FrameSpan

Stage = Literal["reference", "anchors", "interpolation", "finish"]


@dataclass(frozen=True, slots=True)
class FilmRef:
    """How a worker finds the film: its source, and the object that holds its time line. `stamp` is
    the source's `storage.fingerprint` on the driver's machine, from before it was identified."""

    source: SourceInfo
    timeline: str
    stamp: str


@dataclass(frozen=True, slots=True)
class StillRef:
    """A still that serves a shot. `frame`: the film's frame that it shows, or None."""

    digest: str
    uri: str
    frame: int | None


@dataclass(frozen=True, slots=True)
class ReferenceItem:
    """Make a colour still of `frame` from `prompt`; `kindred` show the same things in colour."""

    film: FilmRef
    config: RunConfig
    shot: int
    frame: int
    prompt: str
    kindred: tuple[StillRef, ...]
    output: str
    stage: ClassVar[Stage] = "reference"

    @property
    def frames(self) -> int:
        return 1

    def __str__(self) -> str:
        return f"the still of shot {self.shot} (frame {self.frame})"


@dataclass(frozen=True, slots=True)
class AnchorsItem:
    """Colour some anchors of a shot; `outputs` has one object for each of `anchors`."""

    film: FilmRef
    config: RunConfig
    shot: int
    span: FrameSpan
    anchors: tuple[int, ...]
    stills: tuple[StillRef, ...]
    outputs: tuple[str, ...]
    stage: ClassVar[Stage] = "anchors"

    @property
    def frames(self) -> int:
        """Frames that a walk from a still to the farthest anchor may touch."""
        return self.anchors[-1] - self.anchors[0] + 1

    def only(self, outputs: Collection[str]) -> AnchorsItem | None:
        """The work for those of its anchors whose objects are in `outputs`."""
        pairs = zip(self.anchors, self.outputs, strict=True)
        chosen = [(frame, uri) for frame, uri in pairs if uri in outputs]
        if not chosen:
            return None
        anchors, uris = zip(*chosen, strict=True)
        return replace(self, anchors=anchors, outputs=uris)

    def singly(self) -> tuple[AnchorsItem, ...]:
        """The same anchors, each as an item of its own."""
        return tuple(each for uri in self.outputs if (each := self.only({uri})))

    def __str__(self) -> str:
        if len(self.anchors) == 1:
            return f"anchor {self.anchors[0]} of shot {self.shot}"
        return f"anchors {self.anchors[0]}-{self.anchors[-1]} of shot {self.shot}"


@dataclass(frozen=True, slots=True)
class SegmentItem:
    """Fill one segment: `reads` spans both anchors, `owns` are the frames that are stored. `stills`
    are the shot's, which the result is compared with."""

    film: FilmRef
    config: RunConfig
    segment: str
    reads: FrameSpan
    owns: FrameSpan
    start: str
    end: str
    stills: tuple[StillRef, ...]
    output: str
    stage: ClassVar[Stage] = "interpolation"

    @property
    def frames(self) -> int:
        return len(self.reads)

    def __str__(self) -> str:
        return f"segment {self.segment}"


@dataclass(frozen=True, slots=True)
class ChunkItem:
    """Finish and encode the frames of `span`. `colours`: in order, the object of a segment, or None
    for frames that stay grey, each with its number of frames."""

    film: FilmRef
    config: RunConfig
    shot: int
    span: FrameSpan
    colours: tuple[tuple[str | None, int], ...]
    output: str
    stage: ClassVar[Stage] = "finish"

    @property
    def frames(self) -> int:
        return len(self.span)

    def __str__(self) -> str:
        return f"chunk {self.span} of shot {self.shot}"


WorkItem = ReferenceItem | AnchorsItem | SegmentItem | ChunkItem


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that was written whole. `confidence`: mean over its frames (1 for a chunk).
    `references`: digests of the stills that a part chose for its colours, where it chose.
    `quality`: of a segment's colours, from the kinecolor that watched them on."""

    uri: str
    digest: str
    bytes: int
    frames: int
    confidence: float
    references: tuple[str, ...] = ()
    quality: Quality | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that a worker logged. `level`: as in `logging`. `text`: without secrets, and with
    the film, the shot and the piece of work that it is about."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker says of a finished item.

    Attributes:
        peak_memory_bytes: of the process on a CPU, of the process's tensors on a GPU.
        device: "cpu", or the GPU's name.
        weights: the part's weights with their digest, for the manifest; empty: it has none.
        attempts: filled in by the pool.
        log: what was logged meanwhile. An error has it too (`KinecolorError.log`).
    """

    stored: tuple[Stored, ...]
    seconds: float
    peak_memory_bytes: int
    worker: str
    node: str
    device: str
    weights: str = ""
    attempts: int = 1
    log: tuple[LogLine, ...] = ()


Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how much of it is done, and of how much (0: not known)."""


def cancel(future: Future[Outcome]) -> None:
    """End a future as cancelled; `concurrent.futures.wait` wakes only for the second call."""
    if future.cancel():
        future.set_running_or_notify_cancel()


class Pool(Protocol):
    """Where work is done. Every submitted item's future ends: with its outcome, with a
    `KinecolorError`, or as cancelled."""

    @property
    def width(self) -> int:
        """How many items are worked on at the same time."""
        ...

    def submit(self, item: WorkItem) -> Future[Outcome]:
        """Take an item. May be called from any thread; items of a stage start in the order they
        came."""
        ...

    def release(self, stage: Stage) -> None:
        """No item of this stage will come again in this run: give back what it holds."""
        ...

    def close(self) -> None:
        """Stop at once: items that are not finished end as cancelled. May be called twice."""
        ...
