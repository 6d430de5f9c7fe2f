"""A flow run ends in order when it is cancelled in Prefect, or told to end by SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, SettingsContext, get_settings_context
from prefect.exceptions import CancelledRun, ObjectNotFound, TerminationSignal
from prefect.states import Cancelled

POLL_S = 2.0  # how often the flow run's state is looked up


@contextmanager
def ended_on_cancel() -> Iterator[None]:
    """Run a block of a flow until its end, or until the flow run is cancelled.

    A deployment's run is cancelled by whoever serves it, who sends SIGTERM to its process. Nobody
    does that for a run that a program began itself: its state is looked up here now and then, and
    the same signal is sent. Outside the main thread, where signals do not arrive, the block just
    runs.

    Raises:
        CancelledRun: it was cancelled.
    """
    context = FlowRunContext.get()
    if threading.current_thread() is not threading.main_thread() or context is None:
        yield
        return
    flow_run = context.flow_run
    watch = _Watch(flow_run.id) if flow_run and flow_run.deployment_id is None else None
    try:
        with _one_sigterm(), watch or nullcontext():
            yield
    except (Exception, TerminationSignal) as error:
        if watch and watch.cancelled:
            raise CancelledRun("Cancelled; finished work is kept.") from error
        raise


def as_cancelled(cancelled: CancelledRun) -> Any:
    """What a flow returns so that its run's state is Cancelled; Prefect lets callers in this
    process have `CancelledRun` again."""
    return Cancelled(message=str(cancelled))


@contextmanager
def _one_sigterm() -> Iterator[None]:
    """Only the first SIGTERM counts: a second one would break off the cleaning up."""
    before = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Watch:
    """Sends SIGTERM to this process's main thread once a flow run is being cancelled."""

    def __init__(self, flow_run: UUID) -> None:
        self.cancelled = False
        self._flow_run = flow_run
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        # A thread has the environment's settings, and the flow's may name another server.
        here = get_settings_context()
        settings = SettingsContext(profile=here.profile, settings=here.settings)
        threading.Thread(target=self._poll, args=(settings,), name="cancel", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._lock:  # the thread is not waited for: its server may be away
            self._over.set()

    def _poll(self, settings: SettingsContext) -> None:
        with settings:
            while not self._over.wait(POLL_S):
                if self._is_cancelled():
                    self._tell()
                    return

    def _is_cancelled(self) -> bool:
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(self._flow_run).state
        except (httpx.HTTPError, ObjectNotFound):
            return False  # a server that is away for a while ends no night's work
        return state is not None and (state.is_cancelling() or state.is_cancelled())

    def _tell(self) -> None:
        with self._lock:
            if not self._over.is_set():
                self.cancelled = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
