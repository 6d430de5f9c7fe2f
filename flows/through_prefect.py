"""A flow that a command runs in this process, with a Prefect server named or of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.signals import INTERRUPTED, Stopped
from flows.terminal import Terminal


def through_prefect(start: Callable[[], dict[str, Any]], *, debug: bool) -> dict[str, Any]:
    """What `start` returns: it imports a flow, which reads its environment then, and calls it. Its
    progress is on the terminal.

    Raises:
        Stopped: the run was cancelled in Prefect.
        ClusterUnavailable: a server is named and does not answer; or none is, and none starts.
    """
    with Terminal() as terminal:
        terminal.say("Starting Prefect and Ray …")
        from tasks.server import choose_server

        choose_server(verbose=debug)
        from prefect.exceptions import CancelledRun

        from tasks.observe import listening

        with listening(terminal.progress):
            try:
                return start()
            except CancelledRun as cancelled:
                raise Stopped(INTERRUPTED, "The run was cancelled in Prefect.") from cancelled
