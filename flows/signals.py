"""What SIGINT (Ctrl-C), SIGTERM and SIGHUP do to a command: it ends in order, and says so."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

INTERRUPTED = 130  # the exit code
WHAT = {
    signal.SIGINT: "Interrupted.",
    signal.SIGTERM: "Told to end by SIGTERM.",
    signal.SIGHUP: "The terminal has gone.",
}
# Programs that run others (timeout, a shell, a service manager) may send one signal twice.
SAME_S = 1.0


class Stopped(SystemExit):
    """Somebody ended the command. `code`: its exit code, as shells count; `what`: who or how."""

    code: int

    def __init__(self, code: int, what: str) -> None:
        super().__init__(code)
        self.what = what


def end_in_order() -> None:
    """From now on the first of the signals raises `Stopped` in the main thread, and a second one
    ends the process on the spot. What is ignored already (nohup) stays ignored."""
    first_s: float | None = None

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        now_s = time.monotonic()
        if first_s is None:
            first_s = now_s
            raise Stopped(128 + number, WHAT[signal.Signals(number)])
        if now_s - first_s >= SAME_S:
            os.write(2, b"Ended at once. Finished work is kept.\n")
            os._exit(128 + number)

    for number in WHAT:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def end_at_once(code: int) -> None:
    """From now on any of the signals ends the process with `code`: its work is done."""
    sys.stdout.flush()
    sys.stderr.flush()
    for number in WHAT:
        signal.signal(number, lambda *_: os._exit(code))
