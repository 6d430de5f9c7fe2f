"""The measures of our own: CDC against the reference implementation, the others against values that
can be told beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from safetensors.numpy import load_file

from colorize_core.quality.cdc import LEAST_FRAMES, cdc, histogram
from colorize_core.quality.colorfulness import colorfulness
from colorize_core.quality.warp_error import warp_error
from tests.core.engines.test_golden import ROOT as GOLDEN


def picture(red: int, green: int, blue: int, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), (red, green, blue), np.uint8)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden data at {GOLDEN}")
def test_cdc_is_the_reference_implementations() -> None:
    arrays = load_file(GOLDEN / "cdc" / "cdc.safetensors")
    clips = [arrays[f"clip{i}"] for i in range(3)]
    found = [cdc([histogram(frame) for frame in clip]) for clip in clips]
    np.testing.assert_allclose(found, arrays["values"], rtol=0, atol=1e-6)


def test_cdc_of_what_stays_is_none() -> None:
    assert cdc([histogram(picture(9, 99, 200))] * 6).tolist() == [0, 0, 0]


def test_cdc_of_what_always_changes() -> None:
    frames = [histogram(picture(i, 7, 7)) for i in range(6)]
    np.testing.assert_allclose(cdc(frames), [math.log(2), 0, 0])


def test_cdc_wants_frames() -> None:
    with pytest.raises(ValueError, match="5 frames, not 4"):
        cdc([histogram(picture(1, 2, 3))] * (LEAST_FRAMES - 1))


def test_grey_is_not_colourful() -> None:
    assert colorfulness(picture(80, 80, 80)) == 0


def test_colourfulness_of_one_colour_and_of_two() -> None:
    # rg = 100, yb = 50: only the means count
    assert colorfulness(picture(100, 0, 0)) == pytest.approx(0.3 * math.hypot(100, 50))
    both = np.concatenate([picture(100, 0, 0), picture(0, 100, 0)])
    # rg = ±100: its mean 0, its deviation 100; yb = 50
    assert colorfulness(both) == pytest.approx(100 + 0.3 * 50)
    assert colorfulness(both, absolute=True) == pytest.approx(0.3 * math.hypot(100, 50))


def scene(shift: int) -> np.ndarray:
    """Smooth texture, moved to the right by `shift` pixels."""
    y, x = np.mgrid[0:96, 0:128].astype(np.float32)
    moved = x - shift
    waves = 40 * np.sin(moved / 7) * np.cos(y / 9) + 30 * np.sin((moved + y) / 13)
    return np.clip(128 + waves, 0, 255).astype(np.uint8)


def chroma(shift: int) -> np.ndarray:
    return np.dstack([scene(shift), 255 - scene(shift)]).astype(np.float32) / 8


def test_colours_that_move_with_the_picture_do_not_flicker() -> None:
    moved = warp_error(chroma(0), chroma(3), scene(0), scene(3))
    stayed = warp_error(chroma(0), chroma(0), scene(0), scene(3))
    assert moved < 0.05 < stayed
    flash = warp_error(chroma(0), chroma(3) + 2, scene(0), scene(3))
    assert flash == pytest.approx(8, rel=0.1)  # 2² for each of a* and b*
