"""What a run over an archive says at its end: the one object that `--json` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from pydantic import BaseModel, ConfigDict, Field

from colorize_core.archive.rollup import ArchiveRow
from colorize_core.errors import Unfinished

_NAMED = 10  # of the films that are not published, in a message


class ArchiveFilmSummary(BaseModel):
    """One film that the run worked on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    status: str
    why: str = Field(description="Why it was done.")
    output: str | None
    error: str | None
    remedy: str | None


class ArchiveSummary(BaseModel):
    """The outcome of a run over an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    work: str = Field(description="The work root.")
    films: dict[str, int] = Field(description="All films of the archive, by status.")
    worked_on: tuple[ArchiveFilmSummary, ...] = Field(description="In the order of the archive.")
    refused: tuple[ArchiveFilmSummary, ...] = Field(
        description="Films that wait for a person, since what was given is wrong."
    )
    held: tuple[ArchiveFilmSummary, ...] = Field(
        description="Films that wait for a person, since shots score below quality.hold_below."
    )
    left: int = Field(description="Films that are due and were not begun.")
    seconds: float = Field(description="Wall clock of the run.")


def summarize(
    work: str, rows: Sequence[ArchiveRow], worked_on: Collection[tuple[str, str]], seconds: float
) -> ArchiveSummary:
    """The summary of a run that worked on the films with these identities, of all `rows`."""
    done = [row for row in rows if row.identity in worked_on]
    others = [row for row in rows if row.identity not in worked_on]
    return ArchiveSummary(
        work=work,
        films=dict(Counter(row.status for row in rows)),
        worked_on=tuple(map(_film, done)),
        refused=tuple(_film(row) for row in rows if row.status == "refused"),
        held=tuple(_film(row) for row in rows if row.status == "held"),
        left=sum(row.status == "waiting" for row in others),
        seconds=seconds,
    )


def check_published(summary: ArchiveSummary) -> None:
    """Refuse to call a run a success where a film that it worked on is not published, and does not
    wait for another run that is at it.

    Raises:
        Unfinished: names them.
    """
    open_ = [film for film in summary.worked_on if film.status not in ("published", "waiting")]
    if not open_:
        return
    named = [f"{film.name} ({film.error or film.status})" for film in open_[:_NAMED]]
    more = [f"and {len(open_) - _NAMED} more"] if len(open_) > _NAMED else []
    held = [film for film in open_ if film.status == "held"]
    remedy = [
        "The same command goes on with them; finished work is kept."
        if len(held) < len(open_)
        else "",
        "Held films wait until a person has looked at their reports; then the same command with "
        "--hold-below 0 publishes them."
        if held
        else "",
        f"kinecolor status {summary.work} says more.",
    ]
    unfinished = Unfinished(
        f"{len(open_)} of {len(summary.worked_on)} films are not published: "
        + "; ".join([*named, *more]),
        " ".join(filter(None, remedy)),
    )
    unfinished.summary = summary.model_dump(mode="json")
    raise unfinished


def _film(row: ArchiveRow) -> ArchiveFilmSummary:
    return ArchiveFilmSummary(
        name=row.name,
        source=row.source,
        status=row.status,
        why=row.why,
        output=row.output,
        error=row.error,
        remedy=row.remedy,
    )
