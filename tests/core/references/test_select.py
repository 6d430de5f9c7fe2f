"""Which still serves which shot: own frames first, then the same scene, and nothing absurd."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

from colorize_core.engines.contract import F32, ColourStill, GreyFrame
from colorize_core.media.color import srgb_to_lab
from colorize_core.references.select import (
    SAME_SCENE,
    ShotView,
    choose,
    misplaced,
    sample_frames,
)
from colorize_core.timebase import FrameSpan

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SHOT_FRAMES = 48


def view_of(name: str, left: float, top: float, share: float) -> F32:
    """A part of a photograph, 360 pixels wide: L*a*b*."""
    rgb = getattr(data, name)()
    height, width = rgb.shape[:2]
    part = rgb[
        round(top * height) : round((top + share) * height),
        round(left * width) : round((left + share) * width),
    ]
    small = cv2.resize(part, (360, round(360 * part.shape[0] / part.shape[1])))
    return srgb_to_lab(small.astype(np.float32) / np.float32(255))


@pytest.fixture(scope="module")
def views() -> list[ShotView]:
    """One shot for each photograph, under a slow pan."""
    shots = []
    for shot, name in enumerate(PHOTOGRAPHS):
        span = FrameSpan(shot * SHOT_FRAMES, (shot + 1) * SHOT_FRAMES)
        samples = tuple(
            GreyFrame(frame, view_of(name, (frame - span.start) / 400, 0.1, 0.7)[..., 0].copy())
            for frame in sample_frames(span)
        )
        shots.append(ShotView(shot, span, samples))
    return shots


@pytest.fixture(scope="module")
def stills() -> list[ColourStill]:
    """Each scene nearer and from elsewhere; none is a frame."""
    return [ColourStill(name, view_of(name, 0.15, 0.2, 0.6)) for name in PHOTOGRAPHS]


def test_each_scene_finds_its_still(views: list[ShotView], stills: list[ColourStill]) -> None:
    for choice, name in zip(choose(views, stills), PHOTOGRAPHS, strict=True):
        assert [pick.digest for pick in choice.references] == [name]
        assert choice.references[0].frame is None
        assert choice.references[0].score >= SAME_SCENE
        assert "its scene" in choice.reason


def test_the_order_of_stills_does_not_matter(
    views: list[ShotView], stills: list[ColourStill]
) -> None:
    assert choose(views[:1], stills) == choose(views[:1], stills[::-1])


def test_a_shot_that_no_still_shows_stays_grey(
    views: list[ShotView], stills: list[ColourStill]
) -> None:
    choices = choose(views[:2], stills[1:])
    assert choices[0].references == ()
    assert "no still shows its scene" in choices[0].reason
    assert choices[1].references


def test_own_frames_come_first_and_alone(views: list[ShotView], stills: list[ColourStill]) -> None:
    placed = [
        ColourStill("late", stills[0].lab, 40),
        ColourStill("early", stills[3].lab, 5),
        *stills,
    ]
    (first,) = choose(views[:1], placed)
    assert [(pick.digest, pick.frame, pick.score) for pick in first.references] == [
        ("early", 5, 1.0),
        ("late", 40, 1.0),
    ]


def test_a_frame_of_one_shot_serves_another_that_shows_the_same(views: list[ShotView]) -> None:
    again = ShotView(7, FrameSpan(1000, 1048), views[0].samples)
    still = ColourStill("still", view_of("astronaut", 0.05, 0.1, 0.7), 20)
    own, other = choose([views[0], again], [still])
    assert own.references[0].frame == 20
    assert other.references[0].frame is None


def test_a_logo_does_not_join_two_scenes() -> None:
    """The same mark in the corner of every frame is no scene."""
    logo = np.random.default_rng(2).integers(0, 2, (7, 12)).astype(np.float32) * 100
    logo = cv2.resize(logo, (36, 21), interpolation=cv2.INTER_NEAREST)
    pictures = []
    for name in ("coffee", "chelsea"):
        lab = view_of(name, 0, 0, 1)
        lab[10:31, 310:346, 0] = logo
        pictures.append(lab)
    span = FrameSpan(0, 24)
    shot = ShotView(0, span, (GreyFrame(12, pictures[0][..., 0].copy()),))
    assert choose([shot], [ColourStill("other", pictures[1])])[0].references == ()


def test_pictures_without_texture_match_nothing() -> None:
    flat = GreyFrame(0, np.full((90, 160), 50, np.float32))
    still = ColourStill("flat", np.full((90, 160, 3), 50, np.float32))
    assert choose([ShotView(0, FrameSpan(0, 1), (flat,))], [still])[0].references == ()


def test_no_stills_no_choice(views: list[ShotView]) -> None:
    assert all(choice.references == () for choice in choose(views, []))


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 7), (10, 40), (0, 4000)])
def test_samples_lie_in_the_shot(start: int, end: int) -> None:
    frames = sample_frames(FrameSpan(start, end))
    assert 1 <= len(frames) <= 5
    assert sorted(set(frames)) == list(frames)
    assert start <= frames[0] <= frames[-1] < end


def test_a_wrong_time_is_noticed(views: list[ShotView]) -> None:
    frame = next(iter(views[0].samples))
    lab = np.repeat(frame.lstar[..., None], 3, axis=2)
    graded = np.asarray(cv2.resize(lab * np.float32(0.8) + 10, (500, 400)), np.float32)
    assert misplaced(ColourStill("right", graded), frame) is None
    warning = misplaced(ColourStill("wrong", view_of("coffee", 0, 0, 1)), frame)
    assert warning is not None
    assert f"frame {frame.frame}" in warning


@pytest.mark.footage
def test_real_shots_do_not_take_each_others_stills(footage: Path) -> None:
    """A still from each of eleven shots of Tears of Steel; shots 6 and 10 are of one camera."""
    cuts = json.loads((footage / "cuts_gt.json").read_text())["mdn_tears-of-steel-battle.webm"]
    spans = [FrameSpan(a, b) for a, b in pairwise([0, *cuts["cuts"]])][:11]
    middles = {span.start + len(span) // 2: shot for shot, span in enumerate(spans)}
    thirds = {span.start + len(span) // 3: shot for shot, span in enumerate(spans)}
    shots, stills = [], []
    with av.open(str(footage / "cuts" / "mdn_tears-of-steel-battle.webm")) as film:
        for i, frame in enumerate(film.decode(video=0)):
            if i in middles:
                grey = GreyFrame(i, _lab(frame)[..., 0].copy())
                shots.append(ShotView(middles[i], spans[middles[i]], (grey,)))
            if i in thirds:
                stills.append(ColourStill(str(thirds[i]), _lab(frame)))
            if i >= spans[-1].end:
                break
    taken = {c.shot: {int(pick.digest) for pick in c.references} for c in choose(shots, stills)}
    for shot, own in taken.items():
        assert own <= ({6, 10} if shot in {6, 10} else {shot})
    assert sum(shot in own for shot, own in taken.items()) >= 8


def _lab(frame: av.VideoFrame) -> F32:
    return srgb_to_lab(frame.to_ndarray(format="rgb24").astype(np.float32) / np.float32(255))
