"""Object stores that are sick, unsafe or not there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from colorize_core import storage, storage_failures
from colorize_core.errors import StorageError, StorageUnavailable, UnsafeStore
from tests.film import film_request
from tests.flows.program import completed, program
from tests.s3.endpoint import Endpoint, use_endpoint


class _PlainStore(BaseHTTPRequestHandler):
    """PUT, GET, HEAD and DELETE without conditions, as some S3 servers do them. It answers its
    first requests with the statuses in `answers`, and stores half of its first objects."""

    objects: dict[str, bytes]
    answers: list[int]
    halves: int  # of how many objects half is stored
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
            half, type(self).halves = self.halves > 0, self.halves - 1
            self.objects[self.path] = body[: len(body) // 2] if half else body
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
    handler = type("Handler", (_PlainStore,), {"objects": {}, "answers": [], "halves": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    use_endpoint(monkeypatch, Endpoint(f"http://127.0.0.1:{server.server_port}"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(storage_failures, "FIRST_PAUSE_S", 0)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_store_that_ignores_the_condition_is_refused(plain_store: type[_PlainStore]) -> None:
    with pytest.raises(UnsafeStore, match="overwrite"):
        storage.check_exclusive("s3://films/work")
    assert not plain_store.objects


def test_a_run_with_its_work_on_such_a_store_is_refused(
    plain_store: type[_PlainStore], tmp_path: Path
) -> None:
    request = film_request(tmp_path).model_copy(update={"work": "s3://films/work"})
    code, said, shown = completed(program(request, PREFECT_HOME=str(tmp_path)))
    assert code == 1
    assert "s3://films/work lets a second writer overwrite the first" in said["error"]
    assert "If-None-Match" in said["remedy"]
    assert said["error"] in shown and "Traceback" not in shown
    assert not plain_store.objects
    assert not Path(request.output).exists()


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
    use_endpoint(monkeypatch, Endpoint("http://127.0.0.1:9"))
    monkeypatch.setattr(storage_failures, "FIRST_PAUSE_S", 0)
    with pytest.raises(StorageUnavailable):
        storage.read("s3://films/object")


def test_a_missing_bucket_is_named(s3: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(monkeypatch, s3)
    with pytest.raises(StorageError, match="bucket does not exist"):
        storage.check_writable("s3://no-such-bucket/work")


def test_a_protocol_that_shows_parts_is_for_reading_only() -> None:
    with pytest.raises(UnsafeStore, match=r"\*\*\*@host"):
        storage.check_writable("sftp://me:secret@host/work")


def test_an_unknown_protocol_is_an_error_of_ours() -> None:
    with pytest.raises(StorageError, match="nosuch"):
        storage.read("nosuch://host/object")


@pytest.mark.parametrize("status", [503, 403])
def test_a_web_server_that_is_sick_or_refuses_is_not_an_empty_one(
    plain_store: type[_PlainStore], status: int
) -> None:
    """fsspec says “not found” for all of it."""
    plain_store.objects["/film.mkv"] = b"film"
    url = os.environ["AWS_ENDPOINT_URL"] + "/film.mkv"
    plain_store.answers[:] = [status] * 100
    for call in (storage.exists, storage.read):
        with pytest.raises(StorageError, match="did not answer" if status == 503 else "denied"):
            call(url)
    plain_store.answers[:] = [503] * 3
    assert storage.size(url) == 4
    assert storage.size(f"{url}.not") is None


def test_half_an_object_that_the_store_took_for_whole_is_not_believed(
    plain_store: type[_PlainStore], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"a film")
    plain_store.halves = 1
    assert storage.upload_if_absent(made, "s3://films/chunk")
    assert plain_store.objects == {"/films/chunk": b"a film"}
    plain_store.halves = 100
    with pytest.raises(StorageUnavailable, match="3 bytes of 6"):
        storage.upload_if_absent(made, "s3://films/other")
    assert "/films/other" not in plain_store.objects
    plain_store.halves = 1
    storage.publish(made, "s3://films/film")
    assert plain_store.objects["/films/film"] == b"a film"
    assert not made.exists()
