"""What a film will take, before anything runs: its plan, network evaluations, seconds, memory.

No frame is decoded and no part does any work. What only looking at frames can tell is taken as the
most that it can be: a still without a time serves no shot, so that stills are made for all shots
without one, and every shot that is not switched off is colorized. Nothing is taken as done already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.contract import Facts
from colorize_core.film import Film
from colorize_core.placement import Group
from colorize_core.plan import ShotPlan, group_anchors
from colorize_core.references.stills import parse_reference
from colorize_core.request import FilmRequest
from colorize_core.shot_work import planned
from colorize_core.shots.shot_list import ShotList
from colorize_core.timebase import parse_moment
from colorize_core.timings import FINISH, Timings, units
from colorize_core.work import Stage


class StageEstimate(BaseModel):
    """What one stage takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    part: str = Field(description="The part with its version.")
    frames: int = Field(description="Frames that it computes.")
    network_calls: int = Field(description="Network evaluations, each of one frame; 0: no network.")
    width: int = Field(description="Working size.")
    height: int
    memory_bytes: int | None = Field(
        description="Least memory of a worker, weights included, by the part's formula; null: "
        "small, and not declared."
    )
    device: str | None = Field(description='"cpu" or the GPU\'s name; null: nothing here fits.')
    workers: int = Field(description="Workers of the stage; 0: nothing here fits.")
    seconds: float | None = Field(description="With these workers; null: no figure yet.")
    measured: bool = Field(description="The seconds come from this work root's own runs.")


class Estimate(BaseModel):
    """What colorizing a film takes. `kinecolor estimate --json` prints it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    frames: int
    shots: int = Field(description="All shots.")
    grey_shots: int = Field(description="Shots that the shot list switches off.")
    stills: int = Field(description="Stills to be made, at most.")
    anchors: int
    segments: int
    stages: tuple[StageEstimate, ...]
    seconds: float | None = Field(
        description="From the plan to the film, start-up and loading of weights not counted; null: "
        "a stage has no figure yet."
    )
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Shot:
    """A shot that is colorized. `marks`: its frames that stills show; `makes`: stills to be made,
    at most."""

    plan: ShotPlan
    marks: tuple[int, ...]
    makes: int


@dataclass(frozen=True, slots=True)
class _Work:
    """What a stage has to do, by a part or (finish) by none."""

    stage: Stage
    facts: Facts | None
    frames: int


def estimate(
    film: Film,
    shots: ShotList,
    request: FilmRequest,
    facts: PartFacts,
    timings: Timings,
    groups: Sequence[Group] = (),
    gpu: str = "",
) -> Estimate:
    """The estimate of a scanned film.

    Args:
        facts: of the parts of `request.config`.
        groups: which workers do which stage (`placement.place`); none: nothing here can do it.
        gpu: the name of the GPU that groups on CUDA compute on.

    Raises:
        InputError: a still's time is not understood or lies outside the film.
    """
    chosen = list(_shots(film, shots, request, makes_stills=facts.reference is not None))
    work = _work(chosen, facts, len(film.timeline))
    stages = tuple(_stage(each, film, timings, groups, gpu) for each in work)
    return Estimate(
        title=film.title,
        frames=len(film.timeline),
        shots=len(shots),
        grey_shots=len(shots) - len(chosen),
        stills=sum(shot.makes for shot in chosen),
        anchors=sum(len(shot.plan.anchors) for shot in chosen),
        segments=sum(len(shot.plan.segments) for shot in chosen),
        stages=stages,
        seconds=_together(stages, groups),
        warnings=(timings.warning,) if timings.warning else (),
    )


def _shots(
    film: Film, shots: ShotList, request: FilmRequest, *, makes_stills: bool
) -> Iterator[_Shot]:
    moments = [parse_reference(text).moment for text in request.stills()]
    shown = {parse_moment(moment, film.timeline) for moment in moments if moment}
    change = film.change(request.config)
    most = request.config.most_stills
    for shot in shots:
        if not shot.enabled:
            continue
        marks = tuple(sorted(frame for frame in shown if frame in shot.span))
        makes = most if makes_stills and not marks else 0
        if makes:
            marks = (shot.span.middle,)
        plan = planned(shot, request.config, marks, change)
        yield _Shot(plan, marks, makes)


def _work(shots: Sequence[_Shot], facts: PartFacts, frames: int) -> list[_Work]:
    """The stages in the order they run."""
    walks = facts.anchors.walks
    amounts: dict[Stage, int] = {
        "reference": sum(shot.makes for shot in shots),
        "anchors": sum(_walked(shot) if walks else len(shot.plan.anchors) for shot in shots),
        "interpolation": sum(len(each.reads) for shot in shots for each in shot.plan.segments),
    }
    work = [_Work(stage, part, amounts[stage]) for stage, part in facts.by_stage().items()]
    return [*work, _Work("finish", None, frames)]


def _walked(shot: _Shot) -> int:
    """Frames between the first and the last anchor on each side of each still; without a still
    in the shot the anchors alone."""
    if not shot.marks:
        return len(shot.plan.anchors)
    groups = group_anchors(shot.plan.anchors, shot.marks, len(shot.plan.anchors))
    return sum(group[-1] - group[0] + 1 for group in groups)


def _stage(
    work: _Work, film: Film, timings: Timings, groups: Sequence[Group], gpu: str
) -> StageEstimate:
    info, part = film.info, work.facts
    size = part.working_size(info.width, info.height, info.sar) if part else None
    width, height = size or (info.width, info.height)
    calls = part.network_calls if part else 0.0
    name = part.label if part else FINISH
    group = next((each for each in groups if work.stage in each.stages), None)
    device = (gpu if group.device.kind == "cuda" else "cpu") if group else None
    rate = timings.rate(name, device) if device else None
    seconds = None
    if group and rate is not None:
        seconds = rate * units(calls, work.frames, width * height) / group.workers
    return StageEstimate(
        stage=work.stage,
        part=name,
        frames=work.frames,
        network_calls=round(calls * work.frames),
        width=width,
        height=height,
        memory_bytes=part.memory.need(width * height) if part else None,
        device=device,
        workers=group.workers if group else 0,
        seconds=seconds if work.frames else 0.0,
        measured=device is not None and timings.is_measured(name, device),
    )


def _together(stages: Sequence[StageEstimate], groups: Sequence[Group]) -> float | None:
    """Stills come first; then groups of workers run side by side, each its stages in turn."""
    seconds = {each.stage: each.seconds for each in stages}
    if any(each is None for each in seconds.values()):
        return None
    known = {stage: each or 0.0 for stage, each in seconds.items()}
    first = known.pop("reference", 0.0)
    return first + max(sum(known.get(each, 0.0) for each in group.stages) for group in groups)
