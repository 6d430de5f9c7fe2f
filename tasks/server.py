"""Which Prefect server a run talks to. Set up before Prefect is imported."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from colorize_core.errors import ClusterUnavailable

_QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
ANSWER_S = 10.0
START_S = 90.0  # the server's start is slow on a busy machine (measured: 13 s the first time)
STOP_S = 10.0
USUAL_PORT = 4200  # Prefect's


def choose_server(*, verbose: bool, lasting: bool = False) -> str:
    """Use the server that Prefect's settings name, or else start one of this run's own, on
    loopback, which ends when this process does. Returns its API's URL.

    Args:
        verbose: let Prefect's log reach the terminal (it always reaches the server).
        lasting: the own server is a whole one, with schedules, automations and a page to look at,
            at Prefect's usual port where that is free.

    Raises:
        ClusterUnavailable: a server is named and does not answer; or none is, and none starts.
    """
    url = _named(verbose=verbose)
    if url is not None:
        return url
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = url = _start_own_server(verbose=verbose, lasting=lasting)
    refresh_global_settings_context()
    return url


def named_server() -> str:
    """The URL of the API of the server that Prefect's settings name.

    Raises:
        ClusterUnavailable: none is named, or it does not answer.
    """
    url = _named(verbose=False)
    if url is None:
        raise ClusterUnavailable(
            "No Prefect server is named.", "Set PREFECT_API_URL=http://SERVER:4200/api."
        )
    return url


def _named(*, verbose: bool) -> str | None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not verbose:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_DATABASE_CONNECTION_URL", _own_database())

    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        return None
    try:
        _ask(url, ANSWER_S)
    except (urllib.error.URLError, ValueError, OSError) as error:
        raise ClusterUnavailable(
            f"No Prefect server answers at {url}.",
            "Start it (prefect server start), or unset PREFECT_API_URL to run without one.",
        ) from error
    return url


def _ask(url: str, timeout_s: float) -> None:
    """Return once the server at `url` says that it is well."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(url)
    urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s).close()  # noqa: S310


def _start_own_server(*, verbose: bool, lasting: bool) -> str:
    """Start `tasks/own_server.py`; returns its API's URL."""
    noise = None if verbose else subprocess.DEVNULL
    with _listener(USUAL_PORT if lasting else 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        file = listener.fileno()
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "tasks.own_server", str(file), *(["whole"] * lasting)],
            stdin=subprocess.PIPE,
            stdout=noise,
            stderr=noise,
            pass_fds=[file],
        )
    atexit.register(_stop, server)
    try:
        _ask(url, START_S)
    except OSError as error:
        raise ClusterUnavailable(
            "Prefect's own server did not start on this machine.",
            "See why with --debug; use --local to do without, or start one (prefect server start) "
            "and set PREFECT_API_URL.",
        ) from error
    return url


def _listener(port: int) -> socket.socket:
    """A socket that listens on loopback, at `port` where that is free."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Let the server end, after what was told to it at exit."""
    try:
        server.communicate(timeout=STOP_S)  # closes its standard input
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _own_database() -> str:
    """Where an own server keeps its runs: a file for this version of Prefect, since one that
    another version has upgraded would keep it from starting."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    version = importlib.metadata.version("prefect")
    return f"sqlite+aiosqlite:///{home}/kinecolor-prefect-{version}.db"
