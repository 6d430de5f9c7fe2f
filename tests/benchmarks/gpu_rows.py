"""What the GPU benchmark measures of a run, and the tables that it prints.

A row's time stands beside that of another way of doing the same in the same run: its baseline.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.peak_tensors import peak_bytes

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of one run, and on a GPU the most bytes that it held at once, weights included (0 on
    a CPU)."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures on a GPU; or on the CPU, to show that the benchmark works.

    `repeats`: timed runs after one to warm up (which loads the weights, and chooses kernels).
    """

    cuda: bool
    repeats: int

    def measured(self, run: Callable[[], object], once: bool = False) -> Figure:
        """The median of the repeats; or `once`, without a warm-up, for what takes long.

        Raises:
            torch.OutOfMemoryError: it does not fit.
        """
        if not self.cuda:
            return Figure(self._timed(run), 0)
        if not once:
            run()
        self._settle()
        seconds = statistics.median(self._timed(run) for _ in range(1 if once else self.repeats))
        return Figure(seconds, torch.cuda.max_memory_allocated())

    def peaks(self, runs: Sequence[Callable[[], object]]) -> tuple[int, ...]:
        """The peak of each run, after the first as a warm-up; 0 for all where they do not fit. On
        a CPU the bytes of tensors that a run made and held at once."""
        try:
            runs[0]()
            if not self.cuda:
                return tuple(peak_bytes(run) for run in runs)
            return tuple(self.measured(run, once=True).peak_bytes for run in runs)
        except torch.OutOfMemoryError:
            return (0,) * len(runs)

    def _settle(self) -> None:
        """What earlier runs left is given back, and the peak starts anew."""
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def _timed(self, run: Callable[[], object]) -> float:
        began = time.perf_counter()
        run()
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Row:
    """One way to do a stage's work.

    Attributes:
        seconds: for one item (an anchor, a segment, a still); None: it did not run, see `note`.
        against: the way that `ratio` compares with; empty: others are compared with this one.
        ratio: this way's seconds over the other's.
        peak_bytes: see `Figure`; 0: not looked at.
    """

    stage: str
    way: str
    against: str = ""
    seconds: float | None = None
    ratio: float | None = None
    peak_bytes: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """Peaks of a stage in shots of more and more segments: a peak for each count.

    `declared_bytes`: what the part's formula gives; 0: it has none for this.
    """

    stage: str
    way: str
    peak_bytes: tuple[int, ...]
    declared_bytes: int


@dataclass
class Results:
    """Of one run of the benchmark. `segments`: the counts that `memory` is about."""

    meter: Meter
    machine: str
    segments: tuple[int, ...]
    speed: list[Row] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)

    def measure(
        self,
        stage: str,
        way: str,
        run: Callable[[], object],
        items: int = 1,
        against: str = "",
        once: bool = False,
    ) -> None:
        """Adds a row for `run`, which does `items` of the stage's work."""
        try:
            figure = self.meter.measured(run, once)
        except torch.OutOfMemoryError:
            self.skip(stage, way, "not run: out of memory", against)
            return
        seconds, base = figure.seconds / items, self.seconds(stage, against)
        ratio = seconds / base if base else None
        self.speed.append(Row(stage, way, against, seconds, ratio, figure.peak_bytes))

    def skip(self, stage: str, way: str, note: str, against: str = "") -> None:
        self.speed.append(Row(stage, way, against, note=note))

    def seconds(self, stage: str, way: str) -> float | None:
        """Of a row that is there already."""
        found = [row.seconds for row in self.speed if (row.stage, row.way) == (stage, way)]
        return found[0] if found else None

    def markdown(self) -> str:
        """Both tables."""
        speed, memory = self._speed_table(), self._memory_table()
        return "\n".join([f"Measured on {self.machine}.", "", *speed, "", *memory])

    def _speed_table(self) -> list[str]:
        head = ("stage", "way", "s each", "time", "peak GiB")
        cells = [
            (
                row.stage,
                row.way,
                _number(row.seconds, 3) if row.seconds else row.note,
                f"{row.ratio:.2f} × {row.against}" if row.ratio else "",
                _number(row.peak_bytes / GIB, 3),
            )
            for row in self.speed
        ]
        return _table(head, cells)

    def _memory_table(self) -> list[str]:
        counts = [f"{n} segment{'s' * (n > 1)}" for n in self.segments]
        head = ("stage", "peak GiB of", *counts, "last over first", "by formula")
        cells = [
            (
                row.stage,
                row.way,
                *(_number(peak / GIB, 3) for peak in row.peak_bytes),
                _number(row.peak_bytes[0] and row.peak_bytes[-1] / row.peak_bytes[0], 3),
                _number(row.declared_bytes / GIB, 3),
            )
            for row in self.memory
        ]
        return _table(head, cells)


def _number(value: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if value else ""


def _table(head: Sequence[str], cells: Sequence[Sequence[Any]]) -> list[str]:
    rows = [head, ["---"] * len(head), *cells]
    return [f"| {' | '.join(row)} |" for row in rows]
