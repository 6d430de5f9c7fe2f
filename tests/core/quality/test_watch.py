"""Figures that need no truth: each kind of damage moves its own figure most, and costs score."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from colorize_core.chroma_file import decode_chroma, encode_chroma, stored_quality
from colorize_core.engines.contract import F32, Chroma, ColourStill, GreyFrame
from colorize_core.quality.figures import NAMES, Quality
from colorize_core.quality.settings import QualitySettings
from colorize_core.quality.watch import Standard, watch

WIDTH, HEIGHT, FRAMES, FIRST = 160, 96, 9, 100
LIMITS = QualitySettings()
Damage = Callable[[int, F32], F32]  # of a frame's place in the segment, and its a*b*


def scene(shift: int) -> F32:
    """L*a*b* of coloured patches, each with a lightness and some shading of its own; they move to
    the right by `shift` pixels."""
    random = np.random.default_rng(3)
    wide = np.zeros((HEIGHT, WIDTH + 40, 3), np.float32)
    wide[:] = (30, 12, 18)
    for _ in range(24):
        x, y = random.integers(0, WIDTH + 40), random.integers(0, HEIGHT)
        lightness = float(random.uniform(15, 90))
        angle = lightness / 15
        colour = (lightness, 35 * np.cos(angle), 35 * np.sin(angle))
        cv2.circle(wide, (int(x), int(y)), int(random.integers(8, 22)), colour, -1)
    wide[..., 0] += cv2.GaussianBlur(random.standard_normal(wide.shape[:2]), (0, 0), 2) * 6
    return np.ascontiguousarray(wide[:, 40 - shift : 40 - shift + WIDTH])


SCENE = [scene(2 * i) for i in range(FRAMES)]
STILL = Standard.of(ColourStill("still", SCENE[FRAMES // 2], FIRST + FRAMES // 2))


def grey(number: int, lab: F32) -> GreyFrame:
    return GreyFrame(number, np.ascontiguousarray(lab[..., 0]))


def looked_at(damage: Damage = lambda i, ab: ab, confidence: float = 0.9) -> Quality:
    frames = [grey(FIRST + i, lab) for i, lab in enumerate(SCENE)]
    sure = np.full((HEIGHT, WIDTH), confidence, np.float32)
    colours = [
        Chroma(np.ascontiguousarray(damage(i, lab[..., 1:]), np.float32), sure)
        for i, lab in enumerate(SCENE)
    ]
    return watch(frames, colours, FRAMES - 1, [STILL])


def excess(quality: Quality, name: str) -> float:
    """A figure in units of its threshold."""
    value = getattr(quality, name).value
    if name == "confidence":
        return LIMITS.least_confidence / value
    return value / getattr(LIMITS, f"most_{name}")


def turned(i: int, ab: F32) -> F32:
    angle = (i % 2) * 0.8
    cos, sin = np.cos(angle), np.sin(angle)
    return (ab @ np.array([[cos, sin], [-sin, cos]])).astype(np.float32)


def inside_only(i: int, ab: F32) -> F32:
    return ab + np.float32(6) * (0 < i < FRAMES - 1)


DAMAGES: dict[str, Damage] = {
    "grey_leftover": lambda i, ab: ab * 0,
    "flicker": turned,
    "drift": lambda i, ab: -ab,
    "bleeding": lambda i, ab: np.roll(ab, (3, 4), (0, 1)),
    "joint": inside_only,
}


def test_true_colours_are_past_no_threshold() -> None:
    quality = looked_at()
    assert {name: excess(quality, name) for name in NAMES if excess(quality, name) > 1} == {}
    assert quality.score > 0.8


def test_each_damage_moves_its_own_figure_most() -> None:
    told = {name: looked_at(damage) for name, damage in DAMAGES.items()}
    for name in DAMAGES:
        values = {each: excess(quality, name) for each, quality in told.items()}
        assert max(values, key=values.__getitem__) == name and values[name] > 1, (name, values)
        assert told[name].score < looked_at().score


def test_doubt_is_told() -> None:
    assert excess(looked_at(confidence=0.2), "confidence") > 1


def test_the_frame_that_shows_it_is_named() -> None:
    quality = looked_at(lambda i, ab: ab * (i != 3))
    assert quality.grey_leftover.frame == FIRST + 3
    assert quality.drift.frame == FIRST + 3
    assert quality.flicker.frame in (FIRST + 3, FIRST + 4)
    quality = looked_at(lambda i, ab: ab + np.float32(8) * (i == FRAMES - 1))
    assert quality.joint.frame == FIRST + FRAMES - 1


def test_the_nearest_reference_counts() -> None:
    other = SCENE[0] + np.array([0, 40, -30], np.float32)
    frames = [grey(FIRST, SCENE[0])]
    sure = np.ones((HEIGHT, WIDTH), np.float32)
    colours = [Chroma(np.ascontiguousarray(SCENE[0][..., 1:]), sure)]
    far = Standard.of(ColourStill("far", other))
    assert watch(frames, colours, 1, [far]).drift.value > 30
    assert watch(frames, colours, 1, [far, STILL]).drift.value < 5


def test_a_segment_of_one_frame_neither_flickers_nor_meets_another() -> None:
    frames = [grey(7, SCENE[0])]
    quality = watch(frames, [Chroma.grey(HEIGHT, WIDTH)], 1, [STILL])
    assert (quality.flicker.value, quality.joint.value, quality.flicker.frame) == (0, 0, 7)


def test_tiny_and_flat_pictures_have_figures() -> None:
    frames = [GreyFrame(i, np.full((2, 3), 50, np.float32)) for i in range(4)]
    quality = watch(frames, [Chroma.grey(2, 3)] * 4, 4, [STILL])
    assert all(np.isfinite(getattr(quality, name).value) for name in NAMES)
    assert 0 <= quality.score <= 1


def test_colours_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="no colours"):
        looked_at(lambda i, ab: ab * np.float32(np.nan))


def test_figures_are_stored_with_the_colours() -> None:
    quality = looked_at()
    colours = [Chroma.grey(4, 6)] * 2
    data = encode_chroma(colours, quality)
    assert stored_quality(data, "object") == quality
    assert len(decode_chroma(data, "object")) == 2


def test_colours_that_nobody_watched_can_be_read() -> None:
    assert stored_quality(encode_chroma([Chroma.grey(4, 6)]), "object") is None
