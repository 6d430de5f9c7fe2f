"""What a run took: wall clock, and processor time by whose it was."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

HEAD = """\
| | segments | items | seconds | ms a segment | of CPU: driver | workers | Prefect | Ray | busy |
|---|---|---|---|---|---|---|---|---|---|"""
_WHOSE = ("driver", "workers", "Prefect", "Ray")


@dataclass(slots=True)
class Cost:
    """What it took to do `items` for `segments`. `cpu_s`: processor seconds by whose they are.
    `busy`: the share of the workers' time in which they did something."""

    name: str
    segments: int
    items: int
    seconds: float = 0.0
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    busy: float | None = None

    def row(self) -> str:
        """A line of the table."""
        cpu = [1000 * self.cpu_s[whose] / self.segments for whose in _WHOSE]
        return " | ".join(
            [
                f"| {self.name}",
                *(f"{count:,}" for count in (self.segments, self.items)),
                f"{self.seconds:.1f}",
                f"{1000 * self.seconds / self.segments:.1f}",
                *(f"{each:.1f}" for each in cpu),
                "– |" if self.busy is None else f"{self.busy:.3f} |",
            ]
        )


@contextmanager
def measured(cost: Cost) -> Iterator[None]:
    """Note what the block takes."""
    before, began = _cpu_s(), time.monotonic()
    try:
        yield
    finally:
        cost.seconds = time.monotonic() - began
        cost.cpu_s = {whose: spent - before[whose] for whose, spent in _cpu_s().items()}


def _cpu_s() -> defaultdict[str, float]:
    """Processor seconds so far of this process and those that it started."""
    here = psutil.Process()
    spent = defaultdict(float, driver=_of(here))
    for process in here.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent[_whose(" ".join(process.cmdline()))] += _of(process)
    return spent


def _of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _whose(line: str) -> str:
    if "uvicorn" in line:
        return "Prefect"
    return "workers" if line.startswith("ray::") and "Agent" not in line else "Ray"
