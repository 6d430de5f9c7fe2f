"""A whole film whose source, stills, work root and result lie on S3."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import s3fs

from colorize_core import storage
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from colorize_core.storage_reader import BLOCK_BYTES
from colorize_core.summary import RunSummary
from colorize_core.verify import verify_film
from tests.conftest import ROOT
from tests.contracts.conftest import MOTO, RADOSGW
from tests.film import MADE, film_request, quiet
from tests.media_factory import Film, write_film
from tests.s3.endpoint import BUCKET, Endpoint, use_endpoint, variables
from tests.s3.faults import Exchange, proxy

FOLDER = f"s3://{BUCKET}/archive"
INSIDE = FOLDER.removeprefix("s3://")


def _big_file(path: Path, film: Film, megabits: int) -> None:
    """A small film in a file of `megabits` for each of its seconds: the encoder fills it up."""
    rate = f"vbv-maxrate={megabits}000:vbv-bufsize={megabits}000:bitrate={megabits}000"
    options = {
        "x264-params": f"nal-hrd=cbr:filler=1:log-level=none:{rate}",
        "b": f"{megabits}M",
        "preset": "ultrafast",
    }
    write_film(path, replace(film, codec="libx264", options=tuple(options.items())))


@dataclass(frozen=True, slots=True)
class Finished:
    """A film that was made on S3, the same film on the disk, and what went over the network."""

    request: FilmRequest
    summary: RunSummary
    local: FilmRequest
    record: list[Exchange]
    log: str


@pytest.fixture(scope="module", params=[MOTO, RADOSGW])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def s3(endpoint: Endpoint) -> Iterator[s3fs.S3FileSystem]:
    """An S3 which this process uses as a user would."""
    with pytest.MonkeyPatch.context() as patch:
        use_endpoint(patch, endpoint)
        yield s3fs.S3FileSystem(use_listings_cache=False)


def _on_s3(local: FilmRequest) -> FilmRequest:
    """The same request with everything on S3."""

    def upload(path: str) -> str:
        uri = storage.join(FOLDER, "in", Path(path).name)
        storage.upload_if_absent(Path(path), uri)
        return uri

    references = [still.partition("@") for still in local.references]
    return local.model_copy(
        update={
            "source": upload(local.source),
            "output": storage.join(FOLDER, "out", "film-colour.mkv"),
            "work": storage.join(FOLDER, "work"),
            "references": tuple(f"{upload(path)}@{moment}" for path, _, moment in references),
            "shots": upload(local.shots or ""),
        }
    )


@pytest.fixture(scope="module")
def finished(
    endpoint: Endpoint, s3: s3fs.S3FileSystem, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    local = film_request(tmp_path_factory.mktemp("local"))
    _big_file(Path(local.source), MADE, 220)
    request = _on_s3(local)
    with (
        proxy(endpoint.url) as between,
        pytest.MonkeyPatch.context() as patch,
        _logged() as log,
    ):
        use_endpoint(patch, replace(endpoint, url=between.url))
        summary = colorize_film(request, quiet)
        record = list(between.record)
    s3fs.S3FileSystem.clear_instance_cache()
    return Finished(request, summary, local, record, log.getvalue())


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """What this process logs meanwhile."""
    log, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(log), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield log
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def _objects(store: s3fs.S3FileSystem, folder: str) -> dict[str, bytes]:
    """Every object below a folder, read; tables as the text that is in them."""
    found: dict[str, bytes] = {}
    for name in store.find(folder):
        data = storage.read(f"s3://{name}")
        table = pq.read_table(io.BytesIO(data)) if name.endswith(".parquet") else None
        found[name] = data + (str(table.to_pylist()).encode() if table else b"")
    return found


def test_the_film_is_there(finished: Finished) -> None:
    summary, request = finished.summary, finished.request
    assert (summary.status, summary.frames_in, summary.frames_out) == ("published", 36, 36)
    assert summary.output == request.output and summary.luma_exact
    assert verify_film(request.output, request.source).ok
    assert storage.read(summary.report).startswith(b"<!doctype html>")


def test_the_source_was_read_in_ranges(finished: Finished) -> None:
    """More than once, and never more of it than a block at a time."""
    size = Path(finished.local.source).stat().st_size
    assert size > 30e6
    reads = [
        each
        for each in finished.record
        if each.method == "GET" and each.path.endswith("/in/film.mkv")
    ]
    assert sum(each.length for each in reads) >= size
    assert all(each.range and each.status == 206 for each in reads)
    assert max(each.length for each in reads) <= BLOCK_BYTES


_SCAN = """
import sys
from pathlib import Path
from colorize_core.film import open_film
from colorize_core.request import FilmRequest

