"""The preset `paper` through a real Prefect server and a real Ray, with tiny random networks:
killed in the middle, resumed, and the same bytes as in one process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from colorize_core.summary import RunSummary
from tests.film import film_request, quiet, stored_segments
from tests.flows.program import TIMEOUT_S, completed, digest, end, program
from tests.tiny.paper import paper_settings

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


@contextmanager
def running(
    request: FilmRequest, settings: tuple[str, ...], cluster: str, server: str
) -> Iterator[subprocess.Popen[str]]:
    """The program at work on `request`; it is killed at the end if it still runs."""
    assignments = (part for each in settings for part in ("--set", each))
    process = program(
        request, *("--ray", cluster, "--device", "cpu"), *assignments, PREFECT_API_URL=server
    )
    try:
        yield process
    finally:
        end(process)


def test_killed_and_resumed_on_a_cluster(
    tmp_path: Path, paper_models: Path, ray_cluster: str, prefect_server: str
) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    settings = paper_settings(paper_models)
    request = film_request(tmp_path, *settings, stills=(), preset="paper")
    with running(request, settings, ray_cluster, prefect_server) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while stored_segments(request) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        assert process.wait(TIMEOUT_S) == -signal.SIGKILL
    kept = stored_segments(request)
    assert kept < 7 and not Path(request.output).exists()

    with running(request, settings, ray_cluster, prefect_server) as process:
        code, said, err = completed(process)
    assert code == 0, err
    summary = RunSummary.model_validate(said)
    assert (summary.frames_in, summary.frames_out, summary.grey_shots) == (36, 36, ())
    assert summary.reused_segments >= kept and summary.luma_exact

    places = {"output": str(tmp_path / "here.mkv"), "work": str(tmp_path / "here")}
    colorize_film(request.model_copy(update=places), quiet, "cpu")
    assert digest(request.output) == digest(places["output"])

    with SyncPrefectClient(prefect_server) as client:
        names = {each.name for each in client.read_task_runs()}
        keys = {each.key for each in client.read_artifacts()}
    assert "references · make stills" in names
    assert f"{Path(summary.film).name}-make-references" in keys
