"""The night's work: every film of an archive that is new, changed or unfinished. One bad film is
never in the way of the others."""

# No postponed annotations: Prefect, which loads deployments from this file, would find no names.

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun
from prefect.states import Crashed, Pending

from colorize_core import storage
from colorize_core.archive.ended import ended_row
from colorize_core.archive.request import ArchiveRequest
from colorize_core.archive.rollup import ArchiveRow, ArchiveStatus, RollUp
from colorize_core.archive.sources import archive_films
from colorize_core.archive.summary import check_published, summarize
from colorize_core.archive.todo import Todo, films_to_do, refused
from colorize_core.claim import Claim, hold
from colorize_core.errors import KinecolorError
from colorize_core.paths import ArchivePaths
from colorize_core.placement import DeviceKind
from flows.colorize_film import colorize_film
from flows.film_children import FilmChildren, FilmJob
from tasks import observe
from tasks.cancel import as_cancelled, ended_on_cancel
from tasks.cluster import shared_cluster

_ORDER: tuple[ArchiveStatus, ...] = (
    *("failed", "unfinished", "refused", "held", "stopped"),
    *("running", "waiting", "published", "disabled"),
)


@flow(name="colorize-archive", persist_result=False)
def colorize_archive(
    request: ArchiveRequest,
    films_at_once: int = 2,
    most_films: int | None = None,
    hours: float | None = None,
    ray_address: str | None = None,
    workers: int | None = None,
    device: DeviceKind = "auto",
) -> dict[str, Any]:
    """Colorize what is new, changed or unfinished of an archive, each film as a run of
    `colorize-film` in a process of its own.

    Args:
        request: the archive's films, and where things go.
        films_at_once: films that are worked on at a time: while one is put together, the next
            one's frames keep the workers busy.
        most_films: at most so many films are begun.
        hours: no film is begun after so long; those that are go on to their end.
        ray_address, workers, device: as for `colorize_film`; all films share one cluster.

    Returns:
        The run's summary (`ArchiveSummary` as JSON).

    Raises:
        Unfinished: films that were worked on are not published; the others are.
        FilmClaimed: another run is working on this archive.
        CancelledRun: it was cancelled in Prefect.
        KinecolorError: with what is wrong and what to do.
    """
    began = time.monotonic()
    try:
        with ended_on_cancel():
            films = archive_films(request)
            paths = ArchivePaths(storage.normalise(request.work))
            storage.check_writable(paths.root)
            storage.check_exclusive(paths.root)
            with hold(paths, observe.StageProgress("archive")) as claim:
                rollup = RollUp(paths)
                todos = films_to_do(films, rollup)
                rollup.update(todo.row for todo in todos)
                due = [todo for todo in todos if todo.due]
                night = _Night(rollup, claim, paths.root, ray_address, workers, device)
                ends_at = began + hours * 3600 if hours is not None else None
                try:
                    if due:
                        night.colorize(due[:most_films], films_at_once, ends_at)
                finally:
                    rollup.flush()
                    rows = [rollup.row(*todo.row.identity) or todo.row for todo in todos]
                    _films_table(rows)
            summary = summarize(paths.root, rows, night.begun, time.monotonic() - began)
            check_published(summary)
            return summary.model_dump(mode="json")
    except CancelledRun as cancelled:
        return as_cancelled(cancelled)


@dataclass(eq=False)
class _Night:
    """The films of one run. `begun`: which ones it has worked on, by their rows' identity."""

    rollup: RollUp
    claim: Claim
    work: str
    ray_address: str | None
    workers: int | None
    device: DeviceKind
    begun: set[tuple[str, str]] = field(default_factory=set)
    children: FilmChildren = field(default_factory=FilmChildren)

    def colorize(self, due: Sequence[Todo], at_once: int, ends_at: float | None) -> None:
        """Work on `due`, in this order, `at_once` at a time. None is begun after `ends_at`, on
        `time.monotonic`'s clock.

        Raises:
            CommitLost: another run has taken the archive over.
            KinecolorError: of the cluster or the work root; never one film's.
        """
        progress = observe.StageProgress("archive")
        progress("films", 0, len(due))
        context = FlowRunContext.get()
        parent = context.flow_run.id if context and context.flow_run else None
        with shared_cluster(self.ray_address) as address, ThreadPoolExecutor(at_once) as threads:
            films = [
                threads.submit(self._colorize_one, todo, address, parent, ends_at) for todo in due
            ]
            try:
                for count, film in enumerate(as_completed(films), start=1):
                    film.result()
                    progress("films", count, len(due))
            finally:
                for film in films:
                    film.cancel()
                self.children.close()

    def _colorize_one(
        self, todo: Todo, address: str, parent: UUID | None, ends_at: float | None
    ) -> None:
        """Work on one film, and note what came of it."""
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        self.claim.check()
        row = todo.row.changed(
            status="running", started=datetime.now(UTC), error_class=None, error=None, remedy=None
        )
        self.begun.add(row.identity)
        with get_client(sync_client=True) as client:
            flow_run = _begin_run(client, todo, parent)
            row = row.changed(flow_run=str(flow_run))
            self.rollup.update([row])
            end = self.children.colorize(
                FilmJob(
                    request=todo.request,
                    flow_run=flow_run,
                    ray_address=address,
                    workers=self.workers,
                    device=self.device,
                )
            )
            if end.status == "died":
                client.set_flow_run_state(flow_run, Crashed(message=end.error), force=True)
        known = [each.film for each in self.rollup.rows() if each.film]
        try:
            row = ended_row(row, end, self.work, known)
        except KinecolorError as error:  # its tables cannot be read
            row = refused(row, error)
        self.rollup.update([row])


def _begin_run(client: SyncPrefectClient, todo: Todo, parent: UUID | None) -> UUID:
    """A run of `colorize-film` that shows as part of this one."""
    # Not a task that runs here: the server hears of those too late to know a child's parent.
    place = client.create_task_run(
        _film, parent, dynamic_key=str(uuid4()), name=f"film {todo.film.name}", state=Pending()
    )
    return client.create_flow_run(
        colorize_film,
        name=todo.film.name,
        parameters={"request": todo.request},
        parent_task_run_id=place.id,
        state=Pending(),
    ).id


@task(name="colorize-film")
def _film() -> None:
    """How a film's run shows in the archive's; the server gives it the state of that."""


def _films_table(rows: Sequence[ArchiveRow]) -> None:
    """A table artifact of the archive's films, those in trouble first."""
    ranked = sorted(rows, key=lambda row: (_ORDER.index(row.status), row.name))
    observe.table_artifact(ranked, _cells, "archive", "Films, those in trouble first.")


def _cells(row: ArchiveRow) -> dict[str, Any]:
    return {
        "film": row.name,
        "status": row.status,
        "why": row.why,
        "frames": row.frames,
        "shots": row.shots,
        "segments": ", ".join(f"{count} {name}" for name, count in row.segments.items()),
        "output": row.output or "",
        "error": " ".join(filter(None, (row.error, row.remedy))),
    }
