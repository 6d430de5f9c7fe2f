"""The command line. Each command parses, makes one call, and says what came of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from colorize_core.errors import InputError, KinecolorError, Unfinished
from colorize_core.redact import redact
from flows.options import (
    WORK_ROOT,
    AcceptDamage,
    AcceptLicence,
    Debug,
    DeviceOption,
    HoldBelow,
    Json,
    Local,
    Preset,
    Ray,
    References,
    ReferencesDir,
    Set,
    Shots,
    Source,
    Work,
    Workers,
    settings,
)
from flows.references_commands import references_app
from flows.signals import Stopped, end_at_once, end_in_order
from flows.terminal import say_error

app = typer.Typer(
    name="kinecolor",
    help="Colorizes black-and-white films: shots, references, anchors, segments, and the "
    "source's own luma.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(references_app, name="references")

_NO_TEXT = re.compile(r"[\ud800-\udfff]")


@app.command()
def colorize(
    source: Source,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Result: .mkv master, .mp4 or .mov access copy."),
    ] = None,
    reference: References = None,
    references: ReferencesDir = None,
    preset: Preset = "exemplar",
    set_: Set = None,
    shots: Shots = None,
    hold_below: HoldBelow = None,
    work: Work = WORK_ROOT,
    local: Local = False,
    ray: Ray = None,
    workers: Workers = None,
    device: DeviceOption = "auto",
    accept_damage: AcceptDamage = False,
    accept_licence: AcceptLicence = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Colorize a film from colour stills, or from a prompt."""
    from flows import commands

    commands.colorize(
        commands.film_request(
            source=source,
            output=output,
            references=reference or (),
            references_dir=references,
            preset=preset,
            assignments=settings(set_, hold_below),
            shots=shots,
            work=work,
            accept_damage=accept_damage,
            accept_licence=accept_licence,
        ),
        commands.Where(local=local, ray=ray, workers=workers, device=device),
        as_json=as_json,
        debug=debug,
    )


@app.command()
def archive(
    sources: Annotated[
        str,
        typer.Argument(
            metavar="SOURCES", help="A folder, a glob, or a catalogue (.csv or .parquet)."
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="The folder for the results.")],
    references: Annotated[
        str | None,
        typer.Option(
            "--references",
            metavar="DIR",
            help="A folder that has a folder of colour stills for each film, of its name.",
        ),
    ] = None,
    preset: Preset = "exemplar",
    set_: Set = None,
    hold_below: HoldBelow = None,
    work: Work = WORK_ROOT,
    films_at_once: Annotated[
        int, typer.Option("--films-at-once", min=1, max=64, help="Films worked on at a time.")
    ] = 2,
    most_films: Annotated[
        int | None, typer.Option("--most-films", min=1, help="Begin at most so many films.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", min=0.0, help="Begin no film after so long.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which films would be done, and why.")
    ] = False,
    ray: Ray = None,
    workers: Workers = None,
    device: DeviceOption = "auto",
    accept_damage: AcceptDamage = False,
    accept_licence: AcceptLicence = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Colorize what is new, changed or unfinished of many films."""
    from colorize_core.archive.request import ArchiveRequest
    from flows import archive_commands, commands

    archive_commands.archive(
        ArchiveRequest(
            sources=sources,
            output=output,
            work=work,
            references=references,
            preset=preset,
            settings=settings(set_, hold_below),
            accept_damage=accept_damage,
            accept_licence=accept_licence,
        ),
        commands.Where(ray=ray, workers=workers, device=device),
        films_at_once=films_at_once,
        most_films=most_films,
        hours=hours,
        dry_run=dry_run,
        as_json=as_json,
        debug=debug,
    )


@app.command()
def retry(
    work: Annotated[str, typer.Argument(metavar="WORK", help="A work root, or a film in one.")],
    shot: Annotated[
        list[int] | None, typer.Option("--shot", help="Only this shot; may be given again.")
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(
            "--segment", metavar="ID", help="Only this segment (0012-0003); may be given again."
        ),
    ] = None,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Only segments that are quarantined.")
    ] = False,
    local: Local = False,
    ray: Ray = None,
    workers: Workers = None,
    device: DeviceOption = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Do again what failed in a work root, and nothing else; publish what is then whole."""
    from colorize_core.scope import Scope
    from flows import commands

    commands.retry(
        work,
        Scope(
            shots=frozenset(shot or ()),
            segments=frozenset(segment or ()),
            quarantined=quarantined,
        ),
        commands.Where(local=local, ray=ray, workers=workers, device=device),
        as_json=as_json,
        debug=debug,
    )


@app.command()
def estimate(
    source: Source,
    reference: References = None,
    references: ReferencesDir = None,
    preset: Preset = "exemplar",
    set_: Set = None,
    shots: Shots = None,
    work: Work = WORK_ROOT,
    ray: Ray = None,
    workers: Workers = None,
    device: DeviceOption = "auto",
    accept_damage: AcceptDamage = False,
    as_json: Json = False,
) -> None:
    """Say what colorizing a film takes, before anything runs but the scan for its shots."""
    from flows import commands, model_commands

    model_commands.estimate(
        commands.film_request(
            source=source,
            output=None,
            references=reference or (),
            references_dir=references,
            preset=preset,
            assignments=set_ or (),
            shots=shots,
            work=work,
            accept_damage=accept_damage,
        ),
        commands.Where(ray=ray, workers=workers, device=device),
        as_json=as_json,
    )


@app.command()
def shots(
    source: Source,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Where the list goes (default: printed).")
    ] = None,
    accept_damage: AcceptDamage = False,
) -> None:
    """Find the shots of a film and write them as a CSV that can be edited."""
    from flows import commands

    commands.shots(source, output, accept_damage=accept_damage)


