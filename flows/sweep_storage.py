"""What a work root holds that no manifest names: shown, and deleted only when told."""

# No postponed annotations: Prefect, which loads deployments from this file, would find no names.

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from colorize_core import storage
from colorize_core.sweep import FilmSweep, sweep
from tasks.observe import table_artifact


@flow(name="sweep-storage", persist_result=False)
def sweep_storage(
    work: str, older_than_days: Annotated[int, Field(ge=1)] = 30, delete: bool = False
) -> list[dict[str, Any]]:
    """Find what films' manifests do not name any more, and old versions of the manifests. A table
    artifact has the sums for each film. A film that a run is at is left alone.

    Args:
        work: the work root, or one film's folder in it.
        older_than_days: the grace period: what was written, or was still named, since then stays.
        delete: delete what is older; without it nothing is changed.

    Returns:
        Each film's sums by kind, as JSON.

    Raises:
        InputError: `work` is no work root.
        StorageError.
    """
    before = datetime.now(UTC) - timedelta(days=older_than_days)
    found = sweep(storage.normalise(work), before, delete=delete, progress=lambda *_: None)
    rows = [row for film in found for row in _rows(film)]
    table_artifact(
        rows,
        dict,
        "sweep-storage",
        f"What nothing names in {storage.redact(work)}; old is what was written before "
        f"{before:%Y-%m-%d}: {'deleted' if delete else 'kept, since delete is off'}.",
    )
    return rows


def _rows(film: FilmSweep) -> list[dict[str, Any]]:
    sums: list[dict[str, Any]] = [
        {"film": film.film, **kind._asdict(), "deleted": film.deleted} for kind in film.by_kind()
    ]
    return [*sums, {"film": film.film, "note": film.note}] if film.note else sums
