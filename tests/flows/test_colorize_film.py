"""The flow on a real Ray and a real Prefect server, started as people start it: by the program."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow
from colorize_core.paths import FilmPaths
from colorize_core.request import FilmRequest
from colorize_core.summary import RunSummary
from tests.film import film_request, quiet
from tests.flows.program import completed, digest, program

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run of the program over a film: what was asked for and what it said."""

    request: FilmRequest
    summary: RunSummary
    driver: int


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, ray_cluster: str, prefect_server: str
) -> Finished:
    request = film_request(tmp_path_factory.mktemp("finished"))
    process = program(request, "--ray", ray_cluster, PREFECT_API_URL=prefect_server)
    code, said, err = completed(process)
    assert code == 0, err
    return Finished(request, RunSummary.model_validate(said), process.pid)


def test_published_with_the_same_bytes_as_in_one_process(
    finished: Finished, tmp_path: Path
) -> None:
    summary = finished.summary
    assert (summary.status, summary.luma_exact) == ("published", True)
    assert (summary.frames_in, summary.frames_out, summary.shots) == (36, 36, 3)
    assert (summary.recomputed_segments, summary.reused_segments) == (6, 0)
    places = {"output": str(tmp_path / "out.mkv"), "work": str(tmp_path / "work")}
    colorize_film(finished.request.model_copy(update=places), quiet)
    assert digest(finished.request.output) == digest(places["output"])


def test_the_clusters_workers_made_the_segments(finished: Finished) -> None:
    paths = FilmPaths(finished.summary.work, Path(finished.summary.film).name)
    workers = {int(row.worker or 0) for row in latest(paths, SegmentRow).rows}
    assert workers and workers.isdisjoint({0, finished.driver, os.getpid()})
    assert not any(psutil.pid_exists(worker) for worker in workers)


def test_what_prefect_shows(finished: Finished, prefect_server: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(prefect_server) as client:
        (flow_run,) = (
            each
            for each in client.read_flow_runs()
            if each.parameters.get("request", {}).get("source") == finished.request.source
        )
        tasks = {
            each.name: each.state_name
            for each in client.read_task_runs()
            if each.flow_run_id == flow_run.id
        }
        artifacts = {each.key: each for each in client.read_artifacts()}
    assert flow_run.state_name == "Completed"
    assert set(tasks) == {
        "ingest · scan the source",
        "plan · choose references",
        "shot 0001 · 10 frames",
        "shot 0002 · 14 frames",
        "shot 0003 · 12 frames",
        "deliver · join, verify, publish",
    }
    assert set(tasks.values()) == {"Completed"}
    film = Path(finished.summary.film).name
    assert artifacts[f"{film}-colorize"].type == "progress"
    assert artifacts[f"{film}-colorize"].data == 100
    table = artifacts[f"{film}-segments"]
    assert table.type == "table" and isinstance(table.data, str)
    rows = json.loads(table.data)
    assert [row["segment"] for row in rows] == [
        f"{i:04d}-{j:04d}" for i in (1, 2, 3) for j in (1, 2)
    ]
    assert {row["status"] for row in rows} == {"done"}
    said = artifacts[f"{film}-summary"]
    assert said.type == "markdown" and "36 in, 36 out" in str(said.data)


def test_a_held_film_shows_as_held(tmp_path: Path, ray_cluster: str, prefect_server: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    request = film_request(tmp_path)
    arguments = ("--ray", ray_cluster, "--hold-below", "1")
    code, said, err = completed(program(request, *arguments, PREFECT_API_URL=prefect_server))
    assert (code, said["status"]) == (2, "held"), err
    assert "--hold-below 0" in err.splitlines()[-1]
    with SyncPrefectClient(prefect_server) as client:
        (flow_run,) = (
            each
            for each in client.read_flow_runs()
            if each.parameters.get("request", {}).get("source") == request.source
        )
        artifacts = {each.key: each for each in client.read_artifacts()}
    assert flow_run.state is not None
    assert (flow_run.state.type, flow_run.state.name) == ("FAILED", "Held")
    assert "score below 1" in str(flow_run.state.message)
    told = str(artifacts[f"{Path(said['film']).name}-summary"].data)
    assert "Shots to look at" in told and "**held**" in told


# -- what is not there -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "what"),
    [
        (("--ray", "127.0.0.1:9"), {}, "No Ray cluster answers at 127.0.0.1:9."),
        ((), {"RAY_ADDRESS": "127.0.0.1:9"}, "No Ray cluster answers at 127.0.0.1:9."),
        (("--ray", "ray://127.0.0.1:10001"), {}, "ray:// is Ray's client protocol"),
        ((), {"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "No Prefect server answers"),
    ],
)
def test_what_is_asked_for_and_not_there_is_an_error(
    tmp_path: Path,
    prefect_server: str,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    what: str,
) -> None:
    request = film_request(tmp_path)
    process = program(request, *arguments, **{"PREFECT_API_URL": prefect_server, **variables})
    code, said, err = completed(process)
    assert (code, said["status"]) == (1, "error")
    assert what in said["error"] and said["remedy"]
    assert err.splitlines()[-2:] == [f"Error: {said['error']}", said["remedy"]]
    assert not Path(request.work, "films").exists()
