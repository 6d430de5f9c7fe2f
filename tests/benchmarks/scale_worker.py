"""Workers that do nothing but what orchestration costs: they store what is asked for, empty, at
once or after a nap. They import little, so that many have room on a small machine."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time

import ray

from colorize_core import storage
from colorize_core.work import AnchorsItem, LogLine, Outcome, SegmentItem, Stage, Stored, WorkItem

EMPTY = hashlib.sha256(b"").hexdigest()


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class Idler:
    """`tasks.worker.Worker`, without the work."""

    def __init__(self, nap_s: float) -> None:
        self._nap_s = nap_s

    def ready(self) -> bool:
        return True

    def do(self, item: WorkItem) -> Outcome:
        return idle(item, self._nap_s)

    def release(self, stage: Stage) -> None: ...


def idle(item: WorkItem, nap_s: float) -> Outcome:
    """Sleep for half to one and a half of `nap_s`, as the item's name says; then store an empty
    object for each that is asked for, and log a line, as workers do."""
    seconds = nap_s * (0.5 + int(hashlib.sha256(str(item).encode()).hexdigest()[:4], 16) / 0xFFFF)
    time.sleep(seconds)
    uris = item.outputs if isinstance(item, AnchorsItem) else (item.output,)
    frames = len(item.owns) if isinstance(item, SegmentItem) else item.frames
    for uri in uris:
        storage.upload_if_absent(b"", uri)
    stored = tuple(Stored(uri, EMPTY, 0, frames, 1.0) for uri in uris)
    log = (LogLine(logging.INFO, f"{item}: made nothing"),)
    return Outcome(stored, seconds, 0, str(os.getpid()), socket.gethostname(), "cpu", log=log)
