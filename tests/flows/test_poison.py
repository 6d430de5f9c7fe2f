"""Segments that always fail, on a real Ray: they end quarantined, the others are done, and a person
is told what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from flows.cli import run
from tests.film import film_request, quiet
from tests.flows.program import completed, digest, program, start
from tests.poison import Kind, poison

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

SETTINGS = ("anchor_interval=3",)
# the second segment of each shot, by its first frame
POISON: dict[int, Kind] = {3: "raise", 13: "segfault", 27: "memory"}
POISONED = ("0001-0002", "0002-0002", "0003-0002")


def rows(request: FilmRequest) -> dict[str, SegmentRow]:
    return {row.id: row for row in latest(paths(request), SegmentRow).rows}


def paths(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """The film without poison, published."""
    request = film_request(tmp_path_factory.mktemp("healthy"), *SETTINGS)
    colorize_film(request, quiet)
    return request


@pytest.fixture(scope="module")
def poisoned(
    healthy: FilmRequest,
    tmp_path_factory: pytest.TempPathFactory,
    ray_cluster: str,
    prefect_server: str,
) -> tuple[FilmRequest, int, dict[str, object], str]:
    """A run over the same film with poison: what was asked for, and what the program said."""
    folder = tmp_path_factory.mktemp("poisoned")
    request = healthy.model_copy(
        update={"output": str(folder / "out.mkv"), "work": str(folder / "work")}
    )
    poison(request, POISON)
    settings = [part for each in SETTINGS for part in ("--set", each)]
    process = program(
        request,
        *("--ray", ray_cluster, *settings),
        module="tests.poison",
        PREFECT_API_URL=prefect_server,
    )
    return request, *completed(process)


def test_poison_is_quarantined_and_the_others_are_done(poisoned: tuple) -> None:
    request, code, said, err = poisoned
    assert (code, said["status"]) == (2, "unfinished"), err
    assert said["failed_segments"] == list(POISONED)
    assert not Path(request.output).exists()
    found = rows(request)
    failed = {each: row.status for each, row in found.items() if row.status != "done"}
    assert failed == dict.fromkeys(POISONED, "quarantined")
    why = {each: (found[each].error_class, found[each].attempts) for each in POISONED}
    assert why == {
        "0001-0002": ("EngineFailed", 2),
        "0002-0002": ("WorkerLost", 3),
        "0003-0002": ("OutOfMemory", 3),
    }
    assert "ZeroDivisionError: poison" in str(found["0001-0002"].error)


def test_a_person_is_told_which_and_what_to_type(poisoned: tuple) -> None:
    request, _, _, err = poisoned
    what, remedy = err.splitlines()[-2:]
    assert all(each in what for each in POISONED)
    assert remedy.endswith(f"kinecolor retry {request.work}")
    report = Path(paths(request).report_index).read_text()
    assert f"kinecolor retry {request.work}" in report and "poison" in report


def test_retry_makes_what_failed_and_nothing_else(
    poisoned: tuple,
    healthy: FilmRequest,
    ray_cluster: str,
    prefect_server: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    request = poisoned[0]
    poison(request, {27: "memory"})
    stamps = {each.name: each.stat().st_mtime_ns for each in _segments(request)}
    # one by its name
    assert run(["retry", request.work, "--segment", POISONED[0], "--local"]) == 2
    found = rows(request)
    assert [found[each].status for each in POISONED] == ["done", "quarantined", "quarantined"]
    assert found[POISONED[1]].error_class == "WorkerLost"  # as it was: it was not tried
    # all the others, on the cluster, where one is still poison
    process = start(
        Path(request.work),
        *("retry", request.work, "--ray", ray_cluster),
        module="tests.poison",
        PREFECT_API_URL=prefect_server,
    )
    code, said, err = completed(process)
    assert code == 2, err
    assert said["films"][0]["recomputed_segments"] == 1
    assert said["films"][0]["failed_segments"] == [POISONED[2]]
    # a shot that has nothing to retry
    assert run(["retry", request.work, "--shot", "1", "--local"]) == 1
    assert "no unfinished segment" in capfd.readouterr().err
    # the last one
    poison(request, {})
    assert run(["retry", request.work, "--shot", "3", "--quarantined", "--local"]) == 0
    assert digest(request.output) == digest(healthy.output)
    assert {row.status for row in rows(request).values()} == {"done"}
    after = {each.name: each.stat().st_mtime_ns for each in _segments(request)}
    assert stamps.items() <= after.items() and len(after) == len(stamps) + 3
    # nothing is left to do
    assert run(["retry", request.work, "--local"]) == 0
    assert "Nothing has failed" in capfd.readouterr().err


def _segments(request: FilmRequest) -> list[Path]:
    return list(Path(paths(request).folder, "segments").iterdir())
