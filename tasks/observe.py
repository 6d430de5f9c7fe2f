"""What people see of a run in Prefect while it works: its tags, and a progress artifact for each
stage; and who else listens. What they see at its end: `tasks/artifacts.py`."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, TypeVar, cast
from uuid import UUID

import httpx
from prefect import tags
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from colorize_core import storage
from colorize_core.request import FilmRequest
from colorize_core.work import Progress

UPDATE_EVERY_S = 2.0  # an artifact's update is a request to the server
MOST_ROWS = 500  # of a table artifact: the manifest has them all
_MOST_OF_A_TITLE = 60

T = TypeVar("T")

_log = logging.getLogger(__name__)
_listeners: list[Progress] = []


@contextmanager
def listening(listener: Progress) -> Iterator[None]:
    """Let `listener` hear of progress too: how a command line in this process draws its bars."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def tagged(request: FilmRequest) -> Iterator[None]:
    """Give the flow run, and the task runs of this block, a tag for the film and one for the
    preset."""
    name = storage.name_of(storage.redact(request.source))
    given = {f"film:{slug(PurePath(name).stem)}", f"preset:{request.config.preset}"}
    context = FlowRunContext.get()
    if context and context.flow_run:
        flow_run = context.flow_run
        with server_may_be_away(), get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, tags=sorted({*flow_run.tags, *given}))
    with tags(*given):
        yield


def slug(title: str) -> str:
    """A title as tags and artifacts' keys take it: lower case, ASCII letters, digits and dashes."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return plain[:_MOST_OF_A_TITLE].strip("-") or "film"


def table_artifact(
    rows: Sequence[T], cells: Callable[[T], dict[str, Any]], key: str, description: str
) -> None:
    """A table artifact of the first `MOST_ROWS` of `rows`, which says so where there are more."""
    more = f" The first {MOST_ROWS} of {len(rows)}." if len(rows) > MOST_ROWS else ""
    create_table_artifact(
        [cells(row) for row in rows[:MOST_ROWS]], key=key, description=f"{description}{more}"
    )


@contextmanager
def server_may_be_away() -> Iterator[None]:
    """What is told in this block is for people to look at: a server that does not answer for a
    while ends no night's work."""
    try:
        yield
    except httpx.HTTPError as error:
        _log.warning("Prefect's server was not told something: %s", error)


class StageProgress:
    """A progress artifact for each stage, brought up to date now and then. Thread-safe."""

    def __init__(self, film: str) -> None:
        self._film = film
        self._artifacts: dict[str, tuple[UUID, float]] = {}
        self._lock = threading.Lock()

    def __call__(self, stage: str, done: int, total: int) -> None:
        for listener in list(_listeners):
            listener(stage, done, total)
        share = min(100.0, 100.0 * done / max(total, 1))
        with self._lock, server_may_be_away():
            known = self._artifacts.get(stage)
            now = time.monotonic()
            if known is None:
                artifact = create_progress_artifact(
                    share, key=f"{self._film}-{stage}", description=f"{stage}: {done} of {total}"
                )
                # without a running event loop Prefect's call is a plain one, whatever its type says
                self._artifacts[stage] = (cast(UUID, artifact), now)
            elif done >= total or now - known[1] >= UPDATE_EVERY_S:
                update_progress_artifact(known[0], share, f"{stage}: {done} of {total}")
                self._artifacts[stage] = (known[0], now)
