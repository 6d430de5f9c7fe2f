"""What `storage` promises while network and store fail, through the proxy of tests/s3/faults.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3fs

from colorize_core import storage, storage_failures, storage_options, storage_remote
from colorize_core.errors import StorageUnavailable
from tests.contracts.conftest import MOTO, RADOSGW
from tests.s3.endpoint import BUCKET, Endpoint, use_endpoint
from tests.s3.faults import Fault, Kind, Proxy, proxy

PART = 256 * 2**10
SMALL = os.urandom(300_000)
LARGE = os.urandom(2 * PART + 100_000)  # three parts
FOLDER = f"s3://{BUCKET}/faults"
OBJECT = f"{FOLDER}/object"


@dataclass(frozen=True, slots=True)
class Sick:
    """A store behind the proxy, and the way around it."""

    proxy: Proxy
    healthy: s3fs.S3FileSystem

    def content(self) -> bytes | None:
        """What a reader sees of the object."""
        name = OBJECT.removeprefix("s3://")
        if not self.healthy.exists(name):
            return None
        content = self.healthy.cat_file(name)
        assert isinstance(content, bytes)
        return content

    def unfinished_uploads(self) -> list[str]:
        return [each["Key"] for each in self.healthy.list_multipart_uploads(BUCKET) or ()]


@pytest.fixture(scope="module", params=[MOTO, RADOSGW])
def behind_proxy(request: pytest.FixtureRequest) -> Iterator[tuple[Endpoint, Proxy]]:
    server: Endpoint = request.getfixturevalue(request.param)
    with proxy(server.url) as between:
        yield server, between


@pytest.fixture
def sick(behind_proxy: tuple[Endpoint, Proxy], monkeypatch: pytest.MonkeyPatch) -> Iterator[Sick]:
    server, between = behind_proxy
    monkeypatch.setattr(storage_failures, "FIRST_PAUSE_S", 0)
    monkeypatch.setattr(storage_remote, "PART_BYTES", PART)
    use_endpoint(monkeypatch, Endpoint(between.url, server.key, server.secret))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # so that our own tries are what is tested
    healthy = s3fs.S3FileSystem(
        endpoint_url=server.url, key=server.key, secret=server.secret, use_listings_cache=False
    )
    yield Sick(between, healthy)
    between.calm_down()
    healthy.clear_multipart_uploads(BUCKET)
    if healthy.exists(FOLDER):
        healthy.rm(FOLDER, recursive=True)


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINECOLOR_STORAGE__S3__CONFIG_KWARGS__READ_TIMEOUT", "1")


def _as_outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")


# -- what is called, and the request that fails ------------------------------------------------


def _put(_: Path) -> None:
    assert storage.put_if_absent(OBJECT, SMALL)


def _upload(folder: Path) -> None:
    storage.upload_if_absent(_file(folder, SMALL), OBJECT)


def _upload_parts(folder: Path) -> None:
    storage.upload_if_absent(_file(folder, LARGE), OBJECT)


def _publish(folder: Path) -> None:
    made = _file(folder, SMALL)
    storage.publish(made, OBJECT)
    assert not made.exists()


def _publish_parts(folder: Path) -> None:
    storage.publish(_file(folder, LARGE), OBJECT)


def _replace(_: Path) -> None:
    storage.replace_atomically(OBJECT, SMALL)


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "made"
    path.write_bytes(data)
    return path


@dataclass(frozen=True, slots=True)
class Call:
    """A call that writes `data`, and the request of it that fails."""

    work: Callable[[Path], None]
    method: str
    path: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.work.__name__[1:]}-{self.method}{self.path}"


WRITES = [
    Call(_put, "PUT", "", SMALL),
    Call(_upload, "PUT", "", SMALL),
    Call(_upload, "HEAD", "", SMALL),
    Call(_publish, "PUT", "", SMALL),
    Call(_replace, "PUT", "", SMALL),
    Call(_upload_parts, "POST", "uploads", LARGE),
    Call(_upload_parts, "PUT", "partNumber=2", LARGE),
    Call(_upload_parts, "POST", "uploadId", LARGE),
    Call(_publish_parts, "POST", "uploadId", LARGE),
]
FAULTS = [each for each in Kind if each is not Kind.STALL]


# A server that is slow itself may begin an upload and tell nobody.
ANSWER_LOST = {Kind.HANG, Kind.RESET_MIDWAY, Kind.LOST, Kind.TRUNCATED}


def _times(kind: Kind, method: str) -> int:
    """How often a request has to fail until a call does: aiohttp sends it again, once and at once,
    where its connection was reset."""
    reset = kind in {Kind.RESET, Kind.RESET_MIDWAY, Kind.LOST}
    return 2 if reset and method != "POST" else 1


def _comes_about(kind: Kind, method: str) -> bool:
    """Whether such a request, or its answer, has a body to spoil."""
    if kind is Kind.TRUNCATED:
        return method in {"GET", "POST"}
    return kind is not Kind.RESET_MIDWAY or method in {"GET", "POST", "PUT"}


def _name(case: object) -> str:
    return case.name.lower() if isinstance(case, Kind) else str(case)


@pytest.mark.parametrize(
    ("call", "kind"),
    [(call, kind) for call in WRITES for kind in FAULTS if _comes_about(kind, call.method)],
    ids=_name,
)
def test_a_write_outlives_a_fault(
    sick: Sick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, kind: Kind
) -> None:
    if kind is Kind.HANG:
        _impatient(monkeypatch)
    times = _times(kind, call.method)
    sick.proxy.faults.append(Fault(kind, call.method, call.path, times=times))
    call.work(tmp_path)
    assert sick.proxy.spoilt == [kind] * times
    assert sick.content() == call.data
    begun = call.path == "uploads" and kind in ANSWER_LOST  # one of which nobody knows
    assert begun or sick.unfinished_uploads() == []


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (call, kind)
        for call in WRITES
        for kind in (Kind.BROKEN, Kind.RESET_MIDWAY, Kind.LOST)
        if _comes_about(kind, call.method)
    ],
    ids=_name,
)
def test_a_write_that_fails_for_good_leaves_nothing_or_all(
    sick: Sick, tmp_path: Path, call: Call, kind: Kind
) -> None:
    sick.proxy.faults.append(Fault(kind, call.method, call.path, times=1000))
    try:
        call.work(tmp_path)
    except StorageUnavailable as error:
        assert "did not answer" in error.what
        assert len(sick.proxy.spoilt) >= storage_failures.TRIES
        assert sick.content() in (None, call.data)
    else:  # the object was found to be there after all
        assert kind is Kind.LOST
        assert sick.content() == call.data


# -- reading, listing, deleting ---------------------------------------------------------------


def _read() -> None:
    assert storage.read(OBJECT) == SMALL


def _read_ranges() -> None:
    with storage.open_read(OBJECT) as file:
        file.seek(200_000)
        assert file.read() == SMALL[200_000:]
        file.seek(10)
        assert file.read(5) == SMALL[10:15]


def _list() -> None:
    assert storage.list_names(FOLDER) == ["object"]


def _size() -> None:
    assert storage.size(OBJECT) == len(SMALL)


def _delete() -> None:
    storage.delete(OBJECT)
    assert not storage.exists(OBJECT)


OTHERS = [
    (_read, "GET"),
    (_read_ranges, "GET"),
    (_read_ranges, "HEAD"),
    (_list, "GET"),
    (_size, "HEAD"),
    (_delete, "DELETE"),
]


@pytest.mark.parametrize(
    ("work", "method", "kind"),
    [
        pytest.param(work, method, kind, id=f"{work.__name__[1:]}-{method}-{_name(kind)}")
        for work, method in OTHERS
        for kind in FAULTS
        if _comes_about(kind, method)
    ],
)
def test_a_call_outlives_a_fault(
    sick: Sick,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[], None],
    method: str,
    kind: Kind,
) -> None:
    if kind is Kind.HANG:
        _impatient(monkeypatch)
    storage.put_if_absent(OBJECT, SMALL)
    times = _times(kind, method)
    sick.proxy.faults.append(Fault(kind, method, times=times))
    work()
    assert sick.proxy.spoilt == [kind] * times


@pytest.mark.parametrize("kind", [Kind.BROKEN, Kind.TRUNCATED], ids=_name)
@pytest.mark.parametrize("work", [_read, _read_ranges, _list])
def test_a_read_that_fails_for_good_says_so(
    sick: Sick, work: Callable[[], None], kind: Kind
) -> None:
    storage.put_if_absent(OBJECT, SMALL)
    sick.proxy.faults.append(Fault(kind, "GET", times=1000))
    with pytest.raises(StorageUnavailable, match="did not answer"):
        work()


# -- one winner, no part, no multiplied tries --------------------------------------------------


def test_lost_answers_do_not_make_a_second_winner_nor_hide_the_first(sick: Sick) -> None:
    kinds = (Kind.LOST, Kind.SLOW_DOWN, Kind.RESET, Kind.RESET_MIDWAY)
    sick.proxy.faults += [Fault(kind, "PUT", times=4) for kind in kinds]

    def write(writer: int) -> bool:
        start.wait()
        return storage.put_if_absent(OBJECT, f"writer {writer}".encode())

    start = threading.Barrier(16)
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(16)))
    assert len(sick.proxy.spoilt) == 16
    assert won.count(True) == 1
    assert sick.content() == f"writer {won.index(True)}".encode()


def test_nothing_is_seen_before_the_last_part_is_there(
    sick: Sick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part hangs, the others are in the store."""
    _impatient(monkeypatch)
    sick.proxy.faults.append(Fault(Kind.HANG, "PUT", "partNumber=3"))
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(_upload_parts, tmp_path)
        while not uploading.done():
            assert sick.content() in (None, LARGE)
        uploading.result()
    assert sick.content() == LARGE


