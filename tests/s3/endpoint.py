"""Where an S3 is, and how a process is told so, as a user would do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import s3fs
from moto.s3 import models as moto_s3
from moto.server import ThreadedMotoServer

BUCKET = "films"
NOWHERE = "/nonexistent"  # no profile of the user's counts in a test

_used: list[str] = []  # the endpoint that s3fs has clients for is the last


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An S3 server."""

    url: str
    key: str = "AKIDNOBODYMAYSEE"
    secret: str = "a-secret-that-nobody-may-see"  # noqa: S105


def use_endpoint(patch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
    """Sends this process's S3 calls to `endpoint`, by the AWS variables."""
    for name, value in variables(endpoint).items():
        patch.setenv(name, value)
    if _used[-1:] != [endpoint.url]:
        _used.append(endpoint.url)
        s3fs.S3FileSystem.clear_instance_cache()


def variables(endpoint: Endpoint) -> dict[str, str]:
    """The environment of a process that uses `endpoint`."""
    return {
        "AWS_ACCESS_KEY_ID": endpoint.key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_CONFIG_FILE": NOWHERE,
        "AWS_SHARED_CREDENTIALS_FILE": NOWHERE,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def moto_server() -> Iterator[Endpoint]:
    """moto's S3 on loopback, with the bucket `BUCKET`."""
    # A part has to have 5 MiB, and what is tested here are parts, not their size.
    moto_s3.S3_UPLOAD_PART_MIN_SIZE = 0
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = Endpoint(f"http://{host}:{port}")
        make_bucket(endpoint)
        yield endpoint
    finally:
        server.stop()


def make_bucket(endpoint: Endpoint) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use_endpoint(patch, endpoint)
        files = s3fs.S3FileSystem()
        if not files.exists(BUCKET):  # moto's servers of one process are one store
            files.mkdir(BUCKET)
