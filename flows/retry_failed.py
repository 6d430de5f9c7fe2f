"""The second try: the unfinished work of every film in a work root, and nothing else."""

# No postponed annotations: Prefect, which loads deployments from this file, would find no names.

from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from pydantic import Field

from colorize_core import storage
from colorize_core.errors import FilmClaimed, Held, KinecolorError, Unfinished, as_text
from colorize_core.paths import FilmPaths
from colorize_core.placement import DeviceKind
from colorize_core.request import kept_request
from colorize_core.retry import failures_in_a_row, films_to_retry
from colorize_core.run import retry_command
from colorize_core.scope import ALL, Scope
from flows.colorize_film import colorize_film


@flow(name="retry-failed", persist_result=False)
def retry_failed(
    work: str,
    scope: Scope = ALL,
    most_failures: Annotated[int, Field(ge=1)] = 3,
    ray_address: str | None = None,
    workers: int | None = None,
    device: DeviceKind = "auto",
) -> list[dict[str, Any]]:
    """Do again what failed, film by film; one that fails again does not stop the others. A table
    artifact says what came of each.

    Args:
        work: the work root, or one film's folder in it.
        scope: which failed segments; none picked means all.
        most_failures: a film whose runs failed so often in a row is left alone: another try would
            only cost the same again. `kinecolor retry` tries it all the same.
        ray_address, workers, device: as for `colorize_film`.

    Returns:
        The summary of each film's run, as JSON.

    Raises:
        InputError: `work` is no work root, or what was picked is not there.
        Unfinished: a film failed again.
    """
    summaries: list[dict[str, Any]] = []
    failed: list[str] = []
    came_of: dict[FilmPaths, str] = {}
    for paths in films_to_retry(storage.normalise(work), scope):
        if (failures := failures_in_a_row(paths)) >= most_failures:
            came_of[paths] = f"left alone: {failures} runs failed in a row"
            continue
        try:
            request = kept_request(paths)
            summaries.append(colorize_film(request, ray_address, workers, device, scope))
            came_of[paths] = "published"
        except (FilmClaimed, Held) as waits:
            came_of[paths] = waits.what
        except KinecolorError as error:
            came_of[paths] = as_text(error)
            failed.append(f"{paths.film}: {as_text(error)}")
    if came_of:
        _show(came_of, work)
    if failed:
        raise Unfinished(
            f"{len(failed)} films failed again: {'; '.join(failed)}",
            f"Only what failed is done again by: {retry_command(work)}",
        )
    return summaries


def _show(came_of: dict[FilmPaths, str], work: str) -> None:
    create_table_artifact(
        [{"film": paths.film, "outcome": outcome} for paths, outcome in came_of.items()],
        key="retry-failed",
        description=f"Films of {storage.redact(work)} with unfinished work. One that was left "
        f"alone is tried by: {retry_command(work)}",
    )
