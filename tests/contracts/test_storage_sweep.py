"""Objects are listed with size and time in every store, and a work root in one is swept."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from colorize_core import storage
from colorize_core.local import colorize_film
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.sweep import sweep
from tests.film import film_request, quiet
from tests.s3.endpoint import BUCKET, Endpoint, use_endpoint

CLOCKS_APART = timedelta(minutes=1)  # a store has its own


def test_objects_are_listed_with_size_and_time(store: str) -> None:
    assert storage.list_objects(store) == []
    before = datetime.now(UTC)
    for size, names in enumerate((("b",), ("f", "c"), ("f", "deeper", "d"))):
        storage.replace_atomically(storage.join(store, *names), b"x" * size)
    found = storage.list_objects(store)
    assert [(each.name, each.bytes) for each in found] == [("b", 0), ("f/c", 1), ("f/deeper/d", 2)]
    for each in found:
        assert before - CLOCKS_APART < each.modified < datetime.now(UTC) + CLOCKS_APART
    (inner,) = storage.list_objects(storage.join(store, "f", "deeper"))
    assert inner.name == "d"
    assert storage.list_objects(storage.join(store, "nothing")) == []


def test_links_on_a_disk_are_no_objects(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    for each in (folder, elsewhere):
        each.mkdir()
        (each / "object").write_bytes(b"x")
    (folder / "link").symlink_to(elsewhere / "object")
    (folder / "linked").symlink_to(elsewhere)
    assert [each.name for each in storage.list_objects(str(folder))] == ["object"]


def test_a_work_root_on_s3_is_swept(
    s3: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_endpoint(monkeypatch, s3)
    work = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    request = film_request(tmp_path).model_copy(update={"work": work})
    colorize_film(request, quiet)
    paths = FilmPaths(work, *film_ids(work))
    nameless = paths.segment("0" * 64)
    storage.replace_atomically(nameless, b"colours")
    before = storage.list_objects(paths.folder)
    later = datetime.now(UTC) + timedelta(days=1)
    (found,) = sweep(work, later, delete=True, progress=quiet)
    assert [paths.resolve(each.name) for each in found.old] == [nameless]
    after = storage.list_objects(paths.folder)
    gone = {each.name for each in before} - {each.name for each in after}
    assert gone == {paths.relative(nameless)}
    assert colorize_film(request, quiet).recomputed_segments == 0
