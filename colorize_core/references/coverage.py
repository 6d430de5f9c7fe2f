"""How much a coloured still of each frame of a shot would be worth, found out on the grey film.

A frame's lightness is carried through the shot by optical flow, as its colours would be. The
lightness of every frame is known, so what the carried one gets wrong is seen: uncovered ground,
blur, flashes, tracks that slid off. There colours would be wrong, too. What cannot be seen in grey
is a colour that changes with time (light, angle): for that a frame counts less the farther it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, ColourStill, FrameReader, GreyFrame
from colorize_core.engines.exemplar.correspond import transfer
from colorize_core.engines.exemplar.dense_flow import DenseFlow, advanced, identity
from colorize_core.engines.exemplar.raster import resized, sampled, size_of, to_byte
from colorize_core.engines.exemplar.settings import CarrySettings
from colorize_core.timebase import FrameSpan

PIXELS = 9_216  # of the frames that are compared: 128 × 72
_SHORTEST_SIDE = 16  # optical flow needs it
_MOST_SAMPLES = 96  # frames of a shot that are looked at
_MOST_CANDIDATES = 15  # odd, so that the middle is one
_DRIFT_STEPS = 4  # steps of a walk after which the drift is taken out
_BLANK = 0.8  # contrast (L*) below which a frame shows no picture and wants no colour
_FAINT = 0.5  # share of the shot's usual contrast below which a frame is in a fade
_BLURRED = 0.6  # share of the shot's usual sharpness below which a frame is blurred
# By how much a frame has to be better than the middle one to be a shot's first: the estimate does
# not tell frames apart that are closer, and the middle is seldom bad.
_SURELY_BETTER_DB = 0.5

# Expected gain in dB of PSNR over leaving a frame grey, where the carried lightness has a mean
# squared error e (L*²) and comes from d frames away:
#     28.2 - 0.87 · 10 log10(5 + e) - 1.2 · ln(1 + d / 8)
# Least squares within 23 shots of DAVIS-2016 val and Tears of Steel, nine candidates each, coloured
# by part `match`: it explains 0.79 of the variance within a shot.
_GAIN_DB = 28.2
_SLOPE = 0.87
_FLOOR = 5.0
_DISTANCE_DB = 1.2
_DISTANCE_FRAMES = 8.0
# A still of another shot is matched, not tracked: this stands for its distance (30 pairs).
_ELSEWHERE_DB = 7.2


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """What stills of some frames of a shot would bring to it.

    Attributes:
        frames: frames of the shot, ascending; `candidates` are those that a person can colour
            well, the others only have stills already.
        targets: the frames at which it was found out; those that show no picture are left out.
        gain_db: float64 ``[frames, targets]``, PSNR over leaving it grey, at least 0.
    """

    span: FrameSpan
    frames: tuple[int, ...]
    candidates: frozenset[int]
    targets: tuple[int, ...]
    gain_db: NDArray[np.float64]

    def of(self, frames: Sequence[int]) -> NDArray[np.float64]:
        """The gain that stills of `frames` bring together, ``[targets]``: each target takes its
        colours from the best of them."""
        rows = [self.gain_db[self.frames.index(frame)] for frame in frames]
        return np.max([np.zeros(len(self.targets)), *rows], axis=0)


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame whose still would bring `gain_db` more to its shot (a mean over its frames) than
    those before it."""

    frame: int
    gain_db: float


def working_size(width: int, height: int, pixels: int = PIXELS) -> tuple[int, int]:
    """The size at which a film's frames are compared, ``(width, height)``."""
    scale = min(1.0, math.sqrt(pixels / (width * height)))
    return max(_SHORTEST_SIDE, round(width * scale)), max(_SHORTEST_SIDE, round(height * scale))


def shows_picture(grey: GreyFrame) -> bool:
    """Whether a frame shows anything that wants colour: not one that is black, white or flat."""
    return float(grey.lstar.std()) >= _BLANK


def cover(span: FrameSpan, reader: FrameReader, given: Sequence[int] = ()) -> Coverage:
    """Find out what a still of each of up to 15 frames of a shot would bring.

    Args:
        reader: gives frames at `working_size`; each is read once, at most 96 in all.
        given: frames of the shot that have stills already.
    """
    step = max(1, math.ceil(len(span) / _MOST_SAMPLES))
    first = span.start + (span.middle - span.start) % step  # so that the middle is a sample
    numbers = sorted({*range(first, span.end, step), *given})
    samples = [next(reader.read(FrameSpan(number, number + 1))) for number in numbers]
    shown = [grey for grey in samples if shows_picture(grey)]
    candidates = _candidates(shown, span.middle)
    frames = sorted({*candidates, *given})
    walks = _Walks(samples)
    errors = np.array([walks.errors(numbers.index(frame)) for frame in frames])
    errors = errors.reshape(len(frames), len(numbers))
    distance = np.abs(np.subtract.outer(np.array(frames, int), np.array(numbers, int)))
    targets = [grey.frame for grey in shown]
    columns = [numbers.index(frame) for frame in targets]
    distance_db = _DISTANCE_DB * np.log1p(distance / _DISTANCE_FRAMES)
    gain = _expected_db(errors, distance_db)[:, columns]
    return Coverage(span, tuple(frames), frozenset(candidates), tuple(targets), gain)


