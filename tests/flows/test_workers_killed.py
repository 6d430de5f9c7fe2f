"""Workers that are killed while a film is made: it comes out as if nothing had happened, and what
was finished is not made again."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from tests.film import film_request, quiet
from tests.flows.program import completed, digest, end, program
from tests.simulated_cluster import SimulatedCluster, simulated_cluster
from tests.watched import Step, Watch

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

SETTING = "anchor_interval=2"
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """The film, made in one go in this process."""
    request = film_request(tmp_path_factory.mktemp("undisturbed"), SETTING)
    colorize_film(request, quiet)
    return request


@pytest.fixture
def request_here(undisturbed: FilmRequest, tmp_path: Path) -> FilmRequest:
    """The same film into an empty work root."""
    places = {"output": str(tmp_path / "out.mkv"), "work": str(tmp_path / "work")}
    return undisturbed.model_copy(update=places)


@contextmanager
def running(request: FilmRequest, address: str, server: str) -> Iterator[subprocess.Popen[str]]:
    """The program, with watched workers on a cluster."""
    arguments = ("--ray", address, "--set", SETTING)
    process = program(request, *arguments, module="tests.watched", PREFECT_API_URL=server)
    try:
        yield process
    finally:
        end(process)


def held(watch: Watch, count: int, process: subprocess.Popen[str], try_: int = 1) -> list[Step]:
    """The workers that wait in such a try at an item, once there are so many."""
    deadline = time.monotonic() + TIMEOUT_S
    while len(found := [each for each in watch.steps("held") if each.try_ == try_]) < count:
        assert process.poll() is None and time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def is_as_if_undisturbed(
    process: subprocess.Popen[str], request: FilmRequest, undisturbed: FilmRequest
) -> dict[str, SegmentRow]:
    """The program ends well, with the same chunks and the same film. Returns the segments' rows."""
    code, said, err = completed(process)
    assert (code, said["status"]) == (0, "published"), err
    assert said["frames_out"] == said["frames_in"] == 36
    assert digest(request.output) == digest(undisturbed.output)
    assert digests(request) == digests(undisturbed)
    rows = {row.id: row for row in latest(film(request), SegmentRow).rows}
    assert {row.status for row in rows.values()} == {"done"}
    assert said["recomputed_segments"] == len(rows) and said["reused_segments"] == 0
    return rows


def film(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


def digests(request: FilmRequest) -> tuple[list[tuple[str, ...]], list[str | None]]:
    """Of all chunks, shot by shot, and of all segments."""
    paths = film(request)
    return (
        [row.chunk_digests for row in latest(paths, ShotRow).rows],
        [row.digest for row in latest(paths, SegmentRow).rows],
    )


def repeated(watch: Watch) -> Counter[str]:
    """How often each item was begun again. None was that had ended."""
    ended = {step.item for step in watch.steps("ended")}
    tries = Counter(step.item for step in watch.steps("begun"))
    assert ended == tries.keys()
    assert len(watch.steps("ended")) == len(ended)  # so a finished one was never begun again
    return Counter({item: count - 1 for item, count in tries.items() if count > 1})


def test_killed_in_mid_segment(
    request_here: FilmRequest, undisturbed: FilmRequest, ray_cluster: str, prefect_server: str
) -> None:
    watch = Watch(request_here.work)
    watch.hold({"segment 0002-0003": [1]})
    with running(request_here, ray_cluster, prefect_server) as process:
        (victim,) = held(watch, 1, process)
        psutil.Process(victim.pid).kill()
        rows = is_as_if_undisturbed(process, request_here, undisturbed)
    assert repeated(watch) == {"segment 0002-0003": 1}
    assert rows["0002-0003"].attempts == 2
    assert Counter(row.attempts for row in rows.values()) == {1: len(rows) - 1, 2: 1}


def test_every_worker_killed_in_turn(
    request_here: FilmRequest, undisturbed: FilmRequest, ray_cluster: str, prefect_server: str
) -> None:
    """Both workers of the cluster, and one that took a dead one's place."""
    first, second, third = "segment 0001-0001", "segment 0002-0001", "chunk 24-36 of shot 3"
    watch = Watch(request_here.work)
    watch.hold({item: [1] for item in (first, second, third)})
    with running(request_here, ray_cluster, prefect_server) as process:
        at_work = {step.item: step for step in held(watch, 2, process)}
        assert at_work.keys() == {first, second} and at_work[first].pid != at_work[second].pid
        psutil.Process(at_work[first].pid).kill()
        (_, _, successor) = held(watch, 3, process)
        psutil.Process(successor.pid).kill()
        psutil.Process(at_work[second].pid).kill()
        rows = is_as_if_undisturbed(process, request_here, undisturbed)
    assert successor.item == third
    assert repeated(watch) == dict.fromkeys((first, second, third), 1)
    assert {row.attempts for row in rows.values()} == {1, 2}


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    with simulated_cluster(nodes=3) as found:
        yield found


def test_two_of_three_nodes_lost(
    request_here: FilmRequest,
    undisturbed: FilmRequest,
    cluster: SimulatedCluster,
    prefect_server: str,
) -> None:
    """One after the other, so that the same segment is hit twice."""
    first_two = [f"segment {shot:04d}-000{n}" for shot in (1, 2, 3) for n in (1, 2)]
    hit = first_two[0]
    watch = Watch(request_here.work)
    watch.hold({**{each: [1] for each in first_two}, hit: [1, 2]})
    with running(request_here, cluster.address, prefect_server) as process:
        at_work = held(watch, len(first_two), process)  # every worker of the cluster
        assert Counter(step.node for step in at_work) == dict.fromkeys(cluster.nodes, 2)
        (node,) = (step.node for step in at_work if step.item == hit)
        cluster.lose(node)
        watch.let_go(1)
        (again,) = held(watch, 1, process, try_=2)
        assert again.node != node
        cluster.lose(again.node)
        rows = is_as_if_undisturbed(process, request_here, undisturbed)
    lost = [step.item for step in at_work if step.node == node]
    again = repeated(watch)
    assert again[hit] == 2 and set(lost) <= set(again) and again.total() <= 4
    assert max(row.attempts for row in rows.values()) == rows["0001-0001"].attempts == 3


def test_a_node_that_joins_gets_workers(
    request_here: FilmRequest, undisturbed: FilmRequest, prefect_server: str
) -> None:
    """Its workers were asked for before it was there, since there was work for them."""
    first_two = [f"segment {shot:04d}-000{n}" for shot in (1, 2) for n in (1, 2)]
    watch = Watch(request_here.work)
    watch.hold({each: [1] for each in first_two})
    with (
        simulated_cluster(nodes=1) as cluster,
        running(request_here, cluster.address, prefect_server) as process,
    ):
        held(watch, 2, process)  # every worker of the cluster
        node = cluster.join()
        at_work = held(watch, 4, process)
        assert Counter(step.node for step in at_work)[node] == 2
        watch.let_go(1)
        is_as_if_undisturbed(process, request_here, undisturbed)
    assert not repeated(watch)
