"""However a run is told to end, or killed: nothing of it stays behind, and the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, State

from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from tests.conftest import ROOT
from tests.film import film_request, quiet, stored_segments
from tests.flows.program import TIMEOUT_S, completed, digest, end, program

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

SETTING = "anchor_interval=1"  # a segment for each frame but the last of a shot
SEGMENTS = 9 + 13 + 11
GONE_S = 30  # for the 10 s that are promised, on a busy machine
SERVE = "from flows.colorize_film import colorize_film; colorize_film.serve(name='served')"

Program = subprocess.Popen[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film that was made in one go."""
    request = film_request(tmp_path_factory.mktemp("undisturbed"), SETTING)
    colorize_film(request, quiet)
    return request


@pytest.fixture
def request_here(undisturbed: FilmRequest, tmp_path: Path) -> FilmRequest:
    """The same film into an empty work root."""
    places = {"output": str(tmp_path / "out.mkv"), "work": str(tmp_path / "work")}
    return undisturbed.model_copy(update=places)


@contextmanager
def running(request: FilmRequest, *arguments: str, **variables: str) -> Iterator[Program]:
    """The program, in the middle of a film."""
    process = program(request, "--set", SETTING, *arguments, **variables)
    try:
        wait_until(lambda: stored_segments(request) >= 2, process)
        yield process
    finally:
        end(process)


@contextmanager
def running_on(cluster: str, server: str, request: FilmRequest) -> Iterator[Program]:
    """The same with a worker on a cluster, which hangs, so that the run cannot end by itself."""
    arguments = ("--ray", cluster, "--workers", "1")
    with running(request, *arguments, PREFECT_API_URL=server) as process:
        for worker in workers():
            worker.suspend()
        yield process


def wait_until(condition: Callable[[], object], process: Program | None = None) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers() -> list[psutil.Process]:
    """The actors' processes on the tests' own cluster."""
    return [each for each in family(os.getpid()) if each.name().startswith("ray::Worker")]


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def is_tracker(process: psutil.Process) -> bool:
    return "resource_tracker" in " ".join(process.cmdline())


def is_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GONE_S)
    assert alive == []


def ended_in_order(process: Program, code: int, what: str) -> None:
    """The program has ended by itself, said why, and how to go on."""
    exit_code, said, err = completed(process)
    assert exit_code == code, err
    assert (said["status"], said["error"]) == ("interrupted", what)
    assert said["remedy"].startswith("Finished work is kept. To go on: kinecolor colorize ")
    assert err.splitlines()[-2:] == [f"Error: {what}", said["remedy"]]
    assert "Traceback" not in err and "***" not in err


def goes_on(request: FilmRequest, undisturbed: FilmRequest, status: str) -> None:
    """The manifest says what came of the run, and the next one makes the rest."""
    (film,) = film_ids(request.work)
    assert [row.status for row in latest(FilmPaths(request.work, film), FilmRow).rows] == [status]
    assert not Path(request.output).exists()
    found = stored_segments(request)
    summary = colorize_film(request, quiet)
    assert (summary.reused_segments, summary.recomputed_segments) == (found, SEGMENTS - found)
    assert digest(request.output) == digest(undisturbed.output)


# -- cancelled in Prefect --------------------------------------------------------------------


@pytest.mark.parametrize("state", [Cancelling, Cancelled])
def test_cancelled_in_prefect(
    state: Callable[[], State[None]],
    request_here: FilmRequest,
    undisturbed: FilmRequest,
    ray_cluster: str,
    prefect_server: str,
) -> None:
    with (
        running_on(ray_cluster, prefect_server, request_here) as process,
        SyncPrefectClient(prefect_server) as prefect,
    ):
        actors = workers()
        (run,) = (
            each
            for each in prefect.read_flow_runs()
            if each.parameters.get("request", {}).get("work") == request_here.work
        )
        prefect.set_flow_run_state(run.id, state())
        is_gone(actors)
        ended_in_order(process, 130, "The run was cancelled in Prefect.")
        assert prefect.read_flow_run(run.id).state_name == "Cancelled"
    goes_on(request_here, undisturbed, "stopped")


