"""``python -m deployments.apply``: brings a Prefect server to what the files say.

It shows what it is going to change first. Doing it again changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import httpx
import typer
from prefect.client.orchestration import SyncPrefectClient, get_client

from colorize_core.errors import ClusterUnavailable, KinecolorError
from colorize_core.redact import redact
from deployments.changes import Difference, difference
from deployments.files import FOLDER, Wanted, read_files
from flows.terminal import say_error
from tasks.server import named_server

INCOMPLETE = 2  # the exit code where an automation's block is missing


def apply(client: SyncPrefectClient, wanted: Wanted, *, dry_run: bool = False) -> Difference:
    """Shows on standard output what has to change on the server, and changes it unless `dry_run`.

    Raises:
        SettingError: the files do not fit the server.
        ClusterUnavailable: the server refuses, or goes away.
    """
    try:
        found = difference(client, wanted)
        for each in found.changes:
            print(redact(str(each)))
            if not dry_run:
                each.make()
    except httpx.HTTPError as error:
        raise ClusterUnavailable(
            f"The Prefect server does not do what it is told: {' '.join(str(error).split())}",
            "Mend that, and do it again: what was changed is not changed twice.",
        ) from error
    print(f"{len(found.changes)} changes." if found.changes else "Nothing to change.")
    for line in (*found.unnamed, *found.missing):
        print(line)
    return found


def main(
    files: Annotated[
        Path, typer.Option(help="A folder with prefect.yaml, limits.yaml and automations.yaml.")
    ] = FOLDER,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show, and change nothing.")] = False,
) -> None:
    """Bring the Prefect server of PREFECT_API_URL to what the files say."""
    try:
        named_server()
        wanted = read_files(files, os.environ)
        with get_client(sync_client=True) as client:
            found = apply(client, wanted, dry_run=dry_run)
    except KinecolorError as error:
        say_error(error.what, error.remedy)
        raise typer.Exit(error.exit_code) from error
    if found.missing:
        raise typer.Exit(INCOMPLETE)


if __name__ == "__main__":
    typer.run(main)