def test_a_part_that_fails_for_good_leaves_no_parts_behind(sick: Sick, tmp_path: Path) -> None:
    sick.proxy.faults.append(Fault(Kind.BROKEN, "PUT", "partNumber=2", times=1000))
    with pytest.raises(StorageUnavailable):
        _upload_parts(tmp_path)
    assert sick.content() is None
    assert sick.unfinished_uploads() == []


def test_one_lost_part_does_not_send_the_others_again(
    sick: Sick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_outside_tests(monkeypatch)
    sick.proxy.faults.append(Fault(Kind.SLOW_DOWN, "PUT", "partNumber=2"))
    _upload_parts(tmp_path)
    parts = [each for each in sick.proxy.record if "partNumber=" in each.path]
    assert [each.status for each in parts].count(200) == 3


def test_tries_do_not_multiply(sick: Sick, monkeypatch: pytest.MonkeyPatch) -> None:
    _as_outside_tests(monkeypatch)
    storage.put_if_absent(OBJECT, SMALL)
    sick.proxy.faults.append(Fault(Kind.BROKEN, "GET", times=1000))
    with pytest.raises(StorageUnavailable):
        storage.read(OBJECT)
    sent = len(sick.proxy.spoilt)
    assert sent == storage_failures.TRIES * storage_options.S3_ATTEMPTS


def test_a_store_that_takes_no_more_bytes_does_not_hold_us(
    sick: Sick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a limit of ours such a call never ends."""
    monkeypatch.setattr(storage_options, "SILENCE_TIMEOUT_S", 1)
    sick.proxy.faults.append(Fault(Kind.STALL, "PUT", "partNumber=2"))
    _publish_parts(tmp_path)
    assert sick.content() == LARGE
