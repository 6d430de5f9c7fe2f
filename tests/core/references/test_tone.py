"""The tone of a still is told from another still of its scene, whatever the two show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from colorize_core.engines.contract import F32, ColourStill
from colorize_core.media.color import lab_of_pixels
from colorize_core.references.tone import SceneColours, Tone, in_tone, tone_between
from tests.one_scene import COOL, FRAMES, WARM, Light, in_light, true_frame


def colours(rgb: np.ndarray) -> SceneColours:
    return SceneColours.of(ColourStill("any", lab_of_pixels(rgb)))


def apart(first: F32, second: F32) -> float:
    """Mean distance of a*b*."""
    return float(np.hypot(*np.moveaxis((first - second)[..., 1:], 2, 0)).mean())


@pytest.mark.parametrize("light", [WARM, COOL, (0.9, 1.15, 0.9)])
def test_a_light_is_found_and_taken_out(light: Light) -> None:
    here, there = true_frame(2), true_frame(4 * FRAMES)
    tone = tone_between(colours(here), colours(in_light(there, light)))
    assert tone is not None
    wanted = np.log2([light[0] / light[1], light[2] / light[1]])
    assert np.allclose([tone.red, tone.blue], wanted, atol=0.02)
    true, changed = lab_of_pixels(there), lab_of_pixels(in_light(there, light))
    assert apart(in_tone(changed, -tone), true) < 0.15 * apart(changed, true)


def test_one_light_is_no_difference_and_lightness_stays() -> None:
    tone = tone_between(colours(true_frame(2)), colours(true_frame(20)))
    assert tone is not None and tone.shift < 0.2
    lab = lab_of_pixels(true_frame(2))
    assert np.array_equal(in_tone(lab, Tone(0.3, -0.4))[..., 0], lab[..., 0])
    assert apart(in_tone(lab, Tone(0, 0)), lab) < 0.01


def test_other_scenes_have_no_tone_between_them() -> None:
    coffee = cv2.resize(data.coffee(), (144, 96), interpolation=cv2.INTER_AREA)
    assert tone_between(colours(true_frame(2)), colours(np.asarray(coffee))) is None


def test_other_paint_on_a_thing_is_no_tone() -> None:
    """Paint on two thirds of the picture moves the median, and brings little together."""
    first, second = true_frame(2), true_frame(8)
    painted = second.copy()
    painted[:, 49:] = in_light(second, WARM)[:, 49:]
    assert tone_between(colours(first), colours(painted)) is None


def test_a_scene_that_is_lit_otherwise_in_the_film_has_its_own_colours() -> None:
    night = (true_frame(8) * 0.4).astype(np.uint8)
    assert tone_between(colours(true_frame(2)), colours(in_light(night, COOL))) is None


def test_a_limit_is_kept() -> None:
    tone = Tone(0.9, -1.3)
    assert tone.shift > 20
    for most in (3.0, 12.5):
        limited = tone.limited(most)
        assert most - 0.2 < limited.shift <= most + 0.05
        assert limited.red / limited.blue == pytest.approx(tone.red / tone.blue, rel=0.02)
    assert tone.limited(100) == tone
