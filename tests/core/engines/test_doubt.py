"""Confidence and expected error are one scale; guesses are learnt, weighed, and fall back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from colorize_core.engines.contract import F32, Chroma, ColourStill, GreyFrame
from colorize_core.engines.exemplar.doubt import (
    confidence_of,
    expected_error,
    match_error,
    precision,
    walk_error,
)
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.engines.exemplar.match import Match
from colorize_core.engines.exemplar.regress import Regression
from colorize_core.engines.exemplar.settings import CarrySettings, FlowSettings, MatchSettings
from tests.core.engines.test_propagate import Reader, texture

SETTINGS = CarrySettings()
HEIGHT, WIDTH = 96, 160


def test_confidence_and_expected_error_are_inverse() -> None:
    confidence = np.linspace(0, 1, 11, dtype=np.float32)
    assert confidence_of(expected_error(confidence)) == pytest.approx(confidence, abs=1e-5)
    assert confidence_of(np.array([64], np.float32)) == pytest.approx(0.5)


def test_more_doubt_is_less_weight() -> None:
    rising = np.linspace(0, 50, 20, dtype=np.float32)
    for error in (walk_error(rising, rising), match_error(1 - rising / np.float32(100))):
        assert (np.diff(error) > 0).all()
        assert (np.diff(precision(confidence_of(error))) < 0).all()


# -- guesses -----------------------------------------------------------------------------------


def two_things(seed: int) -> F32:
    """A fine-grained, dark, green ground below a smooth, light, blue sky, ``[H, W, 3]``."""
    grain = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    lab = np.empty((HEIGHT, WIDTH, 3), np.float32)
    lab[: HEIGHT // 2] = 80, 0, -30
    lab[HEIGHT // 2 :] = 35, -30, 20
    lab[HEIGHT // 2 :, :, 0] += 8 * np.asarray(cv2.GaussianBlur(grain, (0, 0), 1))[HEIGHT // 2 :]
    return lab


def parted(lab: F32, confidence: float = 1.0) -> tuple[F32, Chroma]:
    ab = np.ascontiguousarray(lab[..., 1:])
    sure = np.full(lab.shape[:2], confidence, np.float32)
    return np.ascontiguousarray(lab[..., 0]), Chroma(ab, sure)


def test_a_regression_knows_things_again_that_it_sees_for_the_first_time() -> None:
    regression = Regression.learnt([parted(two_things(1))], SETTINGS)
    lab = two_things(2)
    guess, weight = regression.guess(parted(lab)[0], SETTINGS)
    assert np.median(np.linalg.norm(guess.ab - lab[..., 1:], axis=2)) < 3
    assert not guess.confidence.any()
    assert 0 < weight.max() < 0.01


def test_a_regression_falls_back_to_the_mean_colour() -> None:
    lab = two_things(1)
    regression = Regression.learnt([parted(lab)], SETTINGS)
    guess, _ = regression.guess(np.full((HEIGHT, WIDTH), 400, np.float32), SETTINGS)
    assert guess.ab.mean(axis=(0, 1)) == pytest.approx(lab[..., 1:].mean(axis=(0, 1)), abs=3)


def test_guesses_count_little_where_lightness_tells_nothing_of_the_colour() -> None:
    useful = Regression.learnt([parted(two_things(1))], SETTINGS)
    useless = Regression.learnt([parted(texture(1, HEIGHT, WIDTH))], SETTINGS)
    assert useless.error > 2 * useful.error


def test_a_regression_believes_sure_colours() -> None:
    lab = two_things(1)
    wrong = lab.copy()
    wrong[..., 1:] *= -1
    regression = Regression.learnt([parted(lab), parted(wrong, confidence=0.0)], SETTINGS)
    guess, _ = regression.guess(parted(lab)[0], SETTINGS)
    assert np.median(np.linalg.norm(guess.ab - lab[..., 1:], axis=2)) < 3


# -- occlusion ---------------------------------------------------------------------------------


def covered(frames: int) -> list[F32]:
    """A flat grey board passes over a patterned wall; first and last frame show the whole wall."""
    wall = texture(5, HEIGHT, WIDTH)
    shown = [wall.copy() for _ in range(frames)]
    for i in range(1, frames - 1):
        left = 10 + 12 * i
        shown[i][20:76, left : left + 40] = 50, 0, 0
    return shown


def test_what_was_covered_on_the_way_regains_its_colours() -> None:
    lab = covered(8)
    still = ColourStill("still", lab[0], 0)
    (found,) = dict(Match(MatchSettings()).colorize([7], [still], Reader(lab), 0)).values()
    uncovered = np.s_[24:72, 60:120]
    off = np.linalg.norm(found.ab - lab[7][..., 1:], axis=2)[uncovered]
    assert np.median(off) < np.median(np.linalg.norm(lab[7][..., 1:], axis=2)[uncovered]) / 3


def test_two_frames_are_their_anchors() -> None:
    lab = two_things(1)
    grey, chroma = parted(lab)
    frames = [GreyFrame(i, grey) for i in range(2)]
    assert Flow(FlowSettings()).fill(frames, chroma, chroma, seed=0) == [chroma, chroma]