def scan(source: str) -> int:
    work = sys.argv[1]
    open_film(FilmRequest(source=source, output=work + "/out.mkv", work=work), lambda *_: None)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
    return int(status["VmHWM"].split()[0]) * 1024  # its peak; getrusage's is its parent's, too

before = scan(sys.argv[2])
print(scan(sys.argv[3]) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says what was the peak")
def test_a_scan_does_not_take_the_film_into_memory(
    endpoint: Endpoint, s3: s3fs.S3FileSystem, tmp_path: Path
) -> None:
    """A process that has scanned a small file scans one of 120 MB."""
    film = replace(MADE, frames=150, scenes=())
    _big_file(tmp_path / "small.mkv", film, 1)
    _big_file(tmp_path / "big.mkv", film, 160)
    size = (tmp_path / "big.mkv").stat().st_size
    assert size > 120e6
    uris = [storage.join(FOLDER, "scanned", name) for name in ("small.mkv", "big.mkv")]
    for uri in uris:
        storage.publish(tmp_path / storage.name_of(uri), uri)
    done = subprocess.run(
        [sys.executable, "-c", _SCAN, str(tmp_path / "work"), *uris],
        cwd=ROOT,
        env={**os.environ, **variables(endpoint)},
        stdout=subprocess.PIPE,
        timeout=200,
        check=True,
    )
    assert int(done.stdout) < 0.8 * size


def test_its_bytes_are_those_of_a_film_on_a_disk(finished: Finished) -> None:
    colorize_film(finished.local, quiet)
    assert storage.sha256(finished.request.output) == storage.sha256(finished.local.output)


def test_the_second_run_makes_nothing(finished: Finished, s3: s3fs.S3FileSystem) -> None:
    again = colorize_film(finished.request, quiet)
    assert (again.recomputed_segments, again.reused_segments) == (0, 6)
    storage.delete(finished.request.output)
    once_more = colorize_film(finished.request, quiet)
    assert once_more.recomputed_segments == 0
    assert storage.size(finished.request.output) is not None
    assert not [name for name in s3.find(INSIDE) if "/.kinecolor" in name]


def test_no_secret_is_written(
    finished: Finished, endpoint: Endpoint, s3: s3fs.S3FileSystem, tmp_path: Path
) -> None:
    """Neither of the environment nor of a signed URL."""
    signed = str(s3.sign(finished.request.source))
    assert "Signature=" in signed
    places = {"work": storage.join(FOLDER, "signed"), "output": str(tmp_path / "out.mkv")}
    colorize_film(finished.request.model_copy(update={"source": signed, **places}), quiet)
    objects = _objects(s3, f"{INSIDE}/work") | _objects(s3, f"{INSIDE}/signed")
    assert len(objects) > 20
    assert any(name.endswith(".html") for name in objects)
    told = objects | {"the summary": repr(finished.summary).encode(), "log": finished.log.encode()}
    for name, data in told.items():
        for secret in (endpoint.key, endpoint.secret, "Signature"):
            assert secret.encode() not in data, f"{secret} in {name}"
