"""What each command does: parse, make one call into the core, say what came of it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from colorize_core import storage
from colorize_core.config import load_config
from colorize_core.errors import KinecolorError, Unfinished
from colorize_core.paths import FilmPaths
from colorize_core.request import MASTER_SUFFIX, FilmRequest, check_request, kept_request
from colorize_core.scope import ALL, Scope
from colorize_core.summary import RunSummary
from flows.terminal import Terminal, json_only, say_error
from flows.through_prefect import through_prefect

if TYPE_CHECKING:
    from colorize_core.placement import DeviceKind
    from colorize_core.verify import Verification


_MOST_NOTES = 20  # printed at the end of a run


@dataclass(frozen=True, slots=True)
class Where:
    """Where the work is done: in this process, or by `workers` on the Ray at `ray` (None: here);
    `device`: what parts that want a GPU compute on."""

    local: bool = False
    ray: str | None = None
    workers: int | None = None
    device: DeviceKind = "auto"


def film_request(
    *,
    source: str,
    output: str | None,
    references: Sequence[str],
    references_dir: str | None,
    preset: str,
    assignments: Sequence[str],
    shots: str | None,
    work: str,
    accept_damage: bool,
    accept_licence: bool = False,
) -> FilmRequest:
    """A request from what was typed. The result's default place is the current folder."""
    uri = storage.normalise(source)
    stem = storage.name_of(uri).rpartition(".")[0] or storage.name_of(uri)
    return FilmRequest(
        source=uri,
        output=storage.normalise(output or f"{stem}-colour{MASTER_SUFFIX}"),
        work=storage.normalise(work),
        references=tuple(storage.normalise(each) for each in references),
        references_dir=storage.normalise(references_dir) if references_dir else None,
        shots=storage.normalise(shots) if shots else None,
        config=load_config(preset, assignments),
        accept_damage=accept_damage,
        accept_licence=accept_licence,
    )


def colorize(request: FilmRequest, where: Where, *, as_json: bool, debug: bool) -> None:
    """Colorize a film and say what came of it.

    Raises:
        Unfinished: segments failed. With `as_json` the summary was printed.
    """
    if not as_json:
        _say_summary(_run(request, where, debug=debug))
        return
    with json_only() as write:
        try:
            summary = _run(request, where, debug=debug)
        except Unfinished as unfinished:
            write(RunSummary.model_validate(unfinished.summary).model_dump_json())
            raise
        write(summary.model_dump_json())


def retry(work: str, scope: Scope, where: Where, *, as_json: bool, debug: bool) -> None:
    """Do again what failed in the films of a work root, and say what came of each.

    Raises:
        Unfinished: a film failed again, after the others were tried.
    """
    from colorize_core.retry import films_to_retry

    films = films_to_retry(storage.normalise(work), scope)
    if not films and not as_json:
        Terminal().say(f"Nothing has failed in {storage.redact(work)}.")
    with json_only() if as_json else nullcontext() as write:
        ended = [_retry(paths, scope, where, as_json=as_json, debug=debug) for paths in films]
        if write is not None:
            write(json.dumps({"films": [each for each, _ in ended]}))
    failed = [error for _, error in ended if error]
    if failed:
        raise failed[0] if len(films) == 1 else _all(failed, work)


def _retry(
    paths: FilmPaths, scope: Scope, where: Where, *, as_json: bool, debug: bool
) -> tuple[dict[str, Any], KinecolorError | None]:
    """What became of one film, as JSON, and its error."""
    try:
        summary = _run(kept_request(paths), where, debug=debug, scope=scope)
    except KinecolorError as error:
        said = getattr(error, "summary", None) or {"film": paths.folder, "status": "error"}
        return {**said, "error": error.what, "remedy": error.remedy}, error
    if not as_json:
        _say_summary(summary)
    return summary.model_dump(mode="json"), None


def _all(failed: list[KinecolorError], work: str) -> Unfinished:
    from colorize_core.run import retry_command

    return Unfinished(
        f"{len(failed)} films are not finished: {' '.join(error.what for error in failed)}",
        f"Only what failed is done again by: {retry_command(work)}",
    )


def _run(request: FilmRequest, where: Where, *, debug: bool, scope: Scope = ALL) -> RunSummary:
    check_request(request)  # before anything is started, so that a typo costs no waiting
    if where.local:
        from colorize_core.local import colorize_film as colorize_here

        with Terminal() as terminal:
            return colorize_here(request, terminal.progress, where.device, scope)

    def start() -> dict[str, Any]:
        from flows.colorize_film import colorize_film

        return colorize_film(request, where.ray, where.workers, where.device, scope)

    return RunSummary.model_validate(through_prefect(start, debug=debug))


