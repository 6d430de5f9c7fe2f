"""Upsampling of chroma: identity, no worse than bilinear, sharp where lightness is."""

from __future__ import annotations

import cv2
import numpy as np

from colorize_core.engines.contract import F32
from colorize_core.upsample import upsample_chroma


def reduced(image: F32, size: tuple[int, int]) -> F32:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def scene() -> tuple[F32, F32]:
    """A red disc on green, lighter than it, with grain: L* ``[H, W]`` and a*b* ``[H, W, 2]``."""
    y, x = np.mgrid[:180, :320].astype(np.float32)
    inside = (((x - 160) ** 2 + (y - 90) ** 2) < 50**2).astype(np.float32)
    inside = np.asarray(cv2.GaussianBlur(inside, (0, 0), 0.7), np.float32)
    grain = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    ab = np.stack([inside * 70 - 30, inside * 20 + 10], axis=2)
    return 40 + 30 * inside + 1.5 * grain, ab


def test_the_same_size_is_returned_as_it_is() -> None:
    light, ab = scene()
    assert upsample_chroma(ab, light, light) is ab


def test_better_than_bilinear_along_edges() -> None:
    light, ab = scene()
    for size in ((160, 90), (107, 60), (53, 30)):
        small = reduced(ab, size)
        ours = upsample_chroma(small, reduced(light, size), light)
        bilinear = cv2.resize(small, (320, 180), interpolation=cv2.INTER_LINEAR)
        assert np.square(ours - ab).mean() < 0.7 * np.square(bilinear - ab).mean()


def test_grain_and_texture_put_no_noise_into_flat_colour() -> None:
    light, _ = scene()
    flat = np.full((60, 107, 2), 20, np.float32)
    found = upsample_chroma(flat, reduced(light, (107, 60)), light)
    assert np.abs(found - 20).max() < 0.01


def test_any_size() -> None:
    for height, width in ((1, 1), (3, 2), (7, 5)):
        found = upsample_chroma(
            np.ones((height, width, 2), np.float32),
            np.ones((height, width), np.float32),
            np.ones((13, 11), np.float32),
        )
        assert found.shape == (13, 11, 2) and found.dtype == np.float32
        assert np.allclose(found, 1, atol=1e-4)
