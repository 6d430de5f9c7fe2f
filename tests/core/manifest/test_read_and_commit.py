from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colorize_core import storage
from colorize_core.errors import CommitLost, ManifestUnreadable, ObjectDamaged, ObjectMissing
from colorize_core.manifest import commit as committing
from colorize_core.manifest import schema
from colorize_core.manifest.commit import Ledger, commit, encode
from colorize_core.manifest.read import decode, latest, read_version
from colorize_core.manifest.schema import FilmRow, SegmentRow, ShotRow
from colorize_core.paths import FilmPaths
from tests.core.manifest.rows import FILM, done, film, segment, shot


@pytest.fixture
def paths() -> FilmPaths:
    return FilmPaths(f"memory://{uuid.uuid4().hex}", FILM)


def test_no_manifest_is_version_0(paths: FilmPaths) -> None:
    found = latest(paths, SegmentRow)
    assert (found.version, tuple(found.rows), found.damaged) == (0, (), ())
    with pytest.raises(ObjectMissing):
        read_version(paths, SegmentRow, 1)


def test_rows_come_back_as_they_were_in_order(paths: FilmPaths) -> None:
    rows = [done(segment(1, 0)), segment(0, 1), segment(0, 0)]
    assert commit(paths, SegmentRow, rows, 0) == 1
    assert commit(paths, SegmentRow, rows[:1], 1) == 2
    assert read_version(paths, SegmentRow, 1) == (rows[2], rows[1], rows[0])
    assert tuple(latest(paths, SegmentRow).rows) == (rows[0],)
    commit(paths, FilmRow, [film()], 0)
    commit(paths, ShotRow, [shot(0)], 0)
    assert list(latest(paths, FilmRow).rows) == [film()]
    assert list(latest(paths, ShotRow).rows) == [shot(0)]


def test_the_same_rows_are_the_same_bytes() -> None:
    rows = [segment(0, 0), segment(0, 1)]
    data = encode(SegmentRow, rows, "name", "id", "me")
    assert data == encode(SegmentRow, rows[::-1], "name", "id", "me")


def test_a_manifest_is_plain_parquet_with_its_documentation(tmp_path: Path) -> None:
    paths = FilmPaths(str(tmp_path), FILM)
    commit(paths, SegmentRow, [done(segment(0, 0))], 0)
    table = pq.read_table(paths.manifest("segments", 1))
    assert table.column("status").to_pylist() == ["done"]
    assert table.schema.metadata[b"kinecolor.schema_version"] == b"4"
    assert table.schema.field("seed").metadata[b"description"] == b"Seed of every random draw."


def test_of_many_writers_after_one_version_one_commits(paths: FilmPaths) -> None:
    def write(n: int) -> bool:
        try:
            commit(paths, SegmentRow, [segment(0, n)], 0)
        except CommitLost as lost:
            assert "Another run is working on this film" in lost.what
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert list(latest(paths, SegmentRow).rows) == [segment(0, won.index(True))]


