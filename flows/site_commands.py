"""What the commands of a whole work root or site do."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from colorize_core import storage
from colorize_core.sweep import FilmSweep, sweep
from flows.terminal import Terminal, plain_table


def sweep_work(where: str, older_than: int, *, delete: bool, as_json: bool) -> None:
    """Say what of a work root no manifest names; delete it when told."""
    before = datetime.now(UTC) - timedelta(days=older_than)
    with Terminal() as terminal:
        films = list(
            sweep(storage.normalise(where), before, delete=delete, progress=terminal.progress)
        )
    if as_json:
        typer.echo(json.dumps({"films": [film.model_dump(mode="json") for film in films]}))
        return
    Console(highlight=False).print(_table(films))
    for film in films:
        if film.note:
            terminal.say(f"{film.film} is left alone. {film.note}")
    old = [each.bytes for film in films for each in film.old]
    done = "deleted" if delete else "to be deleted with --delete"
    terminal.say(f"Old: {len(old)} objects, {decimal(sum(old))}, {done}.")


def _table(films: list[FilmSweep]) -> Table:
    table = plain_table("film", "what", "objects", "size", "old", "size")
    for film in films:
        for kind in film.by_kind():
            table.add_row(
                film.film,
                kind.kind,
                str(kind.objects),
                decimal(kind.bytes),
                str(kind.old_objects),
                decimal(kind.old_bytes),
            )
    return table


def serve(
    sources: str, output: str, work: str, references: str | None, files: Path | None, *, debug: bool
) -> None:
    """Do an archive's runs on this machine when they are due, until told to end."""
    from deployments.files import FOLDER
    from deployments.serve import serve as serve_files

    asked = {"SOURCES": sources, "OUTPUT": output, "WORK": work, "REFERENCES": references}
    named = {
        f"KINECOLOR_{name}": storage.normalise(value) for name, value in asked.items() if value
    }
    serve_files(files or FOLDER, {**os.environ, **named}, debug=debug)
