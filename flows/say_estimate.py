"""An estimate as people read it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from colorize_core.estimate import Estimate, StageEstimate
from flows.terminal import Terminal

_GIB = 2**30


def say_estimate(found: Estimate) -> None:
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
