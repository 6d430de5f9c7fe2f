"""What a person sees while a command runs: progress bars and messages on standard error."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# What a stage is called on the screen, and what it counts.
_STAGES = {
    "identify": ("Reading the source", "MiB"),
    "scan": ("Scanning frames and shots", "frames"),
    "references": ("Choosing references", "stills"),
    "cover": ("Comparing frames of shots", "shots"),
    "export": ("Writing frames to colour", "frames"),
    "claim": ("Waiting for another run", "s"),
    "workers": ("Waiting for workers of the cluster", "workers"),
    "films": ("Colorizing films", "films"),
    "prepare": ("Turning clips grey", "clips"),
    "score": ("Scoring frames", "frames"),
    "train": ("Training", "steps"),
    "make-references": ("Making references", "stills"),
    "tone": ("Comparing tones", "stills"),
    "colorize": ("Colorizing", "frames"),
    "finish": ("Encoding frames", "frames"),
    "deliver": ("Putting the film together", "frames"),
    "verify": ("Verifying every frame", "frames"),
    "copy": ("Encoding the access copy", "frames"),
    "demo": ("Making the demo film", "frames"),
    "report": ("Writing the report", "shots"),
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Terminal:
    """Bars on a terminal, one line a stage elsewhere. Safe to call from any thread."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def progress(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` in a stage; it may go up in any steps."""
        label, unit = _STAGES[stage]
        with self._lock:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(label, total=total, unit=unit)
            self._bars.update(self._tasks[stage], completed=done, total=max(total, done))
            if self._bars.disable and done >= total and stage not in self._said:
                self._said.add(stage)
                self.console.print(f"{label}: {done} {unit}", markup=False)

    def say(self, text: str) -> None:
        """A message for the person, on standard error."""
        self.console.print(_in_one_line(text), markup=False, soft_wrap=True)


def plain_table(*columns: str) -> Table:
    """A table without lines, for standard output; long cells are folded."""
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def say_error(what: str, remedy: str) -> None:
    """One line of what, one line of what to do, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(f"Error: {_in_one_line(what)}", style="bold red", markup=False, soft_wrap=True)
    if remedy:
        console.print(_in_one_line(remedy), markup=False, soft_wrap=True)


def _in_one_line(text: str) -> str:
    """`text` without what names of files can hold and a terminal would obey."""
    return _CONTROL.sub("�", text)


@contextmanager
def json_only() -> Iterator[Callable[[str], None]]:
    """Keep standard output for one JSON text: whatever else prints there, in this process or its
    children, goes to standard error. Gives the function that writes the text."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with os.fdopen(kept, "w", closefd=False) as out:
            yield lambda text: print(text, file=out, flush=True)
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
