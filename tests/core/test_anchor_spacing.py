"""Anchors spaced by what happens in a shot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize_core.anchor_spacing import change_of, density_of
from colorize_core.config import RunConfig, load_config
from colorize_core.engines.contract import F32
from colorize_core.plan import plan_shot
from colorize_core.timebase import FrameSpan

ADAPTIVE = load_config("exemplar", ["anchor_spacing=adaptive"])


def anchors(change: F32, span: FrameSpan, config: RunConfig = ADAPTIVE) -> tuple[int, ...]:
    density = density_of(change, span, config)
    return plan_shot(1, span, config.anchor_interval, density=density).anchors


def test_change_is_motion_and_not_flicker() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(40, 120, (18, 32)).astype(np.uint8)
    other = rng.integers(40, 120, (18, 32)).astype(np.uint8)
    frames = np.stack([picture, picture, picture * 2, other, np.roll(other, 1, axis=1)])
    change = change_of([frames])
    assert change.dtype == np.float32
    assert change[:3] == pytest.approx([0, 0, 0], abs=0.02)
    assert (change[3:] > 1).all()


def test_blocks_of_thumbnails_are_one_film() -> None:
    frames = np.random.default_rng(2).integers(0, 256, (9, 18, 32)).astype(np.uint8)
    whole = change_of([frames])
    assert np.allclose(change_of([frames[:4], frames[4:5], frames[5:]]), whole)
    assert len(whole) == 9 and whole[0] == 0
    assert len(change_of([])) == 0


def test_blank_frames_change_nothing() -> None:
    assert not change_of([np.full((3, 18, 32), 16, np.uint8)]).any()


def test_a_moving_shot_has_more_anchors_than_a_still_one() -> None:
    change = np.repeat(np.array([0.01, 0.2, 0.9], np.float32), 120)
    still, usual, moving = (anchors(change, FrameSpan(i * 120, i * 120 + 120)) for i in range(3))
    assert len(still) < len(usual) < len(moving)
    assert max(b - a for a, b in pairwise(still)) <= 48
    assert {b - a for a, b in pairwise(usual)} <= {23, 24}
    assert {b - a for a, b in pairwise(moving)} <= {7, 8}


def test_a_cut_on_either_side_does_not_count() -> None:
    change = np.full(60, 0.2, np.float32)
    change[0] = 1.4
    assert anchors(change, FrameSpan(0, 60)) == anchors(
        np.full(60, 0.2, np.float32), FrameSpan(0, 60)
    )


def test_a_long_shot_has_them_nearer_where_it_moves() -> None:
    change = np.repeat(np.array([0.02, 0.6], np.float32), 400)
    found = np.diff(anchors(change, FrameSpan(0, 800)))
    assert found[:5].min() > 3 * found[-5:].max()


@given(
    length=st.integers(1, 300),
    interval=st.integers(1, 24),
    seed=st.integers(0, 99),
    level=st.floats(0, 2),
    data=st.data(),
)
def test_no_segment_is_longer_than_svd_takes(
    length: int, interval: int, seed: int, level: float, data: st.DataObject
) -> None:
    config = load_config("paper", ["anchor_spacing=adaptive", f"anchor_interval={interval}"])
    span = FrameSpan(7, 7 + length)
    change = np.random.default_rng(seed).uniform(0, level, span.end).astype(np.float32)
    at = data.draw(st.lists(st.integers(span.start, span.end - 1), max_size=3))
    plan = plan_shot(1, span, interval, at, density_of(change, span, config))
    owned = [frame for segment in plan.segments for frame in segment.span]
    assert owned == list(span)
    assert {span.start, span.end - 1, *at} <= set(plan.anchors)
    assert all(len(segment.reads) <= config.svd.max_frames for segment in plan.segments)
    assert all(len(segment.reads) <= 2 * interval + 1 for segment in plan.segments)


def test_one_plan_for_one_film() -> None:
    change = np.random.default_rng(3).uniform(0, 1, 200).astype(np.float32)
    assert anchors(change, FrameSpan(3, 190)) == anchors(change.copy(), FrameSpan(3, 190))
