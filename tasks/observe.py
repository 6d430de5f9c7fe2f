"""What people see of a run in Prefect: progress and table artifacts; and who else listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from colorize_core.manifest.schema import SegmentRow
from colorize_core.summary import RunSummary
from colorize_core.work import Progress

UPDATE_EVERY_S = 2.0  # an artifact's update is a request to the server
MOST_ROWS = 500  # of the table artifact: the manifest has them all

_listeners: list[Progress] = []


@contextmanager
def listening(listener: Progress) -> Iterator[None]:
    """Let `listener` hear of progress too: how a command line in this process draws its bars."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


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
        with self._lock:
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


def segment_table(film: str, rows: list[SegmentRow]) -> None:
    """A table artifact of the film's segments, what failed first."""
    order: dict[str, int] = {"quarantined": 0, "failed": 1, "running": 2, "pending": 3, "done": 4}
    ranked = sorted(rows, key=lambda row: (order[row.status], row.shot, row.segment))
    table = [
        {
            "segment": row.id,
            "frames": f"{row.start}–{row.end - 1}",
            "status": "grey" if row.grey and row.status == "done" else row.status,
            "attempts": row.attempts,
            "seconds": round(row.seconds or 0.0, 2),
            "confidence": None if row.confidence is None else round(row.confidence, 3),
            "error": row.error or "",
        }
        for row in ranked[:MOST_ROWS]
    ]
    more = f" The first {MOST_ROWS} of {len(rows)}." if len(rows) > MOST_ROWS else ""
    create_table_artifact(
        table, key=f"{film}-segments", description=f"Segments, failures first.{more}"
    )


def film_summary(film: str, summary: RunSummary) -> None:
    """A markdown artifact: what came of the film, and what to do next."""
    lines = [
        f"# {summary.status}",
        f"- frames: {summary.frames_in} in, {summary.frames_out} out",
        f"- segments: {', '.join(f'{count} {name}' for name, count in summary.segments.items())}",
        f"- luma exact: {summary.luma_exact}",
        f"- output: `{summary.output}`",
        f"- report: `{summary.report}`",
        *(f"- {warning}" for warning in summary.warnings),
    ]
    create_markdown_artifact("\n".join(lines), key=f"{film}-summary", description="The run")
