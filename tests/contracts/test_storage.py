"""What `storage` promises, over every kind of store that it writes to."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from colorize_core import storage, storage_failures
from colorize_core.errors import (
    InputError,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
    UnsafeStore,
)

WRITERS = 16
BUCKET = "films"


_endpoints: list[str] = []  # the one that s3fs has clients for is the last


def _use_endpoint(patch: pytest.MonkeyPatch, url: str) -> None:
    """Sends this process's S3 calls to `url`, as a user would: by the AWS variables."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        patch.setenv(name, value)
    if _endpoints[-1:] != [url]:
        _endpoints.append(url)
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        _use_endpoint(patch, url)
        s3fs.S3FileSystem().mkdir(BUCKET)
    yield url
    server.stop()


@pytest.fixture(params=["disk", "memory", "s3"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty folder."""
    if request.param == "disk":
        return str(request.getfixturevalue("tmp_path") / "store")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    _use_endpoint(monkeypatch, request.getfixturevalue("moto_url"))
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


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


# -- local disk ------------------------------------------------------------------------------


def test_a_killed_writer_leaves_no_object_that_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".kinecolor-0123").write_bytes(b"half")
    assert storage.list_names(str(tmp_path)) == []


def test_published_files_have_the_rights_that_new_files_have(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    for name in ("created", "replaced"):
        write = storage.put_if_absent if name == "created" else storage.replace_atomically
        write(str(tmp_path / name), b"x")
        assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_disk_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UnsafeStore, match="no hard links"):
        storage.put_if_absent(str(tmp_path / "object"), b"x")
    storage.replace_atomically(str(tmp_path / "object"), b"x")
    assert os.listdir(tmp_path) == ["object"]  # noqa: PTH208  hidden names count


def test_publishing_crosses_file_systems(tmp_path: Path) -> None:
    shm = Path("/dev/shm")  # noqa: S108  another file system
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    for send in (storage.publish, storage.upload_if_absent):
        made = shm / f"kinecolor-test-{uuid.uuid4().hex}"
        made.write_bytes(b"film")
        target = tmp_path / send.__name__
        try:
            send(made, str(target))
            assert target.read_bytes() == b"film"
            assert made.exists() == (send is storage.upload_if_absent)
        finally:
            made.unlink(missing_ok=True)
    assert len(os.listdir(tmp_path)) == 2  # noqa: PTH208


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"Could not write .*file"):
        storage.check_writable(str(tmp_path / "file" / "work"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permission denied"):
            storage.check_writable(str(tmp_path))
    finally:
        tmp_path.chmod(0o700)


# -- object stores that are slow, sick or unsafe ----------------------------------------------


class _PlainStore(BaseHTTPRequestHandler):
    """PUT, GET, HEAD and DELETE without conditions, as some S3 servers do them. It answers its
    first requests with the statuses in `answers`."""

    objects: dict[str, bytes]
    answers: list[int]
    protocol_version = "HTTP/1.1"

    def _reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.answers:
            self._reply(self.answers.pop(0))
        elif self.command == "PUT":
            self.objects[self.path] = body
            self._reply(200)
        elif self.command == "DELETE":
            self.objects.pop(self.path, None)
            self._reply(204)
        elif self.path in self.objects:
            self._reply(200, self.objects[self.path])
        else:
            self._reply(404)

    do_GET = do_HEAD = do_PUT = do_DELETE = _serve  # noqa: N815  names of http.server

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def plain_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_PlainStore]]:
    handler = type("Handler", (_PlainStore,), {"objects": {}, "answers": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _use_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(storage_failures, "FIRST_PAUSE_S", 0)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_store_that_ignores_the_condition_is_refused(plain_store: type[_PlainStore]) -> None:
    with pytest.raises(UnsafeStore, match="overwrite"):
        storage.check_exclusive("s3://films/work")
    assert not plain_store.objects


def test_a_store_that_does_not_know_conditions_is_refused(plain_store: type[_PlainStore]) -> None:
    plain_store.answers[:] = [501]
    with pytest.raises(UnsafeStore, match="conditional"):
        storage.put_if_absent("s3://films/object", b"x")


@pytest.mark.parametrize("status", [500, 503, 409, 429])
def test_a_failure_that_passes_is_not_seen(plain_store: type[_PlainStore], status: int) -> None:
    plain_store.answers[:] = [status]
    storage.replace_atomically("s3://films/object", b"x")
    assert plain_store.objects == {"/films/object": b"x"}


def test_a_failure_that_stays_is_said_after_some_tries(plain_store: type[_PlainStore]) -> None:
    plain_store.answers[:] = [503] * 100
    with pytest.raises(StorageUnavailable, match="did not answer"):
        storage.replace_atomically("s3://films/object", b"x")


def test_a_refusal_is_not_tried_again(plain_store: type[_PlainStore]) -> None:
    plain_store.answers[:] = [403]
    with pytest.raises(StorageError, match="permission denied"):
        storage.replace_atomically("s3://films/object", b"x")
    assert not plain_store.objects


def test_a_store_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    _use_endpoint(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(storage_failures, "FIRST_PAUSE_S", 0)
    with pytest.raises(StorageUnavailable):
        storage.read("s3://films/object")


def test_a_missing_bucket_is_named(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_endpoint(monkeypatch, moto_url)
    with pytest.raises(StorageError, match="bucket does not exist"):
        storage.check_writable("s3://no-such-bucket/work")


def test_a_protocol_that_shows_parts_is_for_reading_only() -> None:
    with pytest.raises(UnsafeStore, match=r"\*\*\*@host"):
        storage.check_writable("sftp://me:secret@host/work")


def test_an_unknown_protocol_is_an_error_of_ours() -> None:
    with pytest.raises(StorageError, match="nosuch"):
        storage.read("nosuch://host/object")


# -- names -----------------------------------------------------------------------------------


def test_names_are_put_together_and_taken_apart() -> None:
    assert storage.join("s3://b/", "a", "c.mkv") == "s3://b/a/c.mkv"
    assert storage.join("/", "a") == "/a"
    assert storage.parent("s3://b/a/c.mkv") == "s3://b/a"
    assert storage.parent("/a/c.mkv") == "/a"
    assert storage.name_of("https://host/a/c.mkv?signature=1") == "c.mkv"
    assert storage.name_of("/a/c?.mkv") == "c?.mkv"


def test_local_and_remote_are_told_apart() -> None:
    assert storage.local_path("film.mp4") == Path("film.mp4")
    assert storage.local_path("a:b/film@f1.mp4") == Path("a:b/film@f1.mp4")
    assert storage.local_path("file:///reels/a%20b.mp4") == Path("/reels/a b.mp4")
    assert storage.local_path("s3://b/film.mp4") is None
    assert storage.local_path("simplecache::s3://b/film.mp4") is None


def test_uris_are_normalised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    real = os.path.realpath(tmp_path)
    assert storage.normalise("~/film.mp4") == f"{real}/film.mp4"
    assert storage.normalise("a/../film.mp4") == f"{real}/film.mp4"
    assert storage.normalise("s3://bucket/work/") == "s3://bucket/work"
    assert storage.normalise("memory://") == "memory://"
    for wrong in ("", " ", "~no-such-user-here/film.mp4"):
        with pytest.raises(InputError):
            storage.normalise(wrong)


def test_secrets_are_left_out_of_messages() -> None:
    text = "GET https://me:pass@host/film.mkv?X-Amz-Signature=abc failed"
    assert storage.redact(text) == "GET https://***@host/film.mkv?… failed"
    assert storage.redact("/reels/what?.mkv") == "/reels/what?.mkv"
