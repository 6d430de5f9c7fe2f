"""How often a film failed in a row is counted over its runs, so that poison can be left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colorize_core.local import colorize_film
from colorize_core.manifest.commit import commit, encode
from colorize_core.manifest.read import decode, latest
from colorize_core.manifest.schema import FilmRow
from colorize_core.manifest.seal import OPEN_SEAL, SEAL_KEY, seal
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from colorize_core.retry import failures_in_a_row
from tests.film import film_request, quiet
from tests.poison import fail_once


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film whose first run failed."""
    request = film_request(tmp_path_factory.mktemp("made"))
    fail_once(request, {17: "raise"})
    return request


@pytest.fixture
def failed(made: FilmRequest, tmp_path: Path) -> FilmRequest:
    """The same in a work root of the test's own."""
    work = shutil.copytree(made.work, tmp_path / "work")
    return made.model_copy(update={"work": str(work), "output": str(tmp_path / "out.mkv")})


def paths_of(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


def failures(request: FilmRequest) -> int:
    return failures_in_a_row(paths_of(request))


def row_of(request: FilmRequest) -> FilmRow:
    (row,) = latest(paths_of(request), FilmRow).rows
    return row


def rewrite(request: FilmRequest, **fields: object) -> None:
    """Commits the film's row with other values, as another run would have left it."""
    paths = paths_of(request)
    found = latest(paths, FilmRow)
    row = FilmRow.model_validate(found.rows[0].model_dump() | fields)
    commit(paths, FilmRow, [row], found.version)


def test_failed_runs_are_counted_until_one_publishes(failed: FilmRequest) -> None:
    assert failures(failed) == 1
    fail_once(failed, {17: "raise"})
    assert failures(failed) == 2
    colorize_film(failed, quiet)
    assert failures(failed) == 0


def test_a_run_that_was_killed_counts_once_another_begins(failed: FilmRequest) -> None:
    rewrite(failed, status="running")  # it did not live to say more
    assert failures(failed) == 1
    fail_once(failed, {17: "raise"})
    assert failures(failed) == 3


def test_a_run_that_somebody_stopped_does_not_count(
    failed: FilmRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        interrupted.setattr("colorize_core.run.FilmRun.colorize_shot", stop)
        colorize_film(failed, quiet)
    assert (row_of(failed).status, failures(failed)) == ("stopped", 1)


def test_another_configuration_begins_anew(failed: FilmRequest) -> None:
    fail_once(failed, {17: "raise"})
    config = failed.config.model_copy(update={"seed": 7})
    fail_once(failed.model_copy(update={"config": config}), {17: "raise"})
    assert failures(failed) == 1


def test_another_place_of_the_source_begins_anew(failed: FilmRequest, tmp_path: Path) -> None:
    fail_once(failed, {17: "raise"})
    elsewhere = shutil.copy(failed.source, tmp_path / "elsewhere.mkv")
    fail_once(failed.model_copy(update={"source": str(elsewhere)}), {17: "raise"})
    assert failures(failed) == 1


def test_a_film_with_failed_frames_has_failed(failed: FilmRequest) -> None:
    """It is published, and a retry would try them again."""
    config = failed.config.model_copy(update={"on_failure": "grey"})
    request = failed.model_copy(update={"config": config})
    for count in (1, 2):
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            fail_once(request, {17: "raise"})  # it is not unfinished
        assert (row_of(request).status, failures(request)) == ("published", count)


def test_a_manifest_of_schema_2_is_read(failed: FilmRequest) -> None:
    """It has no such column."""
    paths, row = paths_of(failed), row_of(failed)
    new = pq.read_table(pa.BufferReader(encode(FilmRow, [row], "name", "id", "me")))
    old = new.drop_columns(["failures_in_a_row"])
    marks = {**(new.schema.metadata or {}), b"kinecolor.schema_version": b"2", SEAL_KEY: OPEN_SEAL}
    sink = pa.BufferOutputStream()
    pq.write_table(old.replace_schema_metadata(marks), sink)
    name = f"{paths.film}/{paths.relative(paths.manifest('films', 1))}"
    data = seal(sink.getvalue().to_pybytes(), name)
    assert decode(data, FilmRow, paths, 1) == (row.model_copy(update={"failures_in_a_row": 0}),)
