"""Commands about networks: what a film takes, their weights, their training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table

from colorize_core import storage
from colorize_core.config import assigned, load_config
from colorize_core.errors import DeviceMissing
from colorize_core.estimate import Estimate, StageEstimate
from colorize_core.request import FilmRequest
from flows.commands import Where
from flows.terminal import Terminal

_GIB = 2**30


def estimate(request: FilmRequest, where: Where, *, as_json: bool) -> None:
    """Scan a film and say what colorizing it takes, on this machine or on a cluster.

    Raises:
        SourceError: the source cannot be colorized as it is.
    """
    from colorize_core.engines.catalog import PartFacts
    from colorize_core.estimate import estimate as estimate_film
    from colorize_core.film import open_film
    from colorize_core.placement import local_resources, place
    from colorize_core.shots.shot_list import read_csv
    from colorize_core.timings import Timings

    terminal = Terminal()
    facts = PartFacts.of(request.config)
    if where.ray:
        from tasks.cluster import resources

        there = resources(request.config, where.ray)
    else:
        there = local_resources(facts)
    try:
        groups, missing = place(facts, there, where.device, where.workers), ""
    except DeviceMissing as error:
        groups, missing = (), str(error)
    with Terminal() as watched:
        film = open_film(request, watched.progress)
    shots_csv = storage.read(request.shots or film.paths.shots_csv)
    shots = read_csv(shots_csv, len(film.timeline))
    timings = Timings.load(request.work)
    found = estimate_film(film, shots, request, facts, timings, groups, there.gpu_name)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _say_estimate(found)
    if missing:
        terminal.say(f"Not to be run here: {missing}")


def _say_estimate(found: Estimate) -> None:
    """Print what a film takes: its plan on a line, a table of the stages, the time in all."""
    console = Console(highlight=False)
    grey = f" ({found.grey_shots} switched off)" if found.grey_shots else ""
    console.print(
        f"{found.title}: {found.frames} frames, {found.shots} shots{grey}, "
        f"{found.stills} stills to make at most, {found.anchors} anchors, "
        f"{found.segments} segments",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "part"):
        table.add_column(name, no_wrap=True)
    for name in ("frames", "size", "network calls", "memory", "workers", "time"):
        table.add_column(name, justify="right")
    for stage in found.stages:
        table.add_row(
            stage.stage,
            stage.part,
            f"{stage.frames:,}",
            f"{stage.width}×{stage.height}",
            f"{stage.network_calls:,}" if stage.network_calls else "–",
            _memory(stage),
            f"{stage.workers} × {stage.device}" if stage.device else "–",
            _duration(stage.seconds) + ("" if stage.measured or not stage.seconds else " *"),
        )
    console.print(table)
    total = _duration(found.seconds)
    console.print(f"In all, start-up not counted: {total}")
    terminal = Terminal()
    if any(stage.seconds and not stage.measured for stage in found.stages):
        terminal.say("* Figures of another machine: the first run here replaces them.")
    if found.seconds is None:
        terminal.say("Unknown times: the first run measures them and keeps them in the work root.")
    for warning in found.warnings:
        terminal.say(f"Note: {warning}")


def _memory(stage: StageEstimate) -> str:
    return "small" if stage.memory_bytes is None else f"{stage.memory_bytes / _GIB:.2f} GiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def fetch_weights(
    parts: Sequence[str],
    preset: str,
    assignments: Sequence[str],
    *,
    accept_licence: bool,
    as_json: bool,
) -> None:
    """Bring the weights of parts to this machine; say where they are."""
    from colorize_core.engines.diffusion.fetch import fetch

    say = Terminal().say
    fetched = fetch(parts, load_config(preset, assignments), accept_licence, say)
    if as_json:
        found = [{**dataclasses.asdict(each), "folder": str(each.folder)} for each in fetched]
        typer.echo(json.dumps({"weights": found}))


def train_controlnet(
    clips: str,
    output: str,
    assignments: Sequence[str],
    *,
    resume: bool,
    accept_licence: bool,
    as_json: bool,
) -> None:
    """Train a ControlNet and say where it is."""
    from colorize_core.engines.diffusion.licences import check_accepted, licences_of
    from colorize_core.engines.diffusion.training.settings import TrainSettings

    values = {"clips": clips, "output": output, "resume": resume}
    settings = assigned(TrainSettings, values, assignments)
    check_accepted([] if accept_licence else licences_of(["svd"]))
    from colorize_core.engines.diffusion.training.train import train

    with Terminal() as terminal:
        result = train(settings, lambda done, total, _: terminal.progress("train", done, total))
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(result), "controlnet": str(result.controlnet)}))
        return
    terminal = Terminal()
    for video, reason in result.skipped.items():
        terminal.say(f"Left out: {video}: {reason}")
    first, last = min(result.losses), max(result.losses)
    terminal.say(
        f"Loss on fixed examples: {result.losses[first]:.4f} at step {first}, "
        f"{result.losses[last]:.4f} at step {last}."
    )
    terminal.say(f"Use it with --set svd.controlnet={result.controlnet}")
