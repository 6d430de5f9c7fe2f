"""Ends what a run started and left behind: a killed driver's Ray, whose agents stay for a minute.

``python -m tasks.guard MARK``: standard input is a pipe whose other end only the run has.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

MARK = "KINECOLOR_GUARDED"  # in the environment of what is started, and so of what that starts
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # a terminal's, a service manager's


@contextmanager
def guarded() -> Iterator[None]:
    """Whatever is started in the block ends with it, or with this process, however that ends."""
    mark, outer = secrets.token_hex(16), os.environ.get(MARK)
    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", "tasks.guard", mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # without the mark of a guard around this one, which would kill it before its work
        env={name: value for name, value in os.environ.items() if name != MARK},
    )
    os.environ |= {MARK: mark, "SPT_NOENV": "1"}  # the latter: Ray's titles overwrite no mark
    try:
        yield
    finally:
        del os.environ[MARK]
        if outer is not None:
            os.environ[MARK] = outer
        guard.communicate()  # closes its standard input


def main(mark: str) -> None:
    """Wait for standard input to close, then kill every process with the mark."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.read(sys.stdin.fileno(), 1)
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # another user's, or gone by now
            if process.environ().get(MARK) == mark:
                process.kill()


if __name__ == "__main__":
    main(sys.argv[1])