@app.command()
def status(
    where: Annotated[str, typer.Argument(metavar="WORK_OR_FILM", help="A work root or a film.")],
    work: Work = WORK_ROOT,
    as_json: Json = False,
) -> None:
    """Say what is done, what failed, and what to do."""
    from flows import archive_commands

    archive_commands.status(where, work, as_json=as_json)


@app.command()
def verify(
    output: Annotated[str, typer.Argument(metavar="OUT", help="A finished film.")],
    against: Annotated[str, typer.Option(metavar="SOURCE", help="The film it was made from.")],
    as_json: Json = False,
) -> None:
    """Prove, frame by frame, that a result keeps its source's frames, times, luma and sound."""
    from flows import commands

    commands.verify(output, against, as_json=as_json)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="A folder for everything.")] = Path(
        "demo"
    ),
    local: Local = False,
) -> None:
    """Build a small film of real photographs, colorize it, and measure the result."""
    from flows import commands

    commands.demo(output, commands.Where(local=local))


@app.command("fetch-weights")
def fetch_weights(
    parts: Annotated[
        list[str] | None,
        typer.Argument(help="qwen, dual_attention, svd. Default: the preset's.", metavar="[PART]…"),
    ] = None,
    preset: Preset = "paper",
    set_: Set = None,
    accept_licence: AcceptLicence = False,
    as_json: Json = False,
) -> None:
    """Download the weights of engine parts beforehand: runs never do."""
    from flows import model_commands

    model_commands.fetch_weights(
        parts or (), preset, set_ or (), accept_licence=accept_licence, as_json=as_json
    )


@app.command("train-controlnet")
def train_controlnet(
    clips: Annotated[
        str,
        typer.Argument(
            help="A folder of colour videos or .tar shards, or shards by name.", metavar="CLIPS"
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="A folder for checkpoints and samples.")
    ] = "controlnet",
    set_: Set = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint.")
    ] = False,
    accept_licence: AcceptLicence = False,
    as_json: Json = False,
) -> None:
    """Train the ControlNet of part svd on colour videos of one's own (docs/training.md)."""
    from flows import model_commands

    model_commands.train_controlnet(
        clips, output, set_ or (), resume=resume, accept_licence=accept_licence, as_json=as_json
    )


@app.command()
def sweep(
    work: Annotated[str, typer.Argument(metavar="WORK", help="A work root, or a film in one.")],
    older_than: Annotated[
        int,
        typer.Option("--older-than", metavar="DAYS", min=1, help="What is younger stays."),
    ] = 30,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is older.")] = False,
    as_json: Json = False,
) -> None:
    """List what no manifest names any more; delete it when told."""
    from flows import site_commands

    site_commands.sweep_work(work, older_than, delete=delete, as_json=as_json)


