"""The main job: a film goes in, a colour film comes out. Read `tasks/stages.py` next."""

# No postponed annotations: Prefect, which loads deployments from this file, would find no names.

from functools import partial
from typing import Any

from prefect import flow
from prefect.exceptions import CancelledRun

from colorize_core.claim import hold
from colorize_core.deliver import recorded
from colorize_core.errors import Held
from colorize_core.placement import DeviceKind
from colorize_core.request import FilmRequest, check_request
from colorize_core.scope import ALL, Scope
from tasks import observe, stages
from tasks.artifacts import as_held, told
from tasks.cancel import as_cancelled, ended_on_cancel
from tasks.cluster import check_cluster, worker_pool
from tasks.turns import in_turn
from tasks.watched import watched


@flow(name="colorize-film", persist_result=False)
def colorize_film(
    request: FilmRequest,
    ray_address: str | None = None,
    workers: int | None = None,
    device: DeviceKind = "auto",
    scope: Scope = ALL,
) -> dict[str, Any]:
    """Colorize one film and publish it.

    Args:
        request: the film, its references, and where things go.
        ray_address: the Ray cluster to join; none means this machine alone.
        workers: at most so many of a kind; none means one for each CPU and GPU of the cluster.
        scope: which of its unfinished work is done; the rest stays as it is.
        device: where parts that want a GPU compute: cuda, cpu, or auto, which never means the CPU.

    Returns:
        The run's summary (`RunSummary` as JSON).

    Raises:
        Unfinished: segments failed; the film is not published.
        Held: it is made, and a person has to look before it is published.
        FilmClaimed: another run is working on this film.
        CancelledRun: it was cancelled in Prefect.
        KinecolorError: with what is wrong and what to do.
    """
    try:
        with ended_on_cancel(), observe.tagged(request):
            check_request(request)
            check_cluster(ray_address)
            film = stages.ingest(request)
            progress = observe.StageProgress(film.paths.film)
            with (
                hold(film.paths, progress) as claim,
                worker_pool(request.config, ray_address, workers, device, progress) as crew,
                watched(crew, film.paths.film) as pool,
            ):
                run = stages.plan(film, request, pool, claim, scope)
                with told(run), recorded(run):
                    if any(work.choice.making for work in run.shots):
                        stages.make_references(run)
                    in_turn(run.shots, pool, partial(stages.colorize_shot, run))
                    pool.close()
                    return stages.deliver(run).model_dump(mode="json")
    except CancelledRun as cancelled:
        return as_cancelled(cancelled)
    except Held as held:
        return as_held(held)
