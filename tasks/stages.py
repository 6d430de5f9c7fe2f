"""The stages of a film as Prefect tasks: each makes one call into the core.

Tasks run in this process. What crosses between them are the run and small values; what is done
already is the manifest's to say, not Prefect's, so nothing is cached or persisted here.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from colorize_core.claim import Claim
from colorize_core.deliver import deliver as deliver_film
from colorize_core.errors import Unfinished
from colorize_core.film import Film, open_film
from colorize_core.prepare import prepare_run
from colorize_core.request import FilmRequest
from colorize_core.run import FilmRun
from colorize_core.scope import Scope
from colorize_core.shot_work import ShotWork
from colorize_core.summary import RunSummary
from colorize_core.work import Pool
from tasks import observe


@task(task_run_name="ingest · scan the source", cache_policy=NO_CACHE, persist_result=False)
def ingest(request: FilmRequest) -> Film:
    """Scan and gate the source and find its shots; or read what an earlier run found."""
    return open_film(request, observe.StageProgress("ingest"))


@task(task_run_name="plan · choose references", cache_policy=NO_CACHE, persist_result=False)
def plan(film: Film, request: FilmRequest, pool: Pool, claim: Claim, scope: Scope) -> FilmRun:
    """Choose each shot's stills, and name all work before any of it starts."""
    progress = observe.StageProgress(film.paths.film)
    return prepare_run(film, request, pool, progress, claim, scope)


@task(task_run_name="references · make stills", cache_policy=NO_CACHE, persist_result=False)
def make_references(run: FilmRun) -> None:
    """Make the stills of shots that the user's do not serve: what waits for the whole film."""
    run.make_references()


@task(cache_policy=NO_CACHE, persist_result=False)
def _colorize_shot(run: FilmRun, number: int) -> str:
    """Returns the shot's status. A failed shot is no failed task: the film's end names it."""
    return run.colorize_shot(run.work(number)).status


def colorize_shot(run: FilmRun, work: ShotWork) -> PrefectFuture[str]:
    """Start a shot's work; its task run is named for what it is."""
    name = f"shot {work.shot.number:04d} · {len(work.shot.span)} frames"
    return _colorize_shot.with_options(task_run_name=name).submit(run, work.shot.number)


def wait_for(shots: Sequence[PrefectFuture[str]]) -> None:
    """Return when every shot has ended; raise what a shot could not record itself."""
    for shot in shots:
        shot.result()


@task(task_run_name="deliver · join, verify, publish", cache_policy=NO_CACHE, persist_result=False)
def deliver(run: FilmRun) -> RunSummary:
    """Put the film together, verify it, publish it, write the report.

    Raises:
        Unfinished: segments failed; the report and the manifest say which.
    """
    try:
        summary = deliver_film(run)
    except Unfinished as unfinished:
        observe.film_summary(run.film.paths.film, RunSummary.model_validate(unfinished.summary))
        raise
    finally:
        observe.segment_table(run.film.paths.film, run.ledger.segments())
    observe.film_summary(run.film.paths.film, summary)
    return summary
