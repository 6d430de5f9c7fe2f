"""A Prefect server that lives as long as the run that started it: `tasks/server.py`'s child.

``python -m tasks.own_server FD [whole]``: FD is a socket that listens. Standard input is a pipe
whose other end only the run has, so that it closes however the run ends, by SIGKILL too. A whole
server has pages and looks after schedules and automations, which a single run has no use for.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prefect.server.api.server import create_app

from tasks.guard import SIGNALS

GRACE_S = 5  # to answer what has been asked and to write down what has been told


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A terminal or a service manager tells every process of a run to end. The run does, and
        tells this server of it, which goes last."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        yield


def main(listener: socket.socket, *, whole: bool) -> None:
    """Serve until standard input closes, and a few seconds longer at most."""
    os.environ["PREFECT_SERVER_UI_API_URL"] = "/api"  # its pages are at any port
    config = uvicorn.Config(
        create_app(ephemeral=not whole, final=True),
        lifespan="on",
        log_level="error",
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _end_with_parent(server: uvicorn.Server) -> None:
    os.read(sys.stdin.fileno(), 1)
    server.should_exit = True
    time.sleep(2 * GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), whole="whole" in sys.argv[2:])
