"""As a program: on a Ray with two GPUs in name only, parts of two sizes share them. Prints which
GPUs the workers of each stage have (JSON)."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import ray

from colorize_core.config import RunConfig
from colorize_core.engines.contract import Device
from colorize_core.placement import Resources, place
from colorize_core.timebase import FrameSpan
from colorize_core.work import AnchorsItem, Outcome, SegmentItem, Stage, WorkItem
from tests.benchmarks.scale_film import planned_film
from tests.core.test_placement import GIB, paper
from tests.servers import own_ray

WORKERS = 2  # of a stage, each with an item at the same time
STAGES: tuple[Stage, ...] = ("anchors", "interpolation")


@ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)
class OnGpu:
    """Says which GPU it has, and waits until as many others of its stage have said so."""

    def __init__(self, device: Device) -> None: ...

    def ready(self) -> bool:
        return True

    def do(self, item: WorkItem) -> Outcome:
        (gpu,) = ray.get_gpu_ids()
        folder = Path(item.film.source.uri).parent
        (folder / f"{item.stage}-{os.getpid()}").touch()
        while len(list(folder.glob(f"{item.stage}-*"))) < WORKERS:
            time.sleep(0.02)
        return Outcome((), 0.0, 0, "", "", str(gpu))


def items(folder: Path) -> list[WorkItem]:
    """Two of each stage."""
    film, config, span = planned_film(folder, 5)[0].ref, RunConfig(), FrameSpan(0, 4)
    anchors = AnchorsItem(film, config, 1, span, (0,), (), ("anchor",))
    segment = SegmentItem(film, config, "1", span, span, "start", "end", (), "segment")
    return [anchors, anchors, segment, segment]


def main() -> None:
    """Do all items at once."""
    with own_ray(2, gpus=2):
        from tasks import cluster, worker
        from tasks.groups import GroupedPool

        worker.Worker = OnGpu
        groups = place(paper(), Resources(2, 32 * GIB, gpus=2, gpu_bytes=80 * GIB), "cuda", None)
        pool = GroupedPool(groups, cluster.start_group)
        with tempfile.TemporaryDirectory() as folder:
            futures = [(item.stage, pool.submit(item)) for item in items(Path(folder))]
            gpus = [(stage, int(future.result(60).device)) for stage, future in futures]
        pool.close()
    print(
        json.dumps({each: sorted(gpu for stage, gpu in gpus if stage == each) for each in STAGES})
    )


if __name__ == "__main__":
    main()
