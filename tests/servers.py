"""A Prefect server, and a Ray, of one's own, on loopback."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_API_URL": "/api",  # its pages ask the server that they came from
}
_START_S = 100
_STOP_S = 20


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A running server: its API's URL and its process."""

    url: str
    pid: int


@contextmanager
def prefect_server(home: Path) -> Iterator[PrefectServer]:
    """A real server, empty, with its database in `home`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    app = ("uvicorn", "--factory", "prefect.server.api.server:create_app")
    server = subprocess.Popen(
        [sys.executable, "-m", *app, "--port", str(port), "--log-level", "error"],
        env={**os.environ, **_SETTINGS, "PREFECT_HOME": str(home)},
    )
    try:
        _wait_until_healthy(server, url)
        yield PrefectServer(url, server.pid)
    finally:
        server.terminate()
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(_STOP_S)


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=10).close()  # noqa: S310
            return
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)


@contextmanager
def own_ray(cpus: int, gpus: int = 0, folder: Path | None = None) -> Iterator[str]:
    """A real Ray of this process, with so many CPUs and GPUs in name only; gives its address.
    `folder`: where it keeps its files."""
    import ray  # which reads the environment

    ray.init(
        address="local",  # not one that somebody has started on this machine
        num_cpus=cpus,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=80 * 2**20,
        _temp_dir=str(folder) if folder else None,
    )
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
