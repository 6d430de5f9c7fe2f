"""Which of a film's unfinished work a run does: all of it, or what a person picked to retry."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from colorize_core.manifest.schema import FAILED, SegmentRow


class Scope(BaseModel):
    """What is picked; of several things, what fits all of them. Nothing picked: all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: frozenset[int] = Field(default=frozenset(), description="Numbers of shots.")
    segments: frozenset[str] = Field(
        default=frozenset(), description="Ids of segments (``0012-0003``)."
    )
    quarantined: bool = Field(default=False, description="Only segments that are quarantined.")

    def covers(self, row: SegmentRow) -> bool:
        """Whether a segment that is not done is worked on."""
        return (
            (not self.shots or row.shot in self.shots)
            and (not self.segments or row.id in self.segments)
            and (not self.quarantined or row.status == "quarantined")
        )

    @property
    def is_all(self) -> bool:
        return self == Scope()


ALL = Scope()


def failed_rows(rows: Iterable[SegmentRow], scope: Scope = ALL) -> list[SegmentRow]:
    """Those of `rows` that failed and that `scope` covers."""
    return [row for row in rows if row.status in FAILED and scope.covers(row)]
