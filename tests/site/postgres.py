"""A PostgreSQL of one's own on loopback, as Debian packages it."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.infra.test_ray_node import free_port

USER, DATABASE = "prefect", "postgres"
_START_S = 60


def binaries() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    known = found[-1] if found else shutil.which("initdb")
    if known is None:
        pytest.skip("no PostgreSQL here: scripts/install-servers installs it")
    return Path(known).parent


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """An empty server; gives the variables by which Prefect's server finds it."""
    programs = binaries()
    # It refuses to run as root, and nobody else may look into pytest's folders.
    owner = pwd.getpwnam("nobody") if os.getuid() == 0 else None
    told: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid} if owner else {}
    password, port = secrets.token_hex(16), free_port()
    with tempfile.TemporaryDirectory(prefix="kc-pg-") as name:
        folder = Path(name)
        (folder / "password").write_text(password)
        if owner is not None:
            for each in (folder, folder / "password"):
                os.chown(each, owner.pw_uid, owner.pw_gid)
        make = [programs / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256"]
        make += [f"--pwfile={folder / 'password'}", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(make, check=True, capture_output=True, cwd="/", **told)
        serve = [programs / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
        serve += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        null = subprocess.DEVNULL
        server = subprocess.Popen(serve, stdout=null, stderr=null, cwd="/", **told)
        try:
            variables = {
                "PREFECT_SERVER_DATABASE_DRIVER": "postgresql+asyncpg",
                "PREFECT_SERVER_DATABASE_HOST": "127.0.0.1",
                "PREFECT_SERVER_DATABASE_PORT": str(port),
                "PREFECT_SERVER_DATABASE_NAME": DATABASE,
                "PREFECT_SERVER_DATABASE_USER": USER,
                "PREFECT_SERVER_DATABASE_PASSWORD": password,
            }
            _wait_until_up(variables, server)
            yield variables
        finally:
            server.terminate()
            server.wait(_START_S)


def value(variables: dict[str, str], query: str) -> Any:
    """The one value that a query gives."""

    async def ask() -> Any:
        connection = await asyncpg.connect(
            host=variables["PREFECT_SERVER_DATABASE_HOST"],
            port=int(variables["PREFECT_SERVER_DATABASE_PORT"]),
            database=variables["PREFECT_SERVER_DATABASE_NAME"],
            user=variables["PREFECT_SERVER_DATABASE_USER"],
            password=variables["PREFECT_SERVER_DATABASE_PASSWORD"],
        )
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _wait_until_up(variables: dict[str, str], server: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            value(variables, "select 1")
            return
        except (OSError, asyncpg.PostgresError):
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
