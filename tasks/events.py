"""Events of a film in Prefect, which automations can wait for.

``kinecolor.segment.<status>`` for each change of a segment's status, of the resource
``kinecolor.film.<film>.segment.<segment>``; ``kinecolor.film.<status>`` at the film's end, of
``kinecolor.film.<film>``. Both are related to the flow run.
"""

from __future__ import annotations

from uuid import UUID

from prefect.events import emit_event

from colorize_core.manifest.schema import FilmRow, Row, SegmentRow


class RunEvents:
    """Tells Prefect what becomes of a film's segments in one flow run, and of the film.

    An event is put in a queue and sent by a thread of Prefect's; what it costs stands in
    docs/operations.md.
    """

    def __init__(self, flow_run: UUID) -> None:
        self._related = [
            {
                "prefect.resource.id": f"prefect.flow-run.{flow_run}",
                "prefect.resource.role": "flow-run",
            }
        ]

    def changed(self, before: Row | None, row: Row, recorded: SegmentRow | None) -> None:
        """Emit an event if this is news. `recorded`: how the segment was when the run began; one
        that is found as it was is none."""
        was = before.status if isinstance(before, (SegmentRow, FilmRow)) else None
        match row:
            case SegmentRow() if was != row.status:
                if was == "running" or recorded is None or recorded.status != row.status:
                    self._segment(row)
            case FilmRow() if was != row.status:
                self._film(row)

    def _segment(self, row: SegmentRow) -> None:
        self._emit(
            f"kinecolor.segment.{row.status}",
            f"kinecolor.film.{row.film}.segment.{row.id}",
            row.id,
            {
                "film": row.film,
                "shot": row.shot,
                "frames": [row.start, row.end],
                "attempts": row.attempts,
                "seconds": row.seconds,
                "error": row.error,
            },
        )

    def _film(self, row: FilmRow) -> None:
        self._emit(
            f"kinecolor.film.{row.status}",
            f"kinecolor.film.{row.film}",
            row.title,
            {"output": row.output, "seconds": row.seconds, "error": row.error},
        )

    def _emit(self, event: str, resource: str, name: str, payload: dict[str, object]) -> None:
        emit_event(
            event,
            resource={"prefect.resource.id": resource, "prefect.resource.name": name},
            related=self._related,
            payload=payload,
        )
