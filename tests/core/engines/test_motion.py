"""Edges and motion as pictures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from colorize_core.engines.contract import CPU, F32
from colorize_core.engines.diffusion.svd.motion import (
    DisFlow,
    UniMatchFlow,
    edges,
    flow_model,
    flow_picture,
    flow_pictures,
)
from colorize_core.errors import WeightsMissing

HEIGHT, WIDTH = 64, 96


def texture(seed: int = 0) -> F32:
    """Smooth noise in L*, wide enough to cut moving windows from."""
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, 2 * WIDTH)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.float32)
    return np.clip(50 + 20 * smooth / smooth.std(), 0, 100).astype(np.float32)


def pan(frames: int, step_px: int) -> list[F32]:
    """A camera that moves to the right: things move to the left by `step_px` a frame."""
    wide = texture()
    starts = (i * step_px for i in range(frames))
    return [np.ascontiguousarray(wide[:, x : x + WIDTH]) for x in starts]


def still(x: float, y: float) -> F32:
    """The same displacement everywhere, in pixels."""
    return np.full((HEIGHT, WIDTH, 2), (x, y), np.float32)


def colour(flow: F32) -> list[float]:
    found = flow_picture(flow)
    assert found.dtype == np.float32
    assert found.shape == (3, HEIGHT, WIDTH)
    assert found.flags.c_contiguous
    return [float(each) for each in found[:, 0, 0]]


def test_edges_are_where_lightness_jumps() -> None:
    lstar = np.full((HEIGHT, WIDTH), 20, np.float32)
    lstar[:, WIDTH // 2 :] = 80
    found = edges(lstar, 100, 200)
    assert found.shape == (3, HEIGHT, WIDTH)
    assert found.dtype == np.float32
    assert set(np.unique(found)) == {0, 1}
    columns = np.flatnonzero(found[0].all(axis=0))
    assert set(columns) <= {WIDTH // 2 - 1, WIDTH // 2}
    assert np.array_equal(found[0], found[1])
    assert not edges(lstar / np.float32(10), 100, 200).any()


def test_stillness_is_white_and_direction_is_hue() -> None:
    """Baker et al. 2011, figure 2 b: red to the right, yellow down, cyan left, violet up."""
    full = WIDTH / 32
    assert colour(still(0, 0)) == [1, 1, 1]
    assert colour(still(full, 0)) == pytest.approx([1, 0, 0], abs=1e-5)
    left, down, up = colour(still(-full, 0)), colour(still(0, full)), colour(still(0, -full))
    assert left[0] < 0.01 < 0.5 < left[1] < left[2]
    assert down[0] > down[1] > 0.5 > 0.01 > down[2]
    assert up[2] > up[0] > 0.3 > 0.01 > up[1]


def test_the_wheel_is_middleburys() -> None:
    """Against the published C code's arithmetic (colorcode.cpp), pixel by pixel."""
    random = np.random.default_rng(3)
    flow = random.normal(0, 2.5, (6, WIDTH, 2)).astype(np.float32)
    found = flow_picture(flow)
    for y in range(6):
        for x in range(0, WIDTH, 7):
            expected = middlebury(*(flow[y, x].astype(float) * 32 / WIDTH))
            assert found[:, y, x] == pytest.approx(expected, abs=1e-4)


def middlebury(fx: float, fy: float) -> list[float]:
    steps = [15, 6, 4, 11, 13, 6]
    wheel: list[list[float]] = []
    rising, falling = [1, 2, 0], [0, 1, 2]
    for k, count in enumerate(steps):
        for i in range(count):
            entry = [0.0, 0.0, 0.0]
            corner = k // 2
            if k % 2 == 0:
                entry[falling[corner]], entry[rising[corner]] = 1.0, i / count
            else:
                entry[falling[corner]], entry[rising[corner]] = 1 - i / count, 1.0
            wheel.append(entry)
    radius = np.hypot(fx, fy)
    place = (np.arctan2(-fy, -fx) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = int(place)
    share = place - low
    mixed = [
        (1 - share) * wheel[low][c] + share * wheel[(low + 1) % len(wheel)][c] for c in range(3)
    ]
    return [1 - radius * (1 - m) if radius <= 1 else 0.75 * m for m in mixed]


def test_the_same_motion_looks_the_same_at_every_size_and_beside_any_other() -> None:
    small = still(1.5, -0.5)
    large = np.full((2 * HEIGHT, 2 * WIDTH, 2), (3, -1), np.float32)
    assert np.allclose(flow_picture(small)[:, 0, 0], flow_picture(large)[:, 0, 0])
    small[HEIGHT // 2 :] = (40, 0)
    assert np.allclose(flow_picture(small)[:, 0, 0], flow_picture(large)[:, 0, 0])


def test_dis_finds_a_pan_in_its_direction() -> None:
    first, second = pan(2, 2)
    found = DisFlow().between(first, second)
    assert found.shape == (HEIGHT, WIDTH, 2)
    assert found.dtype == np.float32
    assert np.median(found[..., 0]) == pytest.approx(-2, abs=0.2)
    assert np.median(found[..., 1]) == pytest.approx(0, abs=0.2)


def test_a_clip_has_a_picture_for_each_frame() -> None:
    found = flow_pictures(pan(4, 2), flow_model("dis", CPU))
    assert len(found) == 4
    assert np.array_equal(found[2], found[3])
    backwards = flow_pictures(pan(4, 2)[::-1], DisFlow())
    assert not np.allclose(found[0], backwards[0], atol=0.1)


@pytest.mark.skipif(find_spec("ptlflow") is not None, reason="ptlflow is installed")
def test_unimatch_without_its_package_says_what_to_do() -> None:
    with pytest.raises(WeightsMissing) as raised:
        flow_model("unimatch", CPU)
    assert "pip install 'kinecolor[unimatch]'" in raised.value.remedy
    assert "svd.flow=dis" in raised.value.remedy


def test_unimatch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The adapter around ptlflow's own network, with random weights from torch's cache."""
    ptlflow = pytest.importorskip("ptlflow")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsMissing) as raised:
        UniMatchFlow(CPU)
    assert str(tmp_path) in raised.value.what
    torch.manual_seed(0)
    network = ptlflow.get_model("unimatch_sc2")
    name = Path(network.pretrained_checkpoints["mix"]).name
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "checkpoints" / name)
    first, second = pan(2, 2)
    found = UniMatchFlow(CPU).between(first, second)
    assert found.shape == (HEIGHT, WIDTH, 2)
    assert found.dtype == np.float32
    assert np.array_equal(found, UniMatchFlow(CPU).between(first, second))
