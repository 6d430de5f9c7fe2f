"""The whole job in one process, with no server and no cluster: for debugging and most tests."""

from __future__ import annotations

from concurrent.futures import Future

from colorize_core import parts
from colorize_core.claim import hold
from colorize_core.colorize import perform, prepare_process
from colorize_core.deliver import deliver, recorded
from colorize_core.engines.contract import CPU, Device
from colorize_core.engines.diffusion.weights import check_weights
from colorize_core.errors import KinecolorError
from colorize_core.film import open_film
from colorize_core.placement import DeviceKind, local_device
from colorize_core.prepare import prepare_run
from colorize_core.request import FilmRequest, check_request
from colorize_core.scope import ALL, Scope
from colorize_core.summary import RunSummary
from colorize_core.work import Outcome, Progress, Stage, WorkItem, cancel


class LocalPool:
    """Does each item in the calling thread, at once. Meets `work.Pool`."""

    width = 1

    def __init__(self, device: Device = CPU) -> None:
        prepare_process(device)
        self._closed = False

    def submit(self, item: WorkItem) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        if self._closed:
            cancel(future)
            return future
        try:
            future.set_result(perform(item))
        except KinecolorError as error:  # handed to whoever asks for the result
            future.set_exception(error)
        return future

    def release(self, stage: Stage) -> None:
        parts.release(stage)

    def close(self) -> None:
        self._closed = True


def colorize_film(
    request: FilmRequest, progress: Progress, device: DeviceKind = "auto", scope: Scope = ALL
) -> RunSummary:
    """Colorize one film here and now: what `flows/colorize_film.py` does, one shot at a time.

    Raises:
        Unfinished: segments failed; the film is not published.
        KinecolorError: with what is wrong and what to do.
    """
    check_request(request)
    check_weights(request.config)
    here = local_device(request.config, device)
    film = open_film(request, progress)
    with hold(film.paths, progress) as claim:
        run = prepare_run(film, request, LocalPool(here), progress, claim, scope)
        with recorded(run):
            run.make_references()
            for work in run.shots:
                run.colorize_shot(work)
            return deliver(run)