@app.command()
def serve(
    sources: Annotated[
        str,
        typer.Argument(
            envvar="KINECOLOR_SOURCES",
            metavar="SOURCES",
            help="A folder, a glob, or a catalogue (.csv or .parquet): paths or URLs.",
        ),
    ],
    output: Annotated[
        str, typer.Option(envvar="KINECOLOR_OUTPUT", help="The folder for the results.")
    ],
    work: Work = WORK_ROOT,
    references: Annotated[
        str | None,
        typer.Option(
            envvar="KINECOLOR_REFERENCES",
            metavar="DIR",
            help="A folder of folders of colour stills, one for each film.",
        ),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of deployments in the place of kinecolor's."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Do the runs of an archive on this machine, night by night, until told to end."""
    from flows import site_commands

    site_commands.serve(sources, output, work, references, files, debug=debug)


@app.command()
def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="DAVIS, Videvo, a folder of folders of frames, or of films."
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="A local folder for results, tables and the page.")
    ] = "evaluation",
    preset: Preset = "exemplar",
    set_: Set = None,
    reference: Annotated[
        str,
        typer.Option(
            "--reference",
            help="middle, first: true colours of that frame; none; or a folder of stills.",
        ),
    ] = "middle",
    protocol: Annotated[
        Literal["paper", "held-out"],
        typer.Option("--protocol", help="paper: every frame counts; held-out: not the references."),
    ] = "paper",
    ray: Ray = None,
    workers: Workers = None,
    device: DeviceOption = "auto",
    accept_licence: AcceptLicence = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a preset on clips whose true colours are known."""
    from colorize_core.evaluation.request import EvaluationRequest
    from flows import commands, evaluate_command

    evaluate_command.evaluate(
        EvaluationRequest(
            dataset=dataset,
            output=output,
            preset=preset,
            settings=tuple(set_ or ()),
            reference=reference,
            protocol=protocol,
            accept_licence=accept_licence,
        ),
        commands.Where(ray=ray, workers=workers, device=device),
        as_json=as_json,
        debug=debug,
    )


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can run, and how to mend what it cannot."""
    from flows import commands

    commands.doctor(as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: exit 0 published, 1 wrong input or usage, 2 unfinished, 130 interrupted or
    cancelled, 143 and 129 ended by SIGTERM and SIGHUP."""
    end_in_order()
    code = run(sys.argv[1:] if arguments is None else arguments)
    end_at_once(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    if "--debug" not in arguments:  # the library's advice is not for who colorizes a film
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        _check_text(arguments)
        code = app(list(arguments) or ["--help"], standalone_mode=False)
    except Unfinished as unfinished:  # its summary is printed
        say_error(unfinished.what, unfinished.remedy)
        return unfinished.exit_code
    except KinecolorError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _end(arguments, error.exit_code, "error", error.what, error.remedy)
    except typer.TyperException as error:
        remedy = "kinecolor --help shows the commands."
        return _end(arguments, 1, "error", error.format_message(), remedy)
    except Stopped as stopped:
        remedy = f"Finished work is kept. To go on: {_typed(arguments)}"
        return _end(arguments, stopped.code, "interrupted", stopped.what, remedy)
    return code or 0


def _check_text(arguments: Sequence[str]) -> None:
    """Refuses what no path or setting can hold: bytes that are not UTF-8 come as lone surrogates.

    Raises:
        InputError: an argument is not UTF-8 text.
    """
    for argument in arguments:
        if _NO_TEXT.search(argument):
            shown = argument.encode(errors="replace").decode()
            raise InputError(
                f"“{shown}” is not UTF-8 text.", "Give the file a name in UTF-8, or link to it so."
            )


def _typed(arguments: Sequence[str]) -> str:
    """The command line again, as a shell takes it."""
    return redact(shlex.join(["kinecolor", *arguments]))


def _end(arguments: Sequence[str], code: int, status: str, what: str, remedy: str) -> int:
    """Say what ended a command; with ``--json`` as an object with all keys of its result, too."""
    say_error(what, remedy)
    if "--json" in arguments:
        from colorize_core.archive.summary import ArchiveSummary
        from colorize_core.evaluation.measure import Evaluation
        from colorize_core.summary import RunSummary

        printed = {
            "colorize": RunSummary.model_fields,
            "archive": ArchiveSummary.model_fields,
            "evaluate": Evaluation.model_fields,
        }
        keys = printed.get(arguments[0], ())
        said = {"status": status, "error": what, "remedy": remedy}
        print(json.dumps(dict.fromkeys(keys) | said))
    return code


if __name__ == "__main__":
    main()
