"""The second try: the unfinished work of every film in a work root, and nothing else."""

# No postponed annotations: Prefect, which loads deployments from this file, would find no names.

from typing import Any

from prefect import flow

from colorize_core import storage
from colorize_core.errors import KinecolorError, Unfinished, as_text
from colorize_core.placement import DeviceKind
from colorize_core.request import kept_request
from colorize_core.retry import films_to_retry
from colorize_core.run import retry_command
from colorize_core.scope import ALL, Scope
from flows.colorize_film import colorize_film


@flow(name="retry-failed", persist_result=False)
def retry_failed(
    work: str,
    scope: Scope = ALL,
    ray_address: str | None = None,
    workers: int | None = None,
    device: DeviceKind = "auto",
) -> list[dict[str, Any]]:
    """Do again what failed, film by film; one that fails again does not stop the others.

    Args:
        work: the work root, or one film's folder in it.
        scope: which failed segments; none picked means all.
        ray_address, workers, device: as for `colorize_film`.

    Returns:
        The summary of each film's run, as JSON.

    Raises:
        InputError: `work` is no work root, or what was picked is not there.
        Unfinished: a film failed again.
    """
    summaries: list[dict[str, Any]] = []
    failed: list[str] = []
    for paths in films_to_retry(storage.normalise(work), scope):
        try:
            request = kept_request(paths)
            summaries.append(colorize_film(request, ray_address, workers, device, scope))
        except KinecolorError as error:
            failed.append(f"{paths.film}: {as_text(error)}")
    if failed:
        raise Unfinished(
            f"{len(failed)} films failed again: {'; '.join(failed)}",
            f"Only what failed is done again by: {retry_command(work)}",
        )
    return summaries