def test_a_commit_whose_answer_was_lost_is_ones_own(
    paths: FilmPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = storage.put_if_absent

    def put_without_answer(uri: str, data: bytes) -> bool:
        put(uri, data)
        return put(uri, data)  # what a retry inside a driver does

    monkeypatch.setattr(storage, "put_if_absent", put_without_answer)
    assert commit(paths, SegmentRow, [segment(0, 0)], 0) == 1


@pytest.mark.parametrize("data", [b"", b"half a fi"])
def test_a_damaged_version_is_passed_over_and_said(paths: FilmPaths, data: bytes) -> None:
    commit(paths, SegmentRow, [segment(0, 0)], 0)
    storage.put_if_absent(paths.manifest("segments", 2), data)
    found = latest(paths, SegmentRow)
    assert (found.version, list(found.rows), found.damaged) == (2, [segment(0, 0)], (2,))
    with pytest.raises(ObjectDamaged, match="segments-00000002"):
        read_version(paths, SegmentRow, 2)
    ledger = Ledger(paths)
    assert ledger.damaged == [paths.manifest("segments", 2)]
    ledger.update_segments([segment(0, 1)])
    ledger.flush()
    assert latest(paths, SegmentRow).version == 3


def test_versions_that_are_missing_are_said(paths: FilmPaths) -> None:
    for version in range(6):
        commit(paths, SegmentRow, [segment(0, version)], version)
    assert latest(paths, SegmentRow).missing == ()
    for version in (1, 3, 4):  # the oldest may be removed: nobody can tell that they were there
        storage.delete(paths.manifest("segments", version))
    found = latest(paths, SegmentRow)
    assert (list(found.rows), found.missing) == ([segment(0, 5)], (range(3, 5),))
    storage.delete(paths.manifest("segments", 6))
    commit(paths, SegmentRow, [], 7)
    first, last, other = (paths.manifest("segments", version) for version in (3, 4, 6))
    assert Ledger(paths).missing == [
        f"{first} to {last}",
        f"{other} to {paths.manifest('segments', 7)}",
    ]


def test_the_newest_version_may_be_lost(paths: FilmPaths) -> None:
    commit(paths, SegmentRow, [segment(0, 0)], 0)
    commit(paths, SegmentRow, [segment(0, 1)], 1)
    storage.delete(paths.manifest("segments", 2))
    ledger = Ledger(paths)
    assert (ledger.damaged, ledger.missing) == ([], [])
    ledger.update_segments([segment(0, 2)])
    ledger.flush()
    assert list(latest(paths, SegmentRow).rows) == [segment(0, 0), segment(0, 2)]


def test_every_flipped_bit_is_seen(paths: FilmPaths) -> None:
    commit(paths, SegmentRow, [segment(0, 0)], 0)
    data = storage.read(paths.manifest("segments", 1))
    draw = random.Random(7)
    drawn = (draw.randrange(len(data)) for _ in range(500))
    for at in (*range(12), *drawn, *range(len(data) - 600, len(data))):
        spoilt = bytearray(data)
        spoilt[at] ^= 1 << draw.randrange(8)
        with pytest.raises(ObjectDamaged):
            decode(bytes(spoilt), SegmentRow, paths, 1)


def test_every_cut_is_seen(paths: FilmPaths) -> None:
    commit(paths, SegmentRow, [segment(0, 0)], 0)
    data = storage.read(paths.manifest("segments", 1))
    for end in (*range(0, len(data), 97), *range(len(data) - 20, len(data))):
        with pytest.raises(ObjectDamaged):
            decode(data[:end], SegmentRow, paths, 1)
    with pytest.raises(ObjectDamaged):
        decode(data + data, SegmentRow, paths, 1)


def test_a_whole_version_in_anothers_place_is_damage(paths: FilmPaths) -> None:
    for version in range(2):
        commit(paths, SegmentRow, [segment(0, version)], version)
    first = storage.read(paths.manifest("segments", 1))
    assert decode(first, SegmentRow, paths, 1) == (segment(0, 0),)
    other = FilmPaths(paths.root, FILM[::-1])
    for place, version in ((paths, 2), (other, 1)):
        with pytest.raises(ObjectDamaged):
            decode(first, SegmentRow, place, version)
    moved = FilmPaths("memory://elsewhere", FILM)  # a work root may be moved
    assert decode(first, SegmentRow, moved, 1) == (segment(0, 0),)


def test_a_version_of_the_first_schema_needs_no_seal(paths: FilmPaths) -> None:
    sealed = encode(SegmentRow, [segment(0, 0)], "name", "id", "me")
    table = pq.read_table(pa.BufferReader(sealed))
    for schema_version, whole in (("1", True), ("2", False), ("4", False)):
        sink = pa.BufferOutputStream()
        marks = {**table.schema.metadata, b"kinecolor.schema_version": schema_version}
        pq.write_table(table.replace_schema_metadata(marks), sink)
        data = sink.getvalue().to_pybytes()
        if whole:
            assert decode(data, SegmentRow, paths, 1) == (segment(0, 0),)
        else:
            with pytest.raises(ObjectDamaged):
                decode(data, SegmentRow, paths, 1)


def test_a_parquet_file_of_another_program_is_no_manifest(paths: FilmPaths) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"film": [FILM]}), sink)
    with pytest.raises(ObjectDamaged):
        decode(sink.getvalue().to_pybytes(), FilmRow, paths, 1)