def choose(
    coverage: Coverage, most: int, least_gain_db: float, given: Sequence[int] = ()
) -> tuple[Pick, ...]:
    """The frames whose stills would bring most, each beside those before it and the `given` ones:
    at most `most`, and none that brings less than `least_gain_db`.

    The first frame of a shot without stills is the middle one, or the one nearest to it, unless
    another is surely better.
    """
    if not coverage.targets:
        return ()
    taken, picks = list(given), list[Pick]()
    while len(picks) < most:
        there = coverage.of(taken)
        gains = {
            frame: float(np.mean(np.maximum(row, there) - there))
            for frame, row in zip(coverage.frames, coverage.gain_db, strict=True)
            if frame in coverage.candidates and frame not in taken
        }
        best = max(gains.values(), default=0.0)
        if best < max(least_gain_db, 1e-9):
            break
        middle = coverage.span.middle
        tie_db = 0.0 if taken else _SURELY_BETTER_DB
        alike = [frame for frame, gain in gains.items() if gain >= best - tie_db]
        frame = min(alike, key=lambda each: (abs(each - middle), each))
        taken.append(frame)
        picks.append(Pick(frame, gains[frame]))
    return tuple(picks)


def gain_from_elsewhere(lstar: F32, targets: Sequence[GreyFrame]) -> NDArray[np.float64]:
    """What a still of another shot, or of no frame of the film, would bring to `targets`, in dB
    of PSNR over leaving them grey: float64 ``[targets]``. `lstar`: its lightness ``[H, W]``."""
    still = ColourStill("", np.dstack([lstar, lstar, np.zeros_like(lstar)]))
    errors = []
    for grey in targets:
        wrong = transfer(grey.lstar, still).ab[..., 0] - grey.lstar
        errors.append(float(np.mean(resized(wrong, working_size(*size_of(wrong))) ** 2)))
    return _expected_db(np.array(errors), np.full(len(errors), _ELSEWHERE_DB))


def _expected_db(
    error: NDArray[np.float64], distance_db: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.maximum(_GAIN_DB - _SLOPE * 10 * np.log10(_FLOOR + error) - distance_db, 0)


def _candidates(shown: Sequence[GreyFrame], middle: int) -> list[int]:
    """Frames that a person can colour well, evenly spread: not faint, not blurred."""
    if not shown:
        return []
    contrast = np.array([grey.lstar.std() for grey in shown])
    sharpness = np.array([np.abs(cv2.Laplacian(grey.lstar, cv2.CV_32F)).mean() for grey in shown])
    good = (contrast >= _FAINT * np.median(contrast)) & (
        sharpness >= _BLURRED * np.median(sharpness)
    )
    frames = [grey.frame for grey, fits in zip(shown, good, strict=True) if fits]
    count = min(_MOST_CANDIDATES, len(frames))
    spread = {frames[len(frames) * (2 * i + 1) // (2 * count)] for i in range(count)}
    return sorted(spread | {frame for frame in frames if frame == middle})


class _Walks:
    """Walks between the samples of a shot; the flows between neighbours are found once."""

    def __init__(self, samples: Sequence[GreyFrame]) -> None:
        self._lstars = [np.ascontiguousarray(grey.lstar) for grey in samples]
        self._bytes = [to_byte(lstar) for lstar in self._lstars]
        self._flow = DenseFlow(CarrySettings(flow_preset="fast"))
        # of each sample: where its pixels are in the sample before, and in the one after
        self._back = [self._flow.between(b, a) for a, b in pairwise(self._bytes)]
        self._forth = [self._flow.between(a, b) for a, b in pairwise(self._bytes)]
        self._grid = identity(self._lstars[0].shape)

    def errors(self, start: int) -> list[float]:
        """Mean squared error of sample `start`'s lightness, carried to each sample, in L*²."""
        count = len(self._lstars)
        before = list(self._walk(start, range(start - 1, -1, -1)))
        return [*reversed(before), 0.0, *self._walk(start, range(start + 1, count))]

    def _walk(self, start: int, way: range) -> Iterator[float]:
        lstar, offset = self._lstars[start], np.zeros_like(self._grid)
        for steps, at in enumerate(way, start=1):
            flow = self._back[at - 1] if at > start else self._forth[at]
            offset = advanced(offset, flow, self._grid)
            if steps % _DRIFT_STEPS == 0:
                warped = to_byte(sampled(lstar, self._grid + offset))
                left = self._flow.between(self._bytes[at], warped)
                offset = advanced(offset, left, self._grid)
            carried = sampled(lstar, self._grid + offset)
            yield float(np.mean((carried - self._lstars[at]) ** 2))
