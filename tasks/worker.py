"""The Ray actor: a process that lives as long as the run and does one item at a time."""

from __future__ import annotations

import ray

from colorize_core.engines.contract import CPU, Device
from colorize_core.work import Outcome, Stage, WorkItem


# Ray retries nothing by itself: the pool counts deaths and decides (design, section 7).
@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class Worker:
    """Does items in its own process, one after the other."""

    def __init__(self, device: Device = CPU) -> None:
        from colorize_core.colorize import prepare_process

        prepare_process(device)

    def ready(self) -> bool:
        """True once the process is up and its libraries are imported."""
        return True

    def do(self, item: WorkItem) -> Outcome:
        """The outcome of `item`. Errors of `colorize_core.errors` cross as they are."""
        from colorize_core.colorize import perform

        return perform(item)

    def release(self, stage: Stage) -> None:
        """Give back the memory of a stage's part."""
        from colorize_core import parts

        parts.release(stage)
