"""Prefect's retries: of a film's flow run, and the flow that tries a whole work root again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from colorize_core.claim import hold
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from flows.retry_failed import retry_failed
from tests.conftest import ROOT
from tests.film import film_request, quiet
from tests.flows.program import TIMEOUT_S, completed, program
from tests.poison import fail_once, poison

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


def statuses(request: FilmRequest) -> list[str]:
    """The film's and its segments', as the manifest has them now."""
    ids = film_ids(request.work)
    if not ids:
        return []
    paths = FilmPaths(request.work, ids[0])
    found = [*latest(paths, FilmRow).rows, *latest(paths, SegmentRow).rows]
    return [row.status for row in found]


def test_a_retry_by_prefect_does_what_failed_and_nothing_else(
    tmp_path: Path, ray_cluster: str, prefect_server: str
) -> None:
    request = film_request(tmp_path)
    poison(request, {17: "raise"})
    process = program(
        request, "--ray", ray_cluster, module="tests.flows.retried", PREFECT_API_URL=prefect_server
    )
    deadline = time.monotonic() + TIMEOUT_S
    while "quarantined" not in statuses(request):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    poison(request, {})
    code, said, err = completed(process)
    assert (code, said["status"]) == (0, "published"), err
    assert (said["recomputed_segments"], said["reused_segments"]) == (1, 5)


@pytest.fixture
def unfinished(tmp_path: Path) -> FilmRequest:
    """A film one of whose segments failed in an earlier run."""
    request = film_request(tmp_path)
    fail_once(request, {17: "raise"})
    return request


def test_the_flow_finishes_a_work_root(
    unfinished: FilmRequest, ray_cluster: str, prefect_server: str
) -> None:
    script = (
        "import sys; from flows.retry_failed import retry_failed; "
        "retry_failed(sys.argv[1], ray_address=sys.argv[2])"
    )
    for _ in range(2):  # the second time nothing is left
        ended = subprocess.run(
            [sys.executable, "-c", script, unfinished.work, ray_cluster],
            cwd=ROOT,
            env={**os.environ, "PREFECT_API_URL": prefect_server},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert ended.returncode == 0, ended.stderr
        assert statuses(unfinished) == ["published", *["done"] * 6]
        runs = {row.computed_in_run for row in _segments(unfinished)}
        assert len(runs) == 2


def _segments(request: FilmRequest) -> list[SegmentRow]:
    return list(latest(FilmPaths(request.work, film_ids(request.work)[0]), SegmentRow).rows)


def test_a_film_that_failed_too_often_is_left_alone_and_named(
    unfinished: FilmRequest, prefect_server: str
) -> None:
    """Without a cluster: it is not even asked for."""
    before = statuses(unfinished)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert retry_failed(unfinished.work, most_failures=1, ray_address="nowhere:1") == []
    assert statuses(unfinished) == before
    (film,) = film_ids(unfinished.work)
    assert {"film": film, "outcome": "left alone: 1 runs failed in a row"} in outcomes(
        prefect_server
    )


def test_a_film_that_another_run_is_at_has_not_failed_again(
    unfinished: FilmRequest, prefect_server: str
) -> None:
    (film,) = film_ids(unfinished.work)
    with (
        hold(FilmPaths(unfinished.work, film), quiet),
        temporary_settings({PREFECT_API_URL: prefect_server}),
    ):
        assert retry_failed(unfinished.work) == []
    (outcome,) = (each["outcome"] for each in outcomes(prefect_server) if each["film"] == film)
    assert outcome.startswith("Another run is working on this film")


def outcomes(server: str) -> list[dict[str, str]]:
    """The rows of all tables that the flow has shown, the newest first."""
    with SyncPrefectClient(server) as prefect:
        found = prefect.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["retry-failed"])),
            sort=ArtifactSort.CREATED_DESC,
        )
    return [row for each in found for row in json.loads(str(each.data))]
