"""Which frames of a shot are worth colouring: not the hidden one, one of a still shot, several of
a long pan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import pytest
from skimage import data

from colorize_core.engines.contract import F32, GreyFrame
from colorize_core.media.color import lab_of_pixels
from colorize_core.references.coverage import (
    choose,
    cover,
    gain_from_elsewhere,
    working_size,
)
from colorize_core.timebase import FrameSpan

FRAMES = 40
SIZE = (128, 72)


class Frames:
    """Grey frames of a shot that begins at frame `first`; says which were read."""

    def __init__(self, lstars: Sequence[F32], first: int = 0) -> None:
        self._lstars, self._first = lstars, first
        self.read_frames: list[int] = []

    @property
    def span(self) -> FrameSpan:
        return FrameSpan(self._first, self._first + len(self._lstars))

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        for frame in span:
            self.read_frames.append(frame)
            yield GreyFrame(frame, self._lstars[frame - self._first])


def scene(name: str) -> F32:
    """A photograph's L*, 400 pixels wide."""
    rgb = getattr(data, name)()
    height = round(400 * rgb.shape[0] / rgb.shape[1])
    small = cv2.resize(rgb[..., :3], (400, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(lab_of_pixels(np.asarray(small, np.uint8))[..., 0])


def window(picture: F32, left: float, top: float = 0.2) -> F32:
    """A part of a picture, 200 pixels wide, at `SIZE`; `left` and `top` in [0, 1]."""
    x, y = left * (picture.shape[1] - 200), top * (picture.shape[0] - 112)
    moved = cv2.getRectSubPix(picture, (200, 112), (x + 100, y + 56))
    return np.asarray(cv2.resize(moved, SIZE, interpolation=cv2.INTER_AREA), np.float32)


def pan(name: str, amount: float = 1.0, frames: int = FRAMES) -> list[F32]:
    picture = scene(name)
    return [window(picture, amount * i / (frames - 1)) for i in range(frames)]


def firsts(shot: Frames, most: int = 3, least_gain_db: float = 3.0) -> list[int]:
    return [pick.frame for pick in choose(cover(shot.span, shot), most, least_gain_db)]


def test_a_shot_that_stands_still_needs_one_still_of_its_middle() -> None:
    shot = Frames([window(scene("astronaut"), 0.5)] * FRAMES, first=100)
    assert firsts(shot) == [shot.span.middle]


def hidden(picture: F32) -> F32:
    covered = picture.copy()
    covered[:, :100] = 35
    return covered


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: np.full_like(picture, 55),
        lambda picture: np.zeros_like(picture),
        lambda picture: picture * np.float32(0.2),
        hidden,
        lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), 4), np.float32),
    ],
    ids=["a grey card", "black", "a dip to black", "somebody before the lens", "out of focus"],
)
def test_what_hides_the_middle_is_not_proposed(change: Callable[[F32], F32]) -> None:
    bad = range(17, 24)
    frames = [change(p) if i in bad else p for i, p in enumerate(pan("astronaut", 0.2))]
    (first,) = firsts(Frames(frames), most=1)
    assert first not in bad


def test_a_pan_over_a_wide_scene_needs_several() -> None:
    slow, wide = Frames(pan("astronaut", 0.1)), Frames(pan("astronaut") + pan("coffee"))
    assert len(firsts(slow)) == 1
    found = firsts(wide)
    assert len(found) >= 2
    assert {frame < FRAMES for frame in found[:2]} == {True, False}


def test_the_longer_part_of_a_shot_that_changes_comes_first() -> None:
    shot = Frames(pan("astronaut", 0.1, 30) + pan("coffee", 0.1, 10))
    first, second = firsts(shot, most=2)
    assert first < 30 <= second


def test_gains_fall_and_stills_that_are_there_count() -> None:
    shot = Frames(pan("astronaut") + pan("coffee"))
    coverage = cover(shot.span, shot)
    gains = [pick.gain_db for pick in choose(coverage, 5, 0.0)]
    assert gains == sorted(gains, reverse=True)
    given = cover(shot.span, shot, [10])
    (first,) = choose(given, 1, 0.0, [10])
    assert first.frame >= FRAMES
    assert first.gain_db < gains[0]
    assert given.of([10]).mean() > given.of([]).mean() == 0


def test_only_blank_frames_are_worth_nothing() -> None:
    shot = Frames([np.full(SIZE[::-1], 40, np.float32)] * 5)
    assert choose(cover(shot.span, shot), 3, 0.0) == ()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shortest_shots(count: int) -> None:
    shot = Frames(pan("coffee", 0.1, FRAMES)[:count], first=7)
    (first,) = choose(cover(shot.span, shot), 1, 0.0)
    assert first.frame == shot.span.middle


def test_a_long_shot_is_read_here_and_there() -> None:
    shot = Frames([window(scene("coffee"), 0.5)] * 1000, first=3)
    cover(shot.span, shot)
    assert len(shot.read_frames) <= 96
    assert shot.span.middle in shot.read_frames


def test_the_same_again() -> None:
    frames = pan("coffee")
    first, second = (cover(FrameSpan(0, FRAMES), Frames(frames)) for _ in range(2))
    assert first.frames == second.frames
    assert np.array_equal(first.gain_db, second.gain_db)


def test_a_still_of_the_same_scene_brings_more_than_another() -> None:
    astronaut, coffee = scene("astronaut"), scene("coffee")
    targets = [GreyFrame(0, window(astronaut, 0.3)), GreyFrame(1, window(coffee, 0.3))]
    gains = gain_from_elsewhere(window(astronaut, 0.5), targets)
    assert gains[0] > gains[1] + 1


@pytest.mark.parametrize(
    ("size", "working"), [((1920, 1080), (128, 72)), ((64, 48), (64, 48)), ((2000, 8), (2000, 16))]
)
def test_working_size(size: tuple[int, int], working: tuple[int, int]) -> None:
    assert working_size(*size)[1] == working[1]
    assert working_size(*size)[0] <= max(working[0], 128)