@contextmanager
def served(server: str, home: Path) -> Iterator[int]:
    """The flow as a deployment, served by a process of its own; gives the process's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=ROOT,
        env={
            **os.environ,
            "PREFECT_API_URL": server,
            "PREFECT_HOME": str(home),
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
        },
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.pid
    finally:
        end(process)


def begin(prefect: SyncPrefectClient, request: FilmRequest, cluster: str) -> FlowRun:
    """A run of the deployment, once that is there."""
    deployments: list[UUID] = []

    def is_there() -> bool:
        try:
            deployments.append(prefect.read_deployment_by_name("colorize-film/served").id)
        except ObjectNotFound:
            return False
        return True

    wait_until(is_there)
    parameters = {"request": request.model_dump(mode="json"), "ray_address": cluster, "workers": 1}
    return prefect.create_flow_run_from_deployment(deployments[0], parameters=parameters)


def test_a_deployments_run_cancelled(
    request_here: FilmRequest,
    undisturbed: FilmRequest,
    ray_cluster: str,
    prefect_server: str,
    tmp_path: Path,
) -> None:
    with (
        SyncPrefectClient(prefect_server) as prefect,
        served(prefect_server, tmp_path / "prefect") as server,
    ):
        run = begin(prefect, request_here, ray_cluster)
        wait_until(lambda: stored_segments(request_here) >= 2)
        for worker in workers():
            worker.suspend()
        # the serving process keeps a helper of its own, which Python's multiprocessing starts
        its_processes = [*workers(), *(p for p in family(server) if not is_tracker(p))]
        assert len(its_processes) > 1
        prefect.set_flow_run_state(run.id, Cancelling())
        is_gone(its_processes)
        wait_until(lambda: prefect.read_flow_run(run.id).state_name == "Cancelled")
    goes_on(request_here, undisturbed, "stopped")


# -- signals ---------------------------------------------------------------------------------


def test_ctrl_c(request_here: FilmRequest, undisturbed: FilmRequest) -> None:
    """As a terminal sends it: to the run's Ray and Prefect server, too, which are its own."""
    with running(request_here, "--workers", "1") as process:
        everything = family(process.pid)
        assert any("raylet" in each.name() for each in everything)
        os.killpg(process.pid, signal.SIGINT)
        ended_in_order(process, 130, "Interrupted.")
        is_gone(everything)
    goes_on(request_here, undisturbed, "stopped")


@pytest.mark.parametrize(
    ("number", "what"),
    [(signal.SIGTERM, "Told to end by SIGTERM."), (signal.SIGHUP, "The terminal has gone.")],
)
def test_other_signals(
    number: signal.Signals,
    what: str,
    request_here: FilmRequest,
    undisturbed: FilmRequest,
    ray_cluster: str,
    prefect_server: str,
) -> None:
    with running_on(ray_cluster, prefect_server, request_here) as process:
        actors = workers()
        process.send_signal(number)
        process.send_signal(number)  # `timeout` and others send it twice
        ended_in_order(process, 128 + number, what)
        is_gone(actors)
    goes_on(request_here, undisturbed, "stopped")


def test_sigterm_without_ray(request_here: FilmRequest, undisturbed: FilmRequest) -> None:
    with running(request_here, "--local") as process:
        process.terminate()
        ended_in_order(process, 143, "Told to end by SIGTERM.")
    goes_on(request_here, undisturbed, "stopped")


def test_a_second_ctrl_c_ends_what_hangs(
    request_here: FilmRequest, undisturbed: FilmRequest, ray_cluster: str, prefect_server: str
) -> None:
    """Prefect's server does not answer, so that the run cannot tell it of its end."""
    port = prefect_server.split(":")[2].partition("/")[0]
    (server,) = (each for each in family(os.getpid()) if port in each.cmdline())
    with running_on(ray_cluster, prefect_server, request_here) as process:
        actors = workers()
        server.suspend()
        try:
            process.send_signal(signal.SIGINT)
            is_gone(actors)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
        finally:
            server.resume()
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.endswith("Ended at once. Finished work is kept.\n") and "Traceback" not in err
    goes_on(request_here, undisturbed, "stopped")


# -- SIGKILL ---------------------------------------------------------------------------------


def test_killed_with_a_ray_and_a_prefect_server_of_its_own(
    request_here: FilmRequest, undisturbed: FilmRequest
) -> None:
    with running(request_here, "--workers", "1") as process:
        everything = family(process.pid)
        assert any("raylet" in each.name() for each in everything)
        process.kill()
        is_gone(everything)
    goes_on(request_here, undisturbed, "running")


def test_killed_on_a_cluster(
    request_here: FilmRequest, undisturbed: FilmRequest, ray_cluster: str, prefect_server: str
) -> None:
    with running_on(ray_cluster, prefect_server, request_here) as process:
        actors = workers()
        process.kill()
        is_gone(actors)
    goes_on(request_here, undisturbed, "running")
