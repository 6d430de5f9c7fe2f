"""A Prefect server that lives as long as the run that started it: `tasks/server.py`'s child.

``python -m tasks.own_server FD``: FD is a socket that listens. Standard input is a pipe whose other
end only the run has, so that it closes however the run ends, by SIGKILL too.
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


def main(listener: socket.socket) -> None:
    """Serve until standard input closes, and a few seconds longer at most."""
    config = uvicorn.Config(
        create_app(ephemeral=True, final=True),
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
    main(socket.socket(fileno=int(sys.argv[1])))
