"""A whole film whose source, stills, work root and result lie on S3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from colorize_core import storage
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from colorize_core.summary import RunSummary
from colorize_core.verify import verify_film
from tests.film import film_request, quiet

pytestmark = pytest.mark.xdist_group("s3-film")

BUCKET = "s3://archive"
KEY, SECRET = "AKIDNOBODYMAYSEE", "a-secret-that-nobody-may-see"


@dataclass(frozen=True, slots=True)
class Finished:
    """A film that was made on S3, and the same film on the disk."""

    request: FilmRequest
    summary: RunSummary
    local: FilmRequest


@pytest.fixture(scope="module")
def s3() -> Iterator[s3fs.S3FileSystem]:
    """An S3 on loopback with a bucket, which this process uses as a user would."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        store = s3fs.S3FileSystem(use_listings_cache=False)
        store.mkdir("archive")
        yield store
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def _on_s3(local: FilmRequest) -> FilmRequest:
    """The same request with everything on S3."""

    def upload(path: str) -> str:
        uri = storage.join(BUCKET, "in", Path(path).name)
        storage.upload_if_absent(Path(path), uri)
        return uri

    references = [still.partition("@") for still in local.references]
    return local.model_copy(
        update={
            "source": upload(local.source),
            "output": storage.join(BUCKET, "out", "film-colour.mkv"),
            "work": storage.join(BUCKET, "work"),
            "references": tuple(f"{upload(path)}@{moment}" for path, _, moment in references),
            "shots": upload(local.shots or ""),
        }
    )


@pytest.fixture(scope="module")
def finished(s3: s3fs.S3FileSystem, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    local = film_request(tmp_path_factory.mktemp("local"))
    request = _on_s3(local)
    return Finished(request, colorize_film(request, quiet), local)


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
    assert not [name for name in s3.find("archive") if "/.kinecolor" in name]


def test_no_secret_is_written(finished: Finished, s3: s3fs.S3FileSystem, tmp_path: Path) -> None:
    """Neither of the environment nor of a signed URL."""
    signed = str(s3.sign(finished.request.source))
    assert "Signature=" in signed
    places = {"work": storage.join(BUCKET, "signed"), "output": str(tmp_path / "out.mkv")}
    colorize_film(finished.request.model_copy(update={"source": signed, **places}), quiet)
    objects = _objects(s3, "archive/work") | _objects(s3, "archive/signed")
    assert len(objects) > 20
    for name, data in objects.items():
        for secret in (KEY, SECRET, "Signature"):
            assert secret.encode() not in data, f"{secret} in {name}"
