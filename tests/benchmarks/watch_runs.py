"""Shots coloured in many ways, good and bad, for `tests.benchmarks.watch`: references, engines and
deliberate damage. The parts are the real ones, in process, at their working size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize_core.engines.contract import F32, Chroma, ColourStill, GreyFrame
from colorize_core.engines.exemplar.dense_flow import DenseFlow, identity
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.engines.exemplar.match import Match
from colorize_core.engines.exemplar.raster import resized, sampled, to_byte
from colorize_core.engines.exemplar.settings import CarrySettings, FlowSettings, MatchSettings
from colorize_core.evaluation.prepare import grey_of
from colorize_core.media.color import lab_of_pixels, lstar_from_grey
from colorize_core.plan import Segment, plan_shot
from colorize_core.timebase import FrameSpan

U8 = NDArray[np.uint8]
FRAMES = 25
INTERVAL = 8  # frames from anchor to anchor: three segments or more, so that there are joints
CHEAP = {"flow_preset": "ultrafast", "drift_interval": 0}
BLIND = {"recall_weight": 0.0, "guess_weight": 0.0}


@dataclass(frozen=True, eq=False)
class Clip:
    """25 frames of a sequence. `lstar`: of its grey film at full size; `greys`, `true`: lightness
    and true a*b* at working size; `away`: the sequence's first frame, which may lie outside."""

    name: str
    rgb: Sequence[U8]
    lstar: Sequence[F32]
    greys: Sequence[GreyFrame]
    true: Sequence[F32]
    away: F32

    @classmethod
    def read(cls, folder: Path) -> Clip:
        paths = sorted(folder.glob("frames/*.jpg"))
        start = max(0, len(paths) // 2 - FRAMES // 2)
        rgb = [np.asarray(Image.open(path)) for path in paths[start : start + FRAMES]]
        lstar = [lstar_from_grey(grey_of(each) / 255.0).astype(np.float32) for each in rgb]
        height, width = lstar[0].shape
        size = Match(MatchSettings()).facts.working_size(width, height)
        return cls(
            folder.name,
            rgb,
            lstar,
            [GreyFrame(i, resized(each, size)) for i, each in enumerate(lstar)],
            [resized(_ab(lab_of_pixels(each)), size) for each in rgb],
            lab_of_pixels(np.asarray(Image.open(paths[0]))),
        )

    def read_span(self, span: FrameSpan) -> Iterator[GreyFrame]:
        return iter([self.greys[i] for i in span])


@dataclass(frozen=True, eq=False)
class Run:
    """A shot coloured in one way: each segment with the colours of all frames that it reads."""

    name: str
    stills: Sequence[ColourStill]
    segments: Sequence[tuple[Segment, Sequence[Chroma]]]

    @property
    def colours(self) -> list[Chroma]:
        """Of each frame of the shot."""
        return [chroma for segment, found in self.segments for chroma in found[: len(segment.span)]]

    def changed(self, name: str, colours: Sequence[F32]) -> Run:
        """The same run with other colours, a*b* of each frame of the shot."""
        segments = [
            (
                segment,
                [
                    replace(chroma, ab=np.ascontiguousarray(colours[frame], np.float32))
                    for frame, chroma in zip(segment.reads, found, strict=True)
                ],
            )
            for segment, found in self.segments
        ]
        return Run(name, self.stills, segments)


class _Reader:
    def __init__(self, sequence: Clip) -> None:
        self.read = sequence.read_span


def colour(
    name: str,
    sequence: Clip,
    stills: Sequence[ColourStill],
    settings: Mapping[str, object] | None = None,
    interval: int = INTERVAL,
) -> Run:
    """A run of the real parts `match` and `flow`."""
    match = Match(MatchSettings.model_validate(settings or {}))
    flow = Flow(FlowSettings.model_validate(settings or {}))
    marks = [still.frame for still in stills if still.frame is not None]
    plan = plan_shot(1, FrameSpan(0, len(sequence.greys)), interval, marks)
    anchors = dict(match.colorize(plan.anchors, stills, _Reader(sequence), 0))
    segments = []
    for each in plan.segments:
        frames = list(sequence.read_span(each.reads))
        ends = anchors[each.start_anchor], anchors[each.end_anchor]
        segments.append((each, flow.fill(frames, *ends, 0)))
    return Run(name, stills, segments)


def runs(sequence: Clip, other: Clip) -> Iterator[Run]:
    """All runs of a sequence; `other` gives colours that are not its own."""
    middle = len(sequence.rgb) // 2
    lab = {i: lab_of_pixels(sequence.rgb[i]) for i in (0, middle, -1)}
    true = [ColourStill("middle", lab[middle], middle)]
    first = [ColourStill("first", lab[0], 0)]
    last = ColourStill("last", lab[-1], len(sequence.rgb) - 1)
    good = colour("middle", sequence, true)
    yield good
    yield colour("first", sequence, first)
    yield colour("first and last", sequence, [*first, last])
    yield colour("elsewhere", sequence, [ColourStill("away", sequence.away)])
    others = lab_of_pixels(other.rgb[middle])
    yield colour("another sequence", sequence, [ColourStill("other", others)])
    yield colour("tinted", sequence, [ColourStill("t", _shifted(lab[middle], 10, -8), middle)])
    yield colour("pale", sequence, [ColourStill("p", _scaled(lab[middle], 0.4), middle)])
    yield colour("cheap flow", sequence, true, CHEAP, FRAMES - 1)
    yield colour("no recall", sequence, first, BLIND, FRAMES - 1)
    yield good.changed("held in place", [good.colours[middle].ab] * len(sequence.rgb))
    yield replace(good.changed("chained", _chained(sequence)), stills=first)
    alien = resized(other.true[middle], _size(sequence))
    for name, colours in damaged([each.ab for each in good.colours], alien):
        yield good.changed(name, colours)


def damaged(good: Sequence[F32], alien: F32) -> Iterator[tuple[str, Sequence[F32]]]:
    """What bad days do to good colours."""
    random = np.random.default_rng(1)
    width = good[0].shape[1]
    part = range(len(good) // 3, 2 * len(good) // 3)  # these frames only
    for pixels in (5, 15):
        moved = [np.roll(ab, (pixels * 3 // 5, pixels * 4 // 5), (0, 1)) for ab in good]
        yield f"shifted {pixels} px", moved
    for sigma in (5, 20):
        yield f"blurred {sigma} px", [_blurred(ab, sigma) for ab in good]
    yield "grey", [ab * 0 for ab in good]
    yield "half grey", [ab * (i >= len(good) // 2) for i, ab in enumerate(good)]
    yield "grey frames", [ab * (i % 8 != 3) for i, ab in enumerate(good)]
    yield "faded", [ab * 0.5 for ab in good]
    for degrees in (15, 45):
        turns = np.deg2rad(degrees) * random.standard_normal(len(good))
        yield f"hue ±{degrees}°", [_turned(ab, at) for ab, at in zip(good, turns, strict=True)]
    yield "halves swapped", [np.roll(ab, width // 2, 1) for ab in good]
    yield "mirrored", [ab[:, ::-1] for ab in good]
    yield "tint", [ab + np.array([10, -10], np.float32) for ab in good]
    yield "part tinted", [ab + np.float32(8) * (i in part) for i, ab in enumerate(good)]
    yield "part alien", [alien if i in part else ab for i, ab in enumerate(good)]
    yield "noise", [ab + _noise(random, ab.shape) for ab in good]


def _chained(sequence: Clip) -> list[F32]:
    """The first frame's true colours, from hand to hand."""
    dis = DenseFlow(CarrySettings())
    bytes_ = [to_byte(grey.lstar) for grey in sequence.greys]
    grid = identity(bytes_[0].shape)
    colours = [sequence.true[0]]
    for before, after in pairwise(bytes_):
        colours.append(sampled(colours[-1], grid + dis.between(after, before)))
    return colours


def _noise(random: np.random.Generator, shape: tuple[int, ...]) -> F32:
    white = random.standard_normal(shape).astype(np.float32)
    return _blurred(white, 2) * 30


def _blurred(ab: F32, sigma: float) -> F32:
    return np.asarray(cv2.GaussianBlur(ab, (0, 0), sigma), np.float32)


def _turned(ab: F32, angle: float) -> F32:
    cos, sin = np.cos(angle), np.sin(angle)
    return (ab @ np.array([[cos, sin], [-sin, cos]])).astype(np.float32)


def _shifted(lab: F32, a: float, b: float) -> F32:
    return lab + np.array([0, a, b], np.float32)


def _scaled(lab: F32, by: float) -> F32:
    return lab * np.array([1, by, by], np.float32)


def _ab(lab: F32) -> F32:
    return np.ascontiguousarray(lab[..., 1:])


def _size(sequence: Clip) -> tuple[int, int]:
    height, width = sequence.true[0].shape[:2]
    return width, height
