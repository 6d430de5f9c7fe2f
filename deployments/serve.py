"""``kinecolor serve``: the deployments on one machine, by one command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client

from colorize_core.errors import ClusterUnavailable
from deployments.apply import apply
from deployments.files import read_files
from flows.terminal import Terminal
from tasks.guard import guarded
from tasks.server import choose_server

END_S = 60.0  # how long runs have to end in order


def serve(files: Path, environment: Mapping[str, str], *, debug: bool) -> None:
    """Brings the named Prefect server, or one of its own, to what the files say, and does the runs
    that are due until it is told to end.

    Raises:
        SettingError: a file is wrong.
        ClusterUnavailable: the server that is named does not answer, or the worker ended.
    """
    wanted = read_files(files, environment)
    terminal = Terminal()
    terminal.say("Starting Prefect …")
    url = choose_server(verbose=debug, lasting=True)
    with get_client(sync_client=True) as client:
        apply(client, wanted)
    terminal.say(f"Runs are shown at {url.removesuffix('/api')} and begin when they are due.")
    with guarded(), _worker(wanted.limits.work_pool.name, debug=debug) as worker:
        code = worker.wait()
    raise ClusterUnavailable(
        f"Prefect's worker ended by itself, with code {code}.", "See why with --debug."
    )


@contextmanager
def _worker(pool: str, *, debug: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of Prefect's, in a session of its own: a Ctrl-C is for this process, which ends the
    worker's runs first. It would kill them."""
    said = None if debug else subprocess.DEVNULL
    command = ("prefect", "worker", "start", "--pool", pool, "--type", "process")
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", *command],
        stdout=said,
        stderr=said,
        start_new_session=True,
        cwd="/",
    )
    try:
        yield worker
    finally:
        if worker.poll() is None:
            _end_runs(worker.pid)
            worker.terminate()
        worker.wait()


def _end_runs(worker: int) -> None:
    """Ends what the worker has started, each with what it has started itself."""
    runs = psutil.Process(worker).children()
    for run in runs:
        run.terminate()
    psutil.wait_procs(runs, END_S)