def test_a_newer_schema_is_refused_and_never_passed_over(
    paths: FilmPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(paths, FilmRow, [film()], 0)
    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA_VERSION", 5)
        schema.arrow_schema.cache_clear()
        commit(paths, FilmRow, [film("run-2")], 1)
    schema.arrow_schema.cache_clear()
    with pytest.raises(ManifestUnreadable, match="schema version 5") as caught:
        latest(paths, FilmRow)
    assert "Install" in caught.value.remedy


class Clock:
    """Stands for `time`: it goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(committing, "time", clock)
    return clock


def test_a_ledger_commits_now_and_then_and_at_a_flush(paths: FilmPaths, clock: Clock) -> None:
    ledger = Ledger(paths, min_interval_s=3)
    ledger.begin(film(), [shot(0)], [segment(0, 0), segment(0, 1)])
    assert [paths.manifest_versions(row.table) for row in schema.TABLES] == [[1]] * 3
    clock.now += 2
    ledger.update_segments([done(segment(0, 0))])
    assert paths.manifest_versions("segments") == [1]
    clock.now += 1
    ledger.commit_if_due()
    assert paths.manifest_versions("segments") == [1, 2]
    ledger.update_segments([done(segment(0, 1))])
    ledger.flush()
    ledger.flush()
    assert paths.manifest_versions("segments") == [1, 2, 3]
    assert paths.manifest_versions("shots") == [1]
    assert list(latest(paths, SegmentRow).rows) == ledger.segments()


def test_a_long_run_commits_less_often(paths: FilmPaths, clock: Clock) -> None:
    ledger = Ledger(paths, min_interval_s=3)
    for n in range(10_000):  # ten hours, a result every 3.6 s
        clock.now += 3.6
        row = segment(0, n % 4)
        ledger.update_segments([done(row) if n // 4 % 2 else row])
    assert 100 < len(paths.manifest_versions("segments")) < 700


def test_commits_take_no_more_than_a_twentieth_of_the_time(
    paths: FilmPaths, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a film's table, or slow its store, is."""
    put = storage.put_if_absent

    def put_slowly(uri: str, data: bytes) -> bool:
        clock.now += 5
        return put(uri, data)

    monkeypatch.setattr(storage, "put_if_absent", put_slowly)
    ledger = Ledger(paths, min_interval_s=3)
    for n in range(1000):
        clock.now += 1
        row = segment(0, n % 4)
        ledger.update_segments([done(row) if n // 4 % 2 else row])
    assert 5 * len(paths.manifest_versions("segments")) <= clock.now / 20


def test_a_row_that_did_not_change_is_no_reason_to_commit(paths: FilmPaths) -> None:
    ledger = Ledger(paths)
    ledger.begin(film(), [], [segment(0, 0)])
    ledger.update_segments([segment(0, 0)])
    ledger.flush()
    assert paths.manifest_versions("segments") == [1]


def test_a_ledger_goes_on_from_what_is_there(paths: FilmPaths) -> None:
    first = Ledger(paths)
    first.begin(film(), [shot(0)], [done(segment(0, 0)), segment(0, 1)])
    second = Ledger(paths)
    assert second.film() == film()
    assert second.shots() == [shot(0)]
    assert second.segments() == [done(segment(0, 0)), segment(0, 1)]
    second.begin(film("run-2"), [shot(0)], [segment(0, 0)])  # the shot list was edited
    assert list(latest(paths, SegmentRow).rows) == [segment(0, 0)]


def test_the_run_that_was_taken_over_finds_out(paths: FilmPaths) -> None:
    first, second = Ledger(paths), Ledger(paths)
    second.begin(film("run-2"), [], [segment(0, 0)])
    for _ in range(2):
        with pytest.raises(CommitLost):
            first.begin(film("run-1"), [], [segment(0, 0)])
    assert [row.run for row in latest(paths, FilmRow).rows] == ["run-2"]


def test_updates_from_many_threads_all_arrive(paths: FilmPaths) -> None:
    ledger = Ledger(paths, min_interval_s=0)
    with ThreadPoolExecutor(8) as pool:
        for n in range(40):
            pool.submit(ledger.update_segments, [segment(n, 0)])
    ledger.flush()
    assert list(latest(paths, SegmentRow).rows) == [segment(n, 0) for n in range(40)]
