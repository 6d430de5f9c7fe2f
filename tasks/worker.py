"""The Ray actor: a process that lives as long as the run and does one item at a time."""

from __future__ import annotations

import traceback
from dataclasses import replace

import ray

from colorize_core.engines.contract import CPU, Device
from colorize_core.errors import KinecolorError
from colorize_core.work import Outcome, Stage, WorkItem


class WorkerProcess:
    """Does items in its own process, one after the other."""

    def __init__(self, device: Device = CPU) -> None:
        from colorize_core.colorize import prepare_process
        from tasks.worker_log import WorkerLog

        self._log = WorkerLog.installed()
        prepare_process(device)

    def ready(self) -> bool:
        """True once the process is up and its libraries are imported."""
        return True

    def do(self, item: WorkItem) -> Outcome:
        """The outcome of `item`. Errors of `colorize_core.errors` cross as they are. Both have what
        was logged meanwhile."""
        from colorize_core.colorize import perform

        try:
            with self._log.of(item):
                outcome = perform(item)
        except KinecolorError as error:
            traceback.print_exception(error)  # to Ray's log of this worker
            error.log = self._log.take()
            raise
        return replace(outcome, log=self._log.take())

    def release(self, stage: Stage) -> None:
        """Give back the memory of a stage's part."""
        from colorize_core import parts

        parts.release(stage)


# Ray retries nothing by itself: the pool counts deaths and decides (docs/architecture.md).
Worker = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(WorkerProcess)
