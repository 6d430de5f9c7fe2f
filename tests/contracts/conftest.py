"""Stores of every kind, empty."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.s3.endpoint import BUCKET, Endpoint, moto_server, use_endpoint
from tests.s3.radosgw import missing_programs, radosgw

# Servers, by the fixture that starts one. Those that test it share a worker, and so the server.
MOTO = pytest.param("moto", id="moto", marks=pytest.mark.xdist_group("moto"))
RADOSGW = pytest.param(
    "ceph", id="radosgw", marks=[pytest.mark.radosgw, pytest.mark.xdist_group("radosgw")]
)


@pytest.fixture(scope="session")
def moto() -> Iterator[Endpoint]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)} (make test-s3 installs them)")
    with radosgw(tmp_path_factory.mktemp("ceph")) as endpoint:
        yield endpoint


@pytest.fixture(params=[MOTO, RADOSGW])
def s3(request: pytest.FixtureRequest) -> Endpoint:
    """An S3 server, moto's and a real one."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["disk", "memory", MOTO, RADOSGW])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty folder."""
    if request.param == "disk":
        return str(request.getfixturevalue("tmp_path") / "store")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    use_endpoint(monkeypatch, request.getfixturevalue(request.param))
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"
