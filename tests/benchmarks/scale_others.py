"""The segments of such a film by others, which keep no record of what was done: as plain Ray tasks,
and as Prefect tasks of prefect-ray's `RayTaskRunner`."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ray
from prefect import flow, task

from colorize_core.config import RunConfig
from colorize_core.timebase import FrameSpan
from colorize_core.work import SegmentItem
from tests.benchmarks.scale_cost import Cost, measured
from tests.benchmarks.scale_film import planned_film
from tests.benchmarks.scale_worker import idle


def costs(folder: Path, segments: int) -> Iterator[Cost]:
    """Both, for so many segments; the runner only where it is installed."""
    yield _cost("plain Ray tasks", folder, segments, _plain)
    if importlib.util.find_spec("prefect_ray"):
        yield _cost("prefect-ray's RayTaskRunner", folder, segments, _by_runner)


def _cost(
    name: str, folder: Path, segments: int, do: Callable[[Sequence[SegmentItem]], None]
) -> Cost:
    cost = Cost(name, segments, segments)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        items = _items(Path(place), segments)
        do(items[:2])  # starts processes
        with measured(cost):
            do(items[2:])
        assert all(Path(item.output).exists() for item in items)
    return cost


def _items(folder: Path, segments: int) -> list[SegmentItem]:
    film, config, span = planned_film(folder, 5)[0].ref, RunConfig(), FrameSpan(0, 24)
    return [
        SegmentItem(
            film, config, str(i), span, span, "start", "end", (), str(folder / f"{i}.parquet")
        )
        for i in range(segments + 2)
    ]


def _plain(items: Sequence[SegmentItem]) -> None:
    remote = ray.remote(max_retries=0)(idle)
    ray.get([remote.remote(item, 0.0) for item in items])


def _by_runner(items: Sequence[SegmentItem]) -> None:
    runner = importlib.import_module("prefect_ray").RayTaskRunner  # no dependency
    address = ray.get_runtime_context().gcs_address
    one = task(persist_result=False)(idle)

    @flow(task_runner=runner(address=address), persist_result=False)
    def all_items() -> None:
        for future in [one.submit(item, 0.0) for item in items]:
            future.result()

    all_items()
