"""One suite over both pools. Items are real ones, of a film made in code.

What only a cluster can show, deaths, is in tests/tasks/test_ray_pool.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from dataclasses import replace
from pathlib import Path

import pytest

from colorize_core.config import RunConfig
from colorize_core.engines.contract import CPU
from colorize_core.errors import ObjectMissing
from colorize_core.local import LocalPool
from colorize_core.placement import Group
from colorize_core.timebase import FrameSpan
from colorize_core.work import ChunkItem, Outcome, Pool
from tests.film import scanned_film


@pytest.fixture(
    params=[
        "local",
        pytest.param("ray", marks=[pytest.mark.cluster, pytest.mark.xdist_group("ray")]),
        pytest.param("grouped", marks=[pytest.mark.cluster, pytest.mark.xdist_group("ray")]),
    ]
)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    if request.param == "local":
        local = LocalPool()
        yield local
        local.close()
        return
    from tasks.cluster import start_group
    from tasks.groups import GroupedPool

    request.getfixturevalue("ray_cluster")
    group = Group(("finish",), 2, CPU)
    grouped = request.param == "grouped"
    remote = GroupedPool([group], start_group) if grouped else start_group(group)
    yield remote
    remote.close()


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[ChunkItem]:
    """Six chunks of a grey film: work that needs nothing but the source."""
    folder = tmp_path_factory.mktemp("pool")
    film = scanned_film(folder, frames=24)
    return [
        ChunkItem(
            film.ref,
            RunConfig(),
            0,
            FrameSpan(4 * i, 4 * i + 4),
            ((None, 4),),
            str(folder / f"{i}.mkv"),
        )
        for i in range(6)
    ]


def test_every_item_ends_with_its_own_outcome(pool: Pool, items: list[ChunkItem]) -> None:
    futures = [pool.submit(item) for item in items]
    outcomes = [future.result(60) for future in futures]
    assert [outcome.stored[0].uri for outcome in outcomes] == [item.output for item in items]
    assert all(outcome.stored[0].frames == 4 for outcome in outcomes)
    assert all(outcome.attempts == 1 and outcome.seconds > 0 for outcome in outcomes)
    assert all(Path(item.output).stat().st_size > 0 for item in items)


def test_an_error_is_the_items_own(pool: Pool, items: list[ChunkItem], tmp_path: Path) -> None:
    bad = replace(items[0], colours=((str(tmp_path / "nothing.parquet"), 4),))
    futures = [pool.submit(item) for item in (items[1], bad, items[2])]
    assert isinstance(futures[0].result(60), Outcome)
    with pytest.raises(ObjectMissing):
        futures[1].result(60)
    assert isinstance(futures[2].result(60), Outcome)


def test_a_released_stage_can_come_again(pool: Pool, items: list[ChunkItem]) -> None:
    """What it gave back is made again: a run that asks once more is slow, not wrong."""
    pool.submit(items[3]).result(60)
    pool.release("finish")
    pool.release("reference")
    assert pool.submit(items[4]).result(60).stored[0].frames == 4


def test_nothing_is_taken_after_close(pool: Pool, items: list[ChunkItem]) -> None:
    pool.close()
    pool.close()
    future = pool.submit(items[0])
    assert wait([future], timeout=10).done == {future}
    with pytest.raises(CancelledError):
        future.result()


def test_width(pool: Pool) -> None:
    assert pool.width >= 1
