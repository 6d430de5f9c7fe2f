"""Shot detection on black-and-white film against PySceneDetect's own detectors: F1 and speed.

    python -m tests.benchmarks.shots [--footage DIR] [--made N]

The truth for real films is the folder's `cuts_gt.json`. Films of one shot each are there to count
false alarms. "made" are hard cuts between real clips at random points, shots of 1 to 50 frames. A
boundary is right within one frame of a cut; everything else that is reported is a false alarm.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    FrameTimecode,
    HashDetector,
    HistogramDetector,
    SceneDetector,
    detect,
)

from colorize_core.media.probe import scan
from colorize_core.shots.detect import ShotDetector
from colorize_core.shots.scenedetect_adapter import LumaDetector
from tests.conftest import ROOT

Film = NDArray[np.uint8]  # [frames, H, W], grey

DETECTORS: dict[str, Callable[[], SceneDetector]] = {
    "kinecolor": LumaDetector,
    "Adaptive": AdaptiveDetector,
    "Adaptive luma": lambda: AdaptiveDetector(luma_only=True),
    "Content": ContentDetector,
    "Histogram": HistogramDetector,
    "Hash": HashDetector,
}
WIDTH = 320  # films are held in memory at this width; every detector brings them to less


@dataclass(frozen=True)
class Score:
    """Boundaries found, missed and reported wrongly."""

    found: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.found + other.found, self.missed + other.missed, self.false + other.false)

    def __str__(self) -> str:
        if self.found + self.missed == 0:
            return f"{self.false} false"
        precision = self.found / max(1, self.found + self.false)
        recall = self.found / (self.found + self.missed)
        f1 = 2 * self.found / (2 * self.found + self.missed + self.false)
        return f"P {precision:.3f} R {recall:.3f} F1 {f1:.3f}"


def score(truth: Iterable[int], reported: Iterable[int]) -> Score:
    """Each cut takes the nearest report within one frame; a report serves one cut."""
    left = sorted(reported)
    missed = 0
    for cut in sorted(truth):
        near = [frame for frame in left if abs(frame - cut) <= 1]
        if near:
            left.remove(min(near, key=lambda frame: abs(frame - cut)))
        else:
            missed += 1
    return Score(len(list(truth)) - missed, missed, len(left))


def read_grey(path: Path) -> Film:
    """A film's, or a folder of pictures', luma at `WIDTH`."""
    frames: list[Film] = []

    def keep(_: int, luma: Film) -> None:
        height = round(luma.shape[0] * WIDTH / luma.shape[1])
        frames.append(cv2.resize(luma, (WIDTH, height), interpolation=cv2.INTER_AREA))  # pyright: ignore[reportArgumentType]

    if path.is_dir():
        for name in sorted(path.iterdir()):
            keep(0, cv2.imread(str(name), cv2.IMREAD_GRAYSCALE))  # pyright: ignore[reportArgumentType]
    else:
        scan(str(path), watch=keep)
    return np.stack(frames)


def report(detector: SceneDetector, film: Iterable[Film]) -> list[int]:
    """The frames at which `detector` says that a shot begins."""
    cuts: list[FrameTimecode] = []
    now = FrameTimecode(0, 24.0)
    for frame, grey in enumerate(film):
        now = FrameTimecode(frame, 24.0)
        cuts += detector.process_frame(now, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    cuts += detector.post_process(now)
    return sorted({cut.frame_num for cut in cuts})


def real_films(footage: Path) -> Iterator[tuple[str, Film, list[int]]]:
    """Name, grey frames and cuts of each film of the folder whose cuts are known."""
    truth = json.loads((footage / "cuts_gt.json").read_text())
    for path in sorted(footage.glob("*/*")):
        if isinstance(entry := truth.get(path.name), dict):
            yield path.name, read_grey(path), entry["cuts"]
    for path in single_shots(footage):
        yield path.parent.name if path.is_dir() else path.name, read_grey(path), []


def single_shots(footage: Path) -> list[Path]:
    """Files, and folders of pictures, that hold one shot each."""
    films = [*footage.glob("clips/*"), *footage.glob("bw/mdn_friday.mp4")]
    return sorted(films) + sorted(footage.glob("davis/*/frames"))


def made_films(
    shots: Sequence[Film], count: int, seed: int = 0
) -> Iterator[tuple[Film, list[int]]]:
    """Films of six shots that are pieces of `shots`, never two of one shot in a row."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        order = [int(rng.integers(len(shots)))]
        while len(order) < 6:
            order.append(int((order[-1] + rng.integers(1, len(shots))) % len(shots)))
        pieces = []
        for index in order:
            length = min(len(shots[index]), int(rng.choice([1, 2, 4, 10, 25, 50])))
            start = int(rng.integers(len(shots[index]) - length + 1))
            pieces.append(shots[index][start : start + length])
        yield np.concatenate(pieces), np.cumsum([len(piece) for piece in pieces])[:-1].tolist()


def same_size(film: Film, height: int = 180) -> Film:
    return np.stack([cv2.resize(frame, (WIDTH, height)) for frame in film]).astype(np.uint8)


def speed(path: Path, rounds: int = 3) -> tuple[float, float]:
    """Seconds from file to shots, the best of `rounds`: ours, and AdaptiveDetector's own way."""

    def ours() -> None:
        detector = ShotDetector()
        scan(str(path), watch=detector.watch)
        detector.finish()

    def stock() -> None:
        detect(str(path), AdaptiveDetector())

    seconds = {ours: float("inf"), stock: float("inf")}
    for _ in range(rounds):
        for way in (ours, stock):
            start = time.perf_counter()
            way()
            seconds[way] = min(seconds[way], time.perf_counter() - start)
    return seconds[ours], seconds[stock]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--footage", type=Path, default=ROOT.parent / "shared" / "footage")
    parser.add_argument("--made", type=int, default=60, help="made films, of five cuts each")
    options = parser.parse_args()

    totals = dict.fromkeys(DETECTORS, Score())
    pool: list[Film] = []
    for name, film, cuts in real_films(options.footage):
        pool += [same_size(shot) for shot in np.split(film, cuts) if len(shot) > 4]
        for title, make in DETECTORS.items():
            result = score(cuts, report(make(), film))
            totals[title] += result
            print(f"{name:34} {title:14} {result}", flush=True)
    for title, total in totals.items():
        print(f"{'all real films':34} {title:14} {total}")
    made = list(made_films(pool, options.made))
    for title, make in DETECTORS.items():
        total = sum((score(cuts, report(make(), film)) for film, cuts in made), Score())
        print(f"{f'{5 * len(made)} made cuts':34} {title:14} {total}", flush=True)
    for path in sorted(options.footage.glob("cuts/*")) + sorted(options.footage.glob("bw/*")):
        ours, stock = speed(path)
        print(f"{path.name:34} {stock / ours:.2f} x the speed of Adaptive ({ours:.2f} s)")


if __name__ == "__main__":
    main()
