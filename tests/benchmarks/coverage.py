"""Which frames to colour: the proposals against the middle, the first and the last frame.

    python -m tests.benchmarks.coverage --sequences ../shared/footage/davis [--quick] [--jobs 2]

Each folder of `--sequences` with ``frames/*.jpg`` is a shot; each film (.mp4, .mkv, .webm) there is
cut into its shots, and those of 24 frames and more count, 150 frames at most. Shots are turned grey
(8 bits, L* only) at part `match`'s working size. Hard cases are made of them: a grey card over the
middle fifth (`card`), another shot's picture over most of the middle frames (`hidden`), half of
another shot after 60 of 100 frames (`joined`), three times as many frames of the second half as of
the first (`uneven`).

The true colours of the chosen frames are the references, and the real parts `match` and `flow` go
from them over the whole shot, in process. PSNR in R'G'B', float, range 255, mean over the frames
that no choice of the line has as a reference, cards not counted. `rank`: Spearman's correlation of
the expected gain with the measured one over seven frames (`match` alone, every 6th frame).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from colorize_core.engines.contract import F32, Chroma, ColourStill, GreyFrame
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.engines.exemplar.match import Match
from colorize_core.engines.exemplar.raster import resized
from colorize_core.engines.exemplar.settings import FlowSettings, MatchSettings
from colorize_core.evaluation.prepare import grey_of
from colorize_core.media.color import lab_of_pixels, lab_to_srgb
from colorize_core.media.rgb import rgb_frames
from colorize_core.plan import plan_shot
from colorize_core.quality.psnr import psnr
from colorize_core.references import coverage
from colorize_core.shots.detect import ShotDetector
from colorize_core.timebase import FrameSpan

U8 = NDArray[np.uint8]
FILMS = (".mp4", ".mkv", ".webm")
LEAST_FRAMES, MOST_FRAMES = 24, 150
INTERVAL = 24
RANKED = 7
CARD = 128
SAME_DB = 0.005


@dataclass(frozen=True)
class Shot:
    """Colour frames of a shot, uint8 ``[H, W, 3]``, and those that count."""

    name: str
    frames: tuple[U8, ...]
    counted: frozenset[int]

    @classmethod
    def of(cls, name: str, frames: Sequence[U8], cards: Sequence[int] = ()) -> Shot:
        return cls(name, tuple(frames), frozenset(range(len(frames))) - set(cards))


class Grey:
    """The grey frames of a shot at any size: an `engines.contract.FrameReader`."""

    def __init__(self, lstars: Sequence[F32], size: tuple[int, int]) -> None:
        self._lstars, self._size = lstars, size

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        for i in span:
            yield GreyFrame(i, resized(self._lstars[i], self._size))


# -- shots and hard cases --------------------------------------------------------------------


def shots_in(folder: Path) -> Iterator[Shot]:
    for path in sorted(folder.iterdir()):
        if (path / "frames").is_dir():
            names = sorted(path.glob("frames/*.jpg"))
            yield Shot.of(path.name, [_small(np.asarray(Image.open(name))) for name in names])
        elif path.suffix in FILMS:
            yield from _cut(path)


def _cut(path: Path) -> Iterator[Shot]:
    detector, frames = ShotDetector(), list[U8]()
    for i, rgb in enumerate(rgb_frames(str(path))):
        detector.watch(i, grey_of(rgb))
        frames.append(_small(rgb))
    detector.finish()
    for number, span in enumerate(detector.shots(), start=1):
        shown = frames[span.start : span.end][:MOST_FRAMES]
        if len(shown) >= LEAST_FRAMES:
            yield Shot.of(f"{path.stem[:12]} {number}", shown)


def _small(rgb: U8) -> U8:
    pixels = MatchSettings().working_pixels
    scale = min(1.0, (pixels / (rgb.shape[0] * rgb.shape[1])) ** 0.5)
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def hard_cases(shot: Shot, other: Shot) -> Iterator[Shot]:
    """`other` is brought to the size of `shot`."""
    frames, count = shot.frames, len(shot.frames)
    size = frames[0].shape[1], frames[0].shape[0]
    others = [np.asarray(cv2.resize(each, size), np.uint8) for each in other.frames]
    cards = range(count * 2 // 5, count * 3 // 5)
    blank = np.full_like(frames[0], CARD)
    covered = [blank if i in cards else frame for i, frame in enumerate(frames)]
    yield Shot.of(f"{shot.name}, card", covered, cards)
    hidden = list(frames)
    for i in range(count // 2 - 2, count // 2 + 3):
        hidden[i] = frames[i].copy()
        hidden[i][:, : size[0] * 2 // 3] = others[i % len(others)][:, : size[0] * 2 // 3]
    yield Shot.of(f"{shot.name}, hidden", hidden)
    most = count * 6 // 10
    yield Shot.of(
        f"{shot.name}, joined", [*frames[:most], *others[len(others) // 2 :][: count // 2]]
    )
    yield Shot.of(f"{shot.name}, uneven", [*frames[: count // 2 : 3], *frames[count // 2 :]])


# -- measuring -------------------------------------------------------------------------------


class Measured:
    """A shot turned grey, and what stills of its frames give."""

    def __init__(self, shot: Shot) -> None:
        self.shot = shot
        self.span = FrameSpan(0, len(shot.frames))
        self._labs = [lab_of_pixels(frame) for frame in shot.frames]
        self._lstars = [
            np.ascontiguousarray(lab_of_pixels(np.dstack([grey] * 3))[..., 0])
            for grey in map(grey_of, shot.frames)
        ]
        self._height, self._width = self._lstars[0].shape
        self._reader = Grey(self._lstars, (self._width, self._height))
        self._match, self._flow = Match(MatchSettings()), Flow(FlowSettings())

    def coverage(self, given: Sequence[int] = ()) -> coverage.Coverage:
        size = coverage.working_size(self._width, self._height)
        return coverage.cover(self.span, Grey(self._lstars, size), given)

    def psnr(self, chosen: Sequence[int]) -> dict[int, float]:
        """PSNR of each frame, with the true colours of the chosen ones as references."""
        anchors = plan_shot(1, self.span, INTERVAL, chosen).anchors
        colours = self._colours(anchors, chosen)
        found: dict[int, float] = {}
        for start, end in pairwise(anchors):
            found |= self.filled(start, end, colours)
        return found

    def filled(self, start: int, end: int, colours: Mapping[int, Chroma]) -> dict[int, float]:
        """PSNR of the frames of a segment between two anchors, these included."""
        greys = list(self._reader.read(FrameSpan(start, end + 1)))
        filled = self._flow.fill(greys, colours[start], colours[end], 0)
        pairs = zip(greys, filled, strict=True)
        return {grey.frame: self._error(grey.frame, each) for grey, each in pairs}

    def true_chroma(self, frame: int) -> Chroma:
        """The true colours of a frame, all sure."""
        ab = np.ascontiguousarray(self._labs[frame][..., 1:])
        return Chroma(ab, np.ones(ab.shape[:2], np.float32))

    def rank(self) -> float:
        """Spearman's correlation of the expected gain with the measured one."""
        length = len(self.span)
        frames = [length * (2 * i + 1) // (2 * RANKED) for i in range(RANKED)]
        targets = sorted(set(range(2, length, 6)) & self.shot.counted - set(frames))
        expected = self.coverage(frames)
        columns = [i for i, at in enumerate(expected.targets) if at not in frames]
        gains = [float(expected.of([frame])[columns].mean()) for frame in frames]
        real = [
            np.mean([self._error(at, each) for at, each in self._colours(targets, [frame]).items()])
            for frame in frames
        ]
        return float(np.corrcoef(rankdata(gains), rankdata(real))[0, 1])

    def _colours(self, anchors: Sequence[int], chosen: Sequence[int]) -> dict[int, Chroma]:
        stills = [ColourStill(str(frame), self._labs[frame], frame) for frame in chosen]
        return dict(self._match.colorize(anchors, stills, self._reader, 0))

    def _error(self, frame: int, chroma: Chroma) -> float:
        made = lab_to_srgb(np.dstack([self._lstars[frame], chroma.ab])) * np.float32(255)
        return psnr(made, self.shot.frames[frame])


def compare(measured: Measured, ours: Sequence[int], theirs: Sequence[int]) -> tuple[float, float]:
    """Mean PSNR of both choices over the frames that are a reference in neither."""
    frames = measured.shot.counted - {*ours, *theirs}
    first, second = (measured.psnr(sorted(set(each))) for each in (ours, theirs))
    return (
        float(np.mean([first[frame] for frame in frames])),
        float(np.mean([second[frame] for frame in frames])),
    )


def proposed(measured: Measured, count: int) -> list[int]:
    """The first `count` proposals, fewer where no more bring anything."""
    return [pick.frame for pick in coverage.choose(measured.coverage(), count, 0.0)]


@dataclass(frozen=True)
class Line:
    """A shot's figures: PSNR of pairs of choices, ours first, and `rank`; nan: not asked for."""

    name: str
    frames: int
    first: int
    figures: tuple[float, ...]


def figures_of(case: tuple[Shot, bool]) -> Line:
    """A shot's figures; with True, those of second and third proposals and the rank, too."""
    cv2.setNumThreads(1)
    shot, in_full = case
    measured = Measured(shot)
    middle, last = measured.span.middle, measured.span.end - 1
    found = proposed(measured, 3)
    figures = [*compare(measured, found[:1], [middle])]
    if in_full:
        figures += [*compare(measured, found[:2], [0, last])]
        figures += [*compare(measured, found, [0, middle, last]), measured.rank()]
    else:
        figures += [float("nan")] * 5
    return Line(shot.name, len(shot.frames), found[0], tuple(figures))


def say(name: str, figures: Sequence[float]) -> None:
    cells = "".join("       –" if np.isnan(value) else f"{value:8.2f}" for value in figures)
    print(f"{name:36s}{cells}", flush=True)


def means(name: str, lines: Sequence[Line]) -> None:
    table = np.array([each.figures for each in lines])
    gains = table[:, 0] - table[:, 1]
    asked = [column[np.isfinite(column)] for column in table.T]
    say(f"mean, {name}", [column.mean() if len(column) else np.nan for column in asked])
    print(
        f"  first proposal over the middle: {gains.mean():+.2f} dB in the mean, "
        f"{gains.min():+.2f} to {gains.max():+.2f}; better {int((gains > SAME_DB).sum())}, "
        f"the same {int((abs(gains) <= SAME_DB).sum())}, worse {int((gains < -SAME_DB).sum())}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Which frames to colour.")
    parser.add_argument("--sequences", type=Path, required=True, help="folder of shots")
    parser.add_argument("--quick", action="store_true", help="the middle alone, no hard cases")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    shots = list(shots_in(arguments.sequences))
    if not shots:
        raise SystemExit(f"no shot (frames/*.jpg, or a film) in {arguments.sequences}")
    neighbours = zip(shots, [*shots[1:], shots[0]], strict=True)
    hard = [] if arguments.quick else [c for pair in neighbours for c in hard_cases(*pair)]
    cases = [*((shot, not arguments.quick) for shot in shots), *((shot, False) for shot in hard)]
    print(f"{'':20s}frames  first     1st  middle   1st 2    f, l   all 3 f, m, l    rank")
    lines = []
    # OpenCV's threads do not survive a fork
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        for found in pool.map(figures_of, cases):
            lines.append(found)
            say(f"{found.name:22.22s}{found.frames:6d}{found.first:7d} ", found.figures)
    means("as they are", lines[: len(shots)])
    if hard:
        means("hard cases", lines[len(shots) :])
        means("all", lines)


if __name__ == "__main__":
    main()
