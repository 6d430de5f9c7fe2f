"""The stages of a film as Prefect tasks: each makes one call into the core.

Tasks run in this process. What crosses between them are the run and small values; what is done
already is the manifest's to say, not Prefect's, so nothing is cached or persisted here.
"""

from __future__ import annotations

import logging

from prefect import get_run_logger, task
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
from tasks import artifacts, observe
from tasks.watched import Watched


@task(task_run_name="ingest · scan the source", cache_policy=NO_CACHE, persist_result=False)
def ingest(request: FilmRequest) -> Film:
    """Scan and gate the source and find its shots; or read what an earlier run found."""
    return open_film(request, observe.StageProgress("ingest"))


@task(task_run_name="plan · choose references", cache_policy=NO_CACHE, persist_result=False)
def plan(film: Film, request: FilmRequest, pool: Watched, claim: Claim, scope: Scope) -> FilmRun:
    """Choose each shot's stills, and name all work before any of it starts."""
    progress = observe.StageProgress(film.paths.film)
    run = prepare_run(film, request, pool, progress, claim, scope)
    pool.follow(run)
    return run


@task(task_run_name="references · make stills", cache_policy=NO_CACHE, persist_result=False)
def make_references(run: FilmRun) -> None:
    """Make the stills of shots that the user's do not serve, and bring all stills to one tone: what
    waits for the whole film."""
    run.make_references()


@task(cache_policy=NO_CACHE, persist_result=False)
def _colorize_shot(run: FilmRun, number: int) -> str:
    """Returns the shot's status. A failed shot is no failed task: the film's end names it."""
    row = run.colorize_shot(run.work(number))
    level = logging.WARNING if row.status in ("failed", "partial") else logging.INFO
    said = f"shot {number:04d} is {row.status}: {row.seconds:.1f} s of workers. {row.note}"
    get_run_logger().log(level, said.rstrip(" ."))
    return row.status


def colorize_shot(run: FilmRun, work: ShotWork) -> PrefectFuture[str]:
    """Start a shot's work; its task run is named for what it is."""
    name = f"shot {work.shot.number:04d} · {len(work.shot.span)} frames"
    return _colorize_shot.with_options(task_run_name=name).submit(run, work.shot.number)


@task(task_run_name="deliver · join, verify, publish", cache_policy=NO_CACHE, persist_result=False)
def _deliver(run: FilmRun) -> RunSummary:
    return deliver_film(run)


def deliver(run: FilmRun) -> RunSummary:
    """Put the film together, verify it, publish it, write the report; and tell what came of it.

    Raises:
        Unfinished: segments failed; the report and the manifest say which.
    """
    try:
        summary = _deliver(run)
    except Unfinished as unfinished:
        artifacts.film_summary(run, RunSummary.model_validate(unfinished.summary))
        raise
    artifacts.film_summary(run, summary)
    return summary
