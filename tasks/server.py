"""Which Prefect server a run talks to. Set up before Prefect is imported."""

from __future__ import annotations

import importlib.metadata
import os
import urllib.error
import urllib.request
from pathlib import Path

from colorize_core.errors import ClusterUnavailable

_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The server's own start is slow on a busy machine (measured: 13 s the first time).
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
}


def choose_server(*, verbose: bool) -> None:
    """Use the server that Prefect's settings name, or else an ephemeral one on loopback.

    Args:
        verbose: let Prefect's log reach the terminal (it always reaches the server).

    Raises:
        ClusterUnavailable: a server is named and does not answer.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not verbose:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "true")
    os.environ.setdefault("PREFECT_SERVER_DATABASE_CONNECTION_URL", _own_database())

    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if url is None:
        return
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError(url)
        urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=10).close()  # noqa: S310
    except (urllib.error.URLError, ValueError, OSError) as error:
        raise ClusterUnavailable(
            f"No Prefect server answers at {url}.",
            "Start it (prefect server start), or unset PREFECT_API_URL to run without one.",
        ) from error


def _own_database() -> str:
    """Where an ephemeral server keeps its runs: a file for this version of Prefect, since one that
    another version has upgraded would keep it from starting."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    version = importlib.metadata.version("prefect")
    return f"sqlite+aiosqlite:///{home}/kinecolor-prefect-{version}.db"
