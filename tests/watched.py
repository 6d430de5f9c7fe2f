"""Workers of a real cluster that say what they do, and wait in the middle of it where they are told
to, so that a test can kill them there.

Beside the work root: `log.jsonl`, what they did; `hold.json`, where they wait; `go`, until when.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray

from colorize_core import storage
from colorize_core.colorize import perform, prepare_process
from colorize_core.engines.contract import CPU, Device
from colorize_core.work import Outcome, Stage, WorkItem

Event = Literal["begun", "held", "ended"]


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the log. `try_`: which try at the item it was, from 1."""

    event: Event
    item: str
    try_: int
    pid: int
    node: str


class Watch:
    """What a test tells the workers on a work root, and hears from them. Items go by their names
    (``segment 0001-0002``)."""

    def __init__(self, work: str) -> None:
        self._folder = Path(work).parent

    def hold(self, tries: Mapping[str, Iterable[int]]) -> None:
        """Let these tries at items wait when all is computed and nothing is stored."""
        plain = {item: list(numbers) for item, numbers in tries.items()}
        (self._folder / "hold.json").write_text(json.dumps(plain))

    def let_go(self, try_: int) -> None:
        """Let those go on that wait in this try at their item."""
        self._go(try_).touch()

    def steps(self, event: Event) -> list[Step]:
        """What was logged by now, in order."""
        log = self._log
        lines = log.read_text().splitlines() if log.exists() else ()
        return [step for line in lines if (step := Step(**json.loads(line))).event == event]

    # -- in a worker -------------------------------------------------------------------------

    def begin(self, item: str) -> int:
        """Log a try at an item. Returns its number."""
        try_ = 1 + sum(step.item == item for step in self.steps("begun"))
        self._say("begun", item, try_)
        return try_

    def wait(self, item: str, try_: int) -> None:
        """Wait in this try at an item, if the test said so."""
        file = self._folder / "hold.json"
        if not file.exists() or try_ not in json.loads(file.read_text()).get(item, ()):
            return
        self._say("held", item, try_)
        while not self._go(try_).exists():
            time.sleep(0.02)

    def end(self, item: str, try_: int) -> None:
        """Log that a try at an item ended well."""
        self._say("ended", item, try_)

    @property
    def _log(self) -> Path:
        return self._folder / "log.jsonl"

    def _go(self, try_: int) -> Path:
        return self._folder / f"go-{try_}"

    def _say(self, event: Event, item: str, try_: int) -> None:
        node = ray.get_runtime_context().get_node_id()
        step = {"event": event, "item": item, "try_": try_, "pid": os.getpid(), "node": node}
        with self._log.open("a") as file:  # one small write at the end: lines do not mix
            file.write(json.dumps(step) + "\n")


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class WatchedWorker:
    """`tasks.worker.Worker`, watched."""

    def __init__(self, device: Device = CPU) -> None:
        prepare_process(device)

    def ready(self) -> bool:
        return True

    def do(self, item: WorkItem) -> Outcome:
        watch, name = Watch(str(Path(item.film.timeline).parents[2])), str(item)
        try_ = watch.begin(name)
        upload = storage.upload_if_absent

        def upload_later(source: Any, uri: str) -> bool:
            watch.wait(name, try_)
            return upload(source, uri)

        storage.upload_if_absent = upload_later
        try:
            outcome = perform(item)
        finally:
            storage.upload_if_absent = upload
        watch.end(name, try_)
        return outcome

    def release(self, stage: Stage) -> None:
        pass


def main() -> None:
    """`kinecolor` with watched workers."""
    from tasks import worker

    worker.Worker = WatchedWorker
    from flows import cli

    cli.main()


if __name__ == "__main__":
    # Under its own name, so that workers find the actor's class by importing it.
    from tests.watched import main as main_of_module

    main_of_module()
