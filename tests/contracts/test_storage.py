"""What `storage` promises, over every kind of store that it writes to."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from colorize_core import storage, storage_reader, storage_remote
from colorize_core.errors import ObjectMissing
from tests.conftest import ROOT

WRITERS = 16


def test_an_object_is_read_back_with_its_size_and_digest(store: str) -> None:
    uri = storage.join(store, "a", "film.bin")
    data = os.urandom(100_000)
    seen: list[tuple[int, int]] = []
    storage.replace_atomically(uri, data)
    assert storage.read(uri) == data
    assert storage.size(uri) == len(data)
    assert storage.exists(uri)
    assert storage.sha256(uri, lambda done, total: seen.append((done, total))) == (
        hashlib.sha256(data).hexdigest()
    )
    assert seen[-1] == (len(data), len(data))


def test_a_fingerprint_tells_of_another_content(store: str) -> None:
    uri = storage.join(store, "film.bin")
    storage.replace_atomically(uri, b"one film")
    before = storage.fingerprint(uri)
    assert storage.fingerprint(uri) == before
    storage.replace_atomically(uri, b"another one")
    assert storage.fingerprint(uri) != before
    storage.delete(uri)
    with pytest.raises(ObjectMissing):
        storage.fingerprint(uri)


def test_objects_are_found_below_a_folder_and_by_globs(store: str) -> None:
    names = ["a.mkv", "b/c.mkv", "b/d/e.mov", "b/f.txt"]
    uris = [storage.join(store, "reels", *name.split("/")) for name in names]
    for uri in uris:
        storage.replace_atomically(uri, b"x")
    reels = storage.join(store, "reels")
    assert storage.find(reels) == uris
    assert storage.find(storage.join(reels, "**", "*.mkv")) == uris[:2]
    assert storage.find(storage.join(reels, "b", "?", "*.m[ko]v")) == uris[2:3]
    assert storage.find(storage.join(store, "none")) == []
    assert storage.find(storage.join(store, "none*")) == []


def test_an_empty_object_is_an_object(store: str) -> None:
    uri = storage.join(store, "empty")
    assert storage.put_if_absent(uri, b"")
    assert storage.exists(uri)
    assert storage.size(uri) == 0
    assert storage.read(uri) == b""
    assert not storage.put_if_absent(uri, b"late")


def test_of_many_writers_exactly_one_creates(store: str) -> None:
    uri = storage.join(store, "deep", "lock")
    start = threading.Barrier(WRITERS)

    def write(writer: int) -> bool:
        start.wait()
        return storage.put_if_absent(uri, f"writer {writer}".encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(write, range(WRITERS)))
    assert sum(won) == 1
    assert storage.read(uri) == f"writer {won.index(True)}".encode()
    assert storage.list_names(storage.parent(uri)) == ["lock"]


def test_of_many_processes_exactly_one_creates(store: str) -> None:
    if store.startswith("memory:"):
        pytest.skip("each process has a memory of its own")
    uri = storage.join(store, "deep", "lock")
    done = subprocess.run(
        [sys.executable, "-m", "tests.s3.racers", uri, str(WRITERS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    won = json.loads(done.stdout)
    assert sorted(won) == [False] * (WRITERS - 1) + [True]
    assert storage.read(uri) == f"racer {won.index(True)}".encode()
    assert storage.list_names(storage.parent(uri)) == ["lock"]


def test_a_reader_sees_the_old_or_the_new_object_and_never_a_part(store: str) -> None:
    uri = storage.join(store, "object")
    versions = [bytes([n]) * (300_000 + 10_000 * n) for n in range(12)]
    storage.replace_atomically(uri, versions[0])
    done = threading.Event()

    def write() -> None:
        for version in versions:
            storage.replace_atomically(uri, version)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set() and not writing.done():
            assert storage.read(uri) in versions
        writing.result()
    assert storage.read(uri) == versions[-1]


def test_a_file_is_uploaded_once(store: str, tmp_path: Path) -> None:
    uri = storage.join(store, "chunks", "c.mkv")
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    assert storage.upload_if_absent(first, uri)
    assert not storage.upload_if_absent(second, uri)
    assert not storage.upload_if_absent(first, uri)
    assert storage.read(uri) == b"first"
    assert first.read_bytes() == b"first"


def test_bytes_of_any_size_are_uploaded_once(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SMALL_OBJECT_BYTES", 10)
    uri = storage.join(store, "segments", "s.parquet")
    assert storage.upload_if_absent(b"more than ten bytes", uri)
    assert not storage.upload_if_absent(b"other", uri)
    assert storage.read(uri) == b"more than ten bytes"


def test_a_file_of_several_parts_is_uploaded_whole(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_remote, "PART_BYTES", 2**20)
    data = os.urandom(3 * 2**20)
    for send in (storage.upload_if_absent, storage.publish):
        made = tmp_path / "made"
        made.write_bytes(data)
        uri = storage.join(store, send.__name__)
        send(made, uri)
        assert storage.sha256(uri) == hashlib.sha256(data).hexdigest()


def test_publishing_moves_a_file_and_replaces_an_older_one(store: str, tmp_path: Path) -> None:
    uri = storage.join(store, "out", "film.mkv")
    for content in (b"old", b"new and longer"):
        made = tmp_path / "made"
        made.write_bytes(content)
        storage.publish(made, uri)
        assert storage.read(uri) == content
        assert not made.exists()
    assert storage.list_names(storage.parent(uri)) == ["film.mkv"]


def test_an_open_object_can_be_sought(store: str) -> None:
    uri = storage.join(store, "film.bin")
    data = os.urandom(1_000_000)
    storage.replace_atomically(uri, data)
    with storage.open_read(uri) as one, storage.open_read(uri) as other:
        assert one.seekable()
        assert one.seek(700_000) == 700_000
        assert one.read(1000) == data[700_000:701_000]
        assert other.read(10) == data[:10]
        assert one.tell() == 701_000
        assert one.seek(-5, os.SEEK_END) == 999_995
        assert one.read() == data[-5:]
        assert one.read(1) == b""


def test_any_span_is_read_across_blocks(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_reader, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(storage_reader, "BLOCKS", 3)
    uri = storage.join(store, "film.bin")
    data = os.urandom(12_345)
    storage.replace_atomically(uri, data)
    draw = random.Random(1)
    with storage.open_read(uri) as file:
        for _ in range(30):
            start, length = draw.randrange(13_000), draw.randrange(5_000)
            assert file.seek(start) == start
            assert file.read(length) == data[start : start + length]
        file.seek(0)
        assert file.read() == data
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)


def test_folders_are_listed_by_kind_and_sorted(store: str) -> None:
    assert storage.list_names(store) == []
    assert storage.list_folders(store) == []
    for names in (("b",), ("a",), ("f", "c"), ("e", "deeper", "d")):
        storage.put_if_absent(storage.join(store, *names), b"x")
    assert storage.list_names(store) == ["a", "b"]
    assert storage.list_folders(store) == ["e", "f"]
    storage.put_if_absent(storage.join(store, "late"), b"x")  # no listing is remembered
    assert storage.list_names(store) == ["a", "b", "late"]


def test_a_missing_object_is_named_in_plain_words(store: str) -> None:
    uri = storage.join(store, "nothing")
    assert not storage.exists(uri)
    assert storage.size(uri) is None
    for ask in (storage.read, storage.sha256, lambda uri: storage.open_read(uri).__enter__()):
        with pytest.raises(ObjectMissing, match=r"There is nothing at .*nothing"):
            ask(uri)


def test_a_folder_is_no_object(store: str) -> None:
    storage.put_if_absent(storage.join(store, "folder", "object"), b"x")
    assert not storage.exists(storage.join(store, "folder"))


def test_deleting_twice_is_deleting(store: str) -> None:
    uri = storage.join(store, "object")
    storage.put_if_absent(uri, b"x")
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)
    assert storage.put_if_absent(uri, b"again")


def test_a_place_is_checked_without_leaving_anything(store: str) -> None:
    storage.check_writable(store)
    storage.check_exclusive(store)
    assert storage.list_names(store) == []


def test_too_much_for_one_put_is_refused(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SMALL_OBJECT_BYTES", 10)
    with pytest.raises(ValueError, match="upload_if_absent"):
        storage.put_if_absent(storage.join(store, "object"), b"eleven bytes")