def _say_summary(summary: RunSummary) -> None:
    terminal = Terminal()
    terminal.say(
        f"Published {summary.output}: {summary.frames_in} frames in, {summary.frames_out} out, "
        f"{summary.shots} shots, {summary.recomputed_segments} segments made, "
        f"{summary.reused_segments} found, {summary.seconds:.0f} s."
    )
    if summary.grey_shots:
        shots = ", ".join(map(str, summary.grey_shots))
        terminal.say(f"Left grey, since no reference served them: shots {shots}.")
    if summary.flagged_shots:
        shots = ", ".join(map(str, summary.flagged_shots[:_MOST_NOTES]))
        terminal.say(f"Look at these first, worst first, in the report: shots {shots}.")
    for warning in summary.warnings[:_MOST_NOTES]:
        terminal.say(f"Note: {warning}")
    if len(summary.warnings) > _MOST_NOTES:
        terminal.say(f"Note: … and {len(summary.warnings) - _MOST_NOTES} more, in the report.")
    luma = "the source's luma, bit for bit" if summary.luma_exact else "not the source's exact luma"
    terminal.say(f"Frame list: {summary.frames_list} ({luma})")
    terminal.say(f"Report:     {summary.report}")


def shots(source: str, output: str | None, *, accept_damage: bool) -> None:
    """Find a film's shots; write or print the list."""
    from colorize_core.film import find_shots

    with Terminal() as terminal:
        data, count = find_shots(
            storage.normalise(source), accept_damage=accept_damage, progress=terminal.progress
        )
    if output is None:
        typer.echo(data.decode(), nl=False)
        return
    storage.replace_atomically(storage.normalise(output), data)
    terminal.say(f"{count} shots in {output}")


def verify(output: str, against: str, *, as_json: bool) -> None:
    """Compare a result with its source and say what holds. Exit 1 where something does not."""
    from colorize_core.verify import verify_film

    with Terminal() as terminal:
        found = verify_film(
            storage.normalise(output),
            storage.normalise(against),
            progress=lambda done, total: terminal.progress("verify", done, total),
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found) | {"ok": found.ok}))
    else:
        _say_verification(found)
    if not found.ok:
        say_error(
            f"{output} is not {against} in colour: {found.problems[0]}",
            "Make the film again with kinecolor colorize; finished work is used again.",
        )
        raise typer.Exit(1)


def _say_verification(found: Verification) -> None:
    listed = {True: "agrees", False: "DISAGREES", None: "there is none"}[found.list_matches]
    carried = {True: "equal", False: "DIFFERENT", None: "not in this film"}
    lines = {
        "Frames": f"{found.frames_in} in the source, {found.frames_out} in the film",
        "Times": "equal" if found.pts_equal else "DIFFERENT",
        "Luma": "exact, every frame" if found.luma_exact else "not exact",
        "List beside the film": listed,
        **{f"Stream {i}": carried[same] for i, same in found.streams_equal.items()},
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<24}{value}")
    for text in (*found.notes, *found.problems):
        typer.echo(f"- {text}")


def demo(folder: Path, where: Where) -> None:
    """Make the demo film, colorize it, measure it, and say where everything is."""
    from flows.demo import before_after_sheet, make_demo_film, measure

    began = time.monotonic()
    with Terminal() as terminal:
        film = make_demo_film(folder, lambda done, total: terminal.progress("demo", done, total))
    result = folder / "demo-colour.mkv"
    request = film_request(
        source=str(film.film),
        output=str(result),
        references=(),
        references_dir=str(film.still_folder),
        preset="exemplar",
        assignments=(),
        shots=None,
        work=str(folder / "work"),
        accept_damage=False,
    )
    summary = _run(request, where, debug=False)
    sheet = folder / "before-after.png"
    before_after_sheet(film.film, result, sheet)
    rows: dict[str, Any] = {
        "Film": summary.output,
        "Before and after": sheet.resolve(),
        "Report": summary.report,
        "Manifest": f"{summary.film}/manifest",
        "Frames": f"{summary.frames_in} in = {summary.frames_out} out",
        "PSNR against the truth": f"{measure(result, film.truth):.2f} dB"
        f" (left grey: {measure(film.film, film.truth):.2f} dB)",
        "Seconds": f"{time.monotonic() - began:.0f}",
    }
    for name, value in rows.items():
        typer.echo(f"{name + ':':<24}{value}")


def doctor(*, as_json: bool) -> None:
    """Say what this machine can run, each line with its remedy. Exit 1 where something that is
    needed is missing."""
    from flows.doctor import diagnose

    checks = diagnose()
    if as_json:
        import dataclasses

        typer.echo(json.dumps({"checks": [dataclasses.asdict(check) for check in checks]}))
    else:
        for check in checks:
            mark = "ok     " if check.ok else "MISSING" if check.required else "absent "
            typer.echo(f"{mark}  {check.name}: {check.detail}")
            if check.remedy:
                typer.echo(f"         → {check.remedy}")
    if any(check.required and not check.ok for check in checks):
        raise typer.Exit(1)
