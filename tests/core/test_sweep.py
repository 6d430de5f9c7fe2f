"""What nothing names is found and deleted; what a run, or a person, would miss is not."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from colorize_core import storage
from colorize_core.archive.rollup import ArchiveRow
from colorize_core.claim import hold
from colorize_core.errors import InputError
from colorize_core.leftovers import KEPT_CLAIMS, KEPT_VERSIONS, Leftover
from colorize_core.local import colorize_film
from colorize_core.manifest.commit import CommitClock, commit
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import TABLES, SegmentRow
from colorize_core.paths import ArchivePaths, FilmPaths, film_ids
from colorize_core.request import FilmRequest
from colorize_core.sweep import FilmSweep, sweep
from tests.film import film_request, quiet
from tests.poison import fail_once

LATER = timedelta(days=1)


class Changed(NamedTuple):
    """A film that was made in one way, and after the moment `at` in another."""

    request: FilmRequest
    at: datetime


@pytest.fixture(scope="module", autouse=True)
def commits_of_stages() -> Iterator[None]:
    """No commit is made because time has passed: a slow machine would leave more versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CommitClock, "is_due", False)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film that is done."""
    request = film_request(tmp_path_factory.mktemp("finished"))
    colorize_film(request, quiet)
    return request


@pytest.fixture
def done(finished: FilmRequest, tmp_path: Path) -> FilmRequest:
    """The same in a work root that the test may change."""
    work = shutil.copytree(finished.work, tmp_path / "work")
    return finished.model_copy(update={"work": str(work)})


@pytest.fixture(scope="module")
def changed_at(finished: FilmRequest, tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """The same, made anew with another seed, so that everything of it has another name."""
    work = shutil.copytree(finished.work, tmp_path_factory.mktemp("changed") / "work")
    config = finished.config.model_copy(update={"seed": 7})
    request = finished.model_copy(update={"work": str(work), "config": config})
    moment = datetime.now(UTC)
    colorize_film(request, quiet)
    return Changed(request, moment)


@pytest.fixture
def changed(changed_at: Changed, tmp_path: Path) -> FilmRequest:
    """The same in a work root that the test may change."""
    work = shutil.copytree(changed_at.request.work, tmp_path / "work")
    return changed_at.request.model_copy(update={"work": str(work)})


def paths_of(request: FilmRequest) -> FilmPaths:
    (film,) = film_ids(request.work)
    return FilmPaths(request.work, film)


def swept(
    request: FilmRequest, before: datetime | None = None, *, delete: bool = False
) -> FilmSweep:
    """What was found of the one film. Without `before` everything that is unnamed is old."""
    moment = before or datetime.now(UTC) + LATER
    (found,) = sweep(request.work, moment, delete=delete, progress=quiet)
    return found


def kinds(found: Iterable[Leftover]) -> Counter[str]:
    return Counter(each.kind for each in found)


def files(request: FilmRequest) -> set[str]:
    folder = Path(request.work)
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


# -- what is left over -----------------------------------------------------------------------


def test_a_finished_film_leaves_nothing_over(done: FilmRequest) -> None:
    before = files(done)
    assert swept(done, delete=True).leftovers == ()
    assert files(done) == before


def test_what_another_setting_made_goes_and_the_film_stays_done(
    changed: FilmRequest, finished: FilmRequest
) -> None:
    first = {row.uri for row in latest(paths_of(finished), SegmentRow).rows}
    found = swept(changed, delete=True)
    assert found.deleted and kinds(found.old).keys() == {"anchors", "segments", "chunks"}
    assert {each.name for each in found.old if each.kind == "segments"} == first
    assert not any(Path(paths_of(changed).resolve(each.name)).exists() for each in found.old)
    summary = colorize_film(changed, quiet)
    assert (summary.recomputed_segments, summary.warnings) == (0, ())
    assert kinds(swept(changed).leftovers).keys() <= {"manifest"}


def test_nothing_is_deleted_unless_told(changed: FilmRequest) -> None:
    before, folder = files(changed), Path(paths_of(changed).folder)
    found = swept(changed)
    assert found.old and not found.deleted
    assert files(changed) == before
    assert all(each.bytes == (folder / each.name).stat().st_size for each in found.leftovers)
    for kind in found.by_kind():
        of_kind = [each.bytes for each in found.leftovers if each.kind == kind.kind]
        assert kind[1:] == (len(of_kind), sum(of_kind)) * 2


def test_what_was_named_when_the_grace_began_stays(
    changed: FilmRequest, changed_at: Changed, finished: FilmRequest
) -> None:
    """However old its object is: the setting that took the name away is young."""
    found = swept(changed, changed_at.at, delete=True)
    assert found.leftovers and not found.old
    back = finished.model_copy(update={"work": changed.work})
    assert colorize_film(back, quiet).recomputed_segments == 0


def test_what_is_younger_than_the_grace_stays(changed: FilmRequest) -> None:
    first = min(each.modified for each in swept(changed).leftovers)
    found = swept(changed, first - timedelta(seconds=1))
    assert found.leftovers and not found.old


def test_a_film_that_failed_keeps_all_that_its_retry_needs(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    fail_once(request, {17: "raise"})
    nameless = paths_of(request).chunk("0" * 64)  # as one that was made by a run that was killed
    storage.replace_atomically(nameless, b"a chunk")
    before = files(request)
    assert swept(request, delete=True).leftovers == ()
    assert files(request) == before
    summary = colorize_film(request, quiet)
    assert (summary.reused_segments, summary.recomputed_segments) == (5, 1)
    assert [paths_of(request).resolve(each.name) for each in swept(request).old] == [nameless]


def test_old_manifests_go_and_leave_no_gap(done: FilmRequest) -> None:
    paths = paths_of(done)
    for row in TABLES:
        found = latest(paths, row)
        for version in range(found.version, found.version + 7):
            commit(paths, row, list(found.rows), version)
    moment = datetime.now(UTC) + LATER
    assert kinds(swept(done, moment, delete=True).old).keys() == {"manifest"}
    for row in TABLES:
        assert len(paths.manifest_versions(row.table)) == KEPT_VERSIONS
    summary = colorize_film(done, quiet)
    assert (summary.recomputed_segments, summary.warnings) == (0, ())


def test_the_manifest_of_the_beginning_of_the_grace_stays(done: FilmRequest) -> None:
    paths = paths_of(done)
    then = latest(paths, SegmentRow)
    moment = datetime.now(UTC)
    for version in range(then.version, then.version + 9):
        commit(paths, SegmentRow, list(then.rows), version)
    swept(done, moment, delete=True)
    assert paths.manifest_versions("segments") == list(range(then.version, then.version + 10))


def test_old_claims_go_and_numbers_go_on(done: FilmRequest) -> None:
    paths = paths_of(done)
    for _ in range(KEPT_CLAIMS + 3):
        with hold(paths, quiet):
            pass
    last = paths.claims()[-1]
    assert kinds(swept(done, delete=True).old) == {"claims": last + 1 - KEPT_CLAIMS}
    assert paths.claims() == list(range(last + 2 - KEPT_CLAIMS, last + 2))
    with hold(paths, quiet):
        assert paths.claims()[-1] == last + 2


def test_old_versions_and_claims_of_an_archive_go(done: FilmRequest) -> None:
    archive = ArchivePaths(done.work)
    for version in range(KEPT_VERSIONS + 2):
        commit(archive, ArchiveRow, [ArchiveRow(name="one", source="one.mkv")], version)
    for _ in range(KEPT_CLAIMS):
        with hold(archive, quiet):
            pass
    moment = datetime.now(UTC) + LATER
    _, found = sweep(done.work, moment, delete=True, progress=quiet)
    assert (found.film, kinds(found.old)) == ("archive", {"manifest": 2, "claims": 1})
    assert archive.manifest_versions("films") == [3, 4, 5, 6, 7]
    assert archive.claims() == [2, 3, 4, 5, 6]


def test_what_killed_writers_left_goes(done: FilmRequest) -> None:
    left = Path(paths_of(done).folder) / "segments" / f"{storage.TEMPORARY}0123"
    left.write_bytes(b"half")
    (found,) = swept(done, delete=True).old
    assert (found.kind, found.name, found.bytes) == ("temporary", f"segments/{left.name}", 4)
    assert not left.exists()


# -- what is left alone ----------------------------------------------------------------------


def test_what_people_made_stays(done: FilmRequest) -> None:
    folder = Path(paths_of(done).folder)
    theirs = {
        *(folder / name for name in ("film.json", "shots.csv", "notes.txt", "manifest/mine.txt")),
        *(folder / name for name in ("segments/mine.parquet", "references/portrait.png")),
        *(folder / name for name in ("mine/0123456789abcdef.png", "chunks/0123456789abcdef.mp4")),
    }
    for each in theirs:
        each.parent.mkdir(exist_ok=True)
        each.touch()
    assert swept(done, delete=True).leftovers == ()
    assert all(each.exists() for each in theirs)


def test_a_film_that_a_run_is_at_stays(changed: FilmRequest) -> None:
    with hold(paths_of(changed), quiet):
        before = files(changed)
        found = swept(changed, delete=True)
        assert found.note.startswith("Another run is working on this film (process ")
        assert files(changed) == before
    assert swept(changed, delete=True).deleted


def test_a_damaged_manifest_says_nothing_and_its_film_stays(changed: FilmRequest) -> None:
    paths = paths_of(changed)
    newest = Path(paths.manifest("shots", paths.manifest_versions("shots")[-1]))
    data = newest.read_bytes()
    newest.write_bytes(data[:100] + b"?" + data[101:])
    before = files(changed)
    assert swept(changed, delete=True).note == "Its manifest of the shots is damaged."
    assert files(changed) == before


def test_a_manifest_of_a_newer_kinecolor_and_its_film_stay(
    done: FilmRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colorize_core.manifest.read.SCHEMA_VERSION", 2)
    before = files(done)
    assert "has schema version 4" in swept(done, delete=True).note
    assert files(done) == before


def test_what_links_lead_to_stays(done: FilmRequest, tmp_path: Path) -> None:
    paths = paths_of(done)
    outside = tmp_path / "outside"
    outside.mkdir()
    far = outside / f"{'0' * 64}.parquet"
    far.write_bytes(b"far away")
    (Path(paths.folder) / "segments" / far.name).symlink_to(far)
    (Path(paths.folder) / "chunks" / "linked").symlink_to(outside)
    assert swept(done, delete=True).leftovers == ()
    moved = shutil.move(paths.folder, outside / "film")
    Path(paths.folder).symlink_to(moved)
    (Path(moved) / "segments" / f"{storage.TEMPORARY}0").touch()
    assert swept(done, delete=True) == FilmSweep(film=paths.film, note="It is a link to elsewhere.")
    assert far.exists() and (Path(moved) / "segments" / f"{storage.TEMPORARY}0").exists()


def test_folders_that_are_no_films_are_named(done: FilmRequest) -> None:
    films = Path(done.work) / "films"
    for name in ("old", "0" * 16):
        (films / name / "segments").mkdir(parents=True)
        (films / name / "segments" / f"{'0' * 64}.parquet").touch()
    moment = datetime.now(UTC) + LATER
    found = list(sweep(done.work, moment, delete=True, progress=quiet))
    assert [(each.film, each.note) for each in found if each.note] == [
        ("0" * 16, "It was never scanned to its end."),
        ("old", "It is no film's folder."),
    ]
    assert all((films / each.film / "segments").iterdir() for each in found)


def test_one_film_of_a_work_root(done: FilmRequest) -> None:
    folder = paths_of(done).folder
    (Path(done.work) / "films" / "old").mkdir()
    (found,) = sweep(folder, datetime.now(UTC), delete=False, progress=quiet)
    assert found == FilmSweep(film=paths_of(done).film)


def test_what_is_no_work_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a work root nor a film"):
        list(sweep(str(tmp_path), datetime.now(UTC), delete=True, progress=quiet))
