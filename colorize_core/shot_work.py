"""One shot as named work: which objects it needs, and what each is made from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from colorize_core.anchor_spacing import density_of
from colorize_core.config import RunConfig
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.contract import F32
from colorize_core.names import anchor_name, chunk_name, segment_name
from colorize_core.paths import FilmPaths, digest_in
from colorize_core.plan import Segment, ShotPlan, group_anchors, group_segments, plan_shot
from colorize_core.shots.shot_list import Shot
from colorize_core.timebase import FrameSpan
from colorize_core.work import AnchorsItem, ChunkItem, FilmRef, ReferenceItem, SegmentItem, StillRef

ANCHORS_IN_ONE_ITEM = (
    8  # of stills that lie in no shot: small enough to share, large enough to batch
)
FRAMES_IN_ONE_CHUNK = 24  # at least: short enough that a long shot keeps every worker busy


@dataclass(frozen=True, slots=True)
class ToneChange:
    """How a shot's stills were brought to their scene's tone. `before`: the digests of all of them
    before. `shift`: how far the tone was moved, at most (`Tone.shift`). `said`: in one line."""

    before: tuple[str, ...]
    shift: float
    said: str


@dataclass(frozen=True, slots=True)
class ShotChoice:
    """What a shot takes its colours from.

    `reason` says in one line how the stills were chosen, or why the shot stays grey. `score` in
    [0, 1] says how well the best still fits. `making`: the work that makes the stills, where they
    are not a user's; their names are known before. `fixed`: digests of its stills that set the tone
    of their scenes and are not changed. `apart`: of those that have a tone of their own. `tone`:
    what was done to the others; None: nothing.
    """

    stills: tuple[StillRef, ...]
    reason: str
    score: float = 0.0
    making: tuple[ReferenceItem, ...] = ()
    fixed: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    tone: ToneChange | None = None


@dataclass(frozen=True, slots=True)
class ShotWork:
    """A shot's work items; all names are final before anything runs."""

    shot: Shot
    choice: ShotChoice
    anchors: tuple[AnchorsItem, ...]
    segments: tuple[tuple[Segment, SegmentItem | None], ...]
    chunks: tuple[ChunkItem, ...]

    @property
    def is_grey(self) -> bool:
        return not self.choice.stills


def planned(
    shot: Shot, config: RunConfig, marks: Sequence[int], change: F32 | None = None
) -> ShotPlan:
    """The plan of a shot with stills of its frames `marks`. `change`: as for `work_of_shot`."""
    density = None if change is None else density_of(change, shot.span, config)
    return plan_shot(shot.number, shot.span, config.anchor_interval, marks, density)


def work_of_shot(
    paths: FilmPaths,
    film: FilmRef,
    shot: Shot,
    choice: ShotChoice,
    config: RunConfig,
    facts: PartFacts,
    change: F32 | None = None,
) -> ShotWork:
    """The work of `shot` by the parts of `config`, whose facts are `facts`. `change`: the
    film's (`Film.change`), where `config` spaces anchors by it."""
    source = film.source.digest
    marks = [still.frame for still in choice.stills if still.frame is not None]
    plan = planned(shot, config, marks, change)
    runs = group_segments(plan.segments, FRAMES_IN_ONE_CHUNK)
    if not choice.stills:
        grey = tuple(_chunk(paths, film, config, shot.number, run, {}) for run in runs)
        return ShotWork(shot, choice, (), tuple((each, None) for each in plan.segments), grey)

    anchors = {
        frame: anchor_name(source, shot.span, frame, choice.stills, facts.anchors, config)
        for frame in plan.anchors
    }
    names = {
        each.index: segment_name(
            source,
            each.span,
            (anchors[each.start_anchor], anchors[each.end_anchor]),
            facts.interpolation,
            config,
        )
        for each in plan.segments
    }
    uris = {frame: paths.anchor(name) for frame, name in anchors.items()}
    segments = {index: paths.segment(name) for index, name in names.items()}
    return ShotWork(
        shot,
        choice,
        tuple(
            AnchorsItem(
                film,
                config,
                shot.number,
                shot.span,
                group,
                choice.stills,
                tuple(uris[frame] for frame in group),
            )
            for group in group_anchors(
                plan.anchors, marks if facts.anchors.walks else (), ANCHORS_IN_ONE_ITEM
            )
        ),
        tuple(
            (each, _segment(film, config, each, uris, choice.stills, segments[each.index]))
            for each in plan.segments
        ),
        tuple(_chunk(paths, film, config, shot.number, run, segments) for run in runs),
    )


def _segment(
    film: FilmRef,
    config: RunConfig,
    segment: Segment,
    anchors: Mapping[int, str],
    stills: tuple[StillRef, ...],
    output: str,
) -> SegmentItem:
    return SegmentItem(
        film,
        config,
        segment.id,
        segment.reads,
        segment.span,
        anchors[segment.start_anchor],
        anchors[segment.end_anchor],
        stills,
        output,
    )


def _chunk(
    paths: FilmPaths,
    film: FilmRef,
    config: RunConfig,
    shot: int,
    run: tuple[Segment, ...],
    segments: Mapping[int, str],
) -> ChunkItem:
    """The chunk of a run of segments, whose objects are `segments` by index: grey without one."""
    span = FrameSpan(run[0].span.start, run[-1].span.end)
    colours = tuple((segments.get(each.index), len(each.span)) for each in run)
    return _named(paths, ChunkItem(film, config, shot, span, colours, ""))


def with_grey(paths: FilmPaths, item: ChunkItem, failed: Collection[str]) -> ChunkItem:
    """The chunk with the frames of those of its segments grey whose objects are in `failed`."""
    colours = tuple((None if uri in failed else uri, frames) for uri, frames in item.colours)
    return item if colours == item.colours else _named(paths, replace(item, colours=colours))


def _named(paths: FilmPaths, item: ChunkItem) -> ChunkItem:
    names = [uri and digest_in(uri) for uri, _ in item.colours]
    name = chunk_name(item.film.source.digest, item.span, names, item.config)
    return replace(item, output=paths.chunk(name))
