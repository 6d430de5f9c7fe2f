"""Commands about colour references: which frames to colour next."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.options import WORK_ROOT, AcceptDamage, Json, Work

references_app = typer.Typer(
    help="Colour references: which frames of a film to colour.", rich_markup_mode=None
)


@references_app.callback()
def references() -> None:
    """Colour references: which frames of a film to colour."""


@references_app.command()
def export(
    where: Annotated[
        str,
        typer.Argument(
            metavar="WORK_OR_FILM",
            help="A work root with one film, a film's folder in one, or a film.",
        ),
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The folder for the frames.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", min=1, max=10_000, help="Frames in all, at most.")
    ] = 20,
    per_shot: Annotated[
        int, typer.Option("--per-shot", min=1, max=15, help="Frames of one shot, at most.")
    ] = 2,
    work: Work = WORK_ROOT,
    accept_damage: AcceptDamage = False,
    as_json: Json = False,
) -> None:
    """Write the frames for which a colour still would help most, and say what each is worth."""
    from rich.console import Console

    from colorize_core import storage
    from colorize_core.propose import export as export_frames
    from colorize_core.propose import propose, request_for
    from flows.terminal import Terminal, plain_table

    request = request_for(
        storage.normalise(where), storage.normalise(work), accept_damage=accept_damage
    )
    with Terminal() as terminal:
        film, proposals = propose(request, count, per_shot, terminal.progress)
        folder = storage.normalise(output or f"{film.title}-references")
        if proposals:
            export_frames(film, proposals, folder, terminal.progress)
    if as_json:
        rows = [proposal.model_dump(mode="json") for proposal in proposals]
        typer.echo(json.dumps({"folder": storage.redact(folder), "proposals": rows}))
        return
    if not proposals:
        terminal.say("No still would help: the stills that are there show all that is seen.")
        return
    table = plain_table("rank", "shot", "frame", "time", "gain", "of the film", "serves", "file")
    for each in proposals:
        table.add_row(
            str(each.rank),
            str(each.shot),
            str(each.frame),
            each.timecode,
            f"{each.gain_db:.1f} dB",
            f"{each.film_gain_db:.2f} dB",
            ", ".join(map(str, each.serves)) or "–",
            each.file,
        )
    Console(highlight=False).print(table)
    terminal.say(f"Colour these in any paint program, and give --references {folder}")
