"""`kinecolor` as a process of its own, as people start it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from colorize_core.request import FilmRequest
from tests.conftest import ROOT
from tests.film import command_line

TIMEOUT_S = 180


def program(
    request: FilmRequest, *arguments: str, module: str = "flows.cli", **variables: str
) -> subprocess.Popen[str]:
    """`kinecolor colorize`, as a process that leads a session of its own."""
    work = Path(request.work)
    return start(work, *command_line(request), *arguments, module=module, **variables)


def start(
    work: Path, *arguments: str, module: str = "flows.cli", **variables: str
) -> subprocess.Popen[str]:
    """`kinecolor ARGUMENTS… --json`, with a Prefect of its own beside the work root."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--json"],
        cwd=ROOT,
        env={**os.environ, "PREFECT_HOME": str(work.parent / "prefect"), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs, such as a test run may be, hand down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@contextmanager
def prefect_worker(home: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Prefect's own worker, which knows of this program only that it is installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = ("prefect", "worker", "start", "--pool", "kinecolor", "--type", "process")
    told = {"PREFECT_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", *command],
        cwd="/",
        env={**environment, **told, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started."""
    if process.poll() is None:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        for each in family:
            each.kill()
    process.communicate(timeout=TIMEOUT_S)


def completed(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and standard error of a process that ends by itself."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        end(process)
    assert out.count("\n") == 1, out + err
    return process.returncode, json.loads(out), err


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
