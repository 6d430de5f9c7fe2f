from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorize_core.plan import group_anchors, group_segments, plan_shot
from colorize_core.timebase import FrameSpan

LENGTHS = st.integers(1, 400)
INTERVALS = st.integers(1, 60)


def test_anchors_every_k_and_at_both_ends() -> None:
    plan = plan_shot(3, FrameSpan(100, 150), 24)
    assert plan.anchors == (100, 124, 148, 149)
    assert [segment.span for segment in plan.segments] == [
        FrameSpan(100, 124),
        FrameSpan(124, 148),
        FrameSpan(148, 150),
    ]
    assert plan.segments[0].reads == FrameSpan(100, 125)  # 25 frames with both ends
    assert plan.segments[2].id == "0003-0003"


def test_one_and_two_frame_shots() -> None:
    one = plan_shot(0, FrameSpan(7, 8), 24)
    assert one.anchors == (7,)
    assert [(s.span, s.reads) for s in one.segments] == [(FrameSpan(7, 8), FrameSpan(7, 8))]
    two = plan_shot(0, FrameSpan(7, 9), 24)
    assert two.anchors == (7, 8)
    assert [(s.span, s.reads) for s in two.segments] == [(FrameSpan(7, 9), FrameSpan(7, 9))]


def test_a_reference_frame_is_an_anchor() -> None:
    assert plan_shot(0, FrameSpan(0, 50), 24, [25]).anchors == (0, 24, 25, 48, 49)


@given(start=st.integers(0, 9999), length=LENGTHS, interval=INTERVALS, data=st.data())
def test_segments_tile_the_shot(
    start: int, length: int, interval: int, data: st.DataObject
) -> None:
    span = FrameSpan(start, start + length)
    frames = st.integers(span.start, span.end - 1)
    at = data.draw(st.lists(frames, max_size=4))
    plan = plan_shot(0, span, interval, at)
    owned = [frame for segment in plan.segments for frame in segment.span]
    assert owned == list(span)
    assert {span.start, span.end - 1, *at} <= set(plan.anchors)
    for segment in plan.segments:
        assert segment.start_anchor == segment.span.start
        assert set(segment.span) <= set(segment.reads)
        assert len(segment.reads) <= interval + 1


@given(length=LENGTHS, data=st.data())
def test_groups_hold_every_anchor_once(length: int, data: st.DataObject) -> None:
    at = data.draw(st.lists(st.integers(0, length - 1), max_size=3))
    plan = plan_shot(0, FrameSpan(0, length), 24, at)
    groups = group_anchors(plan.anchors, at, 8)
    assert sorted(frame for group in groups for frame in group) == list(plan.anchors)
    for group in groups:
        assert list(group) == sorted(group)
    runs = group_segments(plan.segments, 48)
    assert [segment for run in runs for segment in run] == list(plan.segments)


def test_each_side_of_a_reference_is_one_group() -> None:
    assert group_anchors([0, 24, 45, 48, 72], [45], 8) == ((0, 24, 45), (48, 72))
    assert group_anchors([0, 24, 48], [], 2) == ((0, 24), (48,))


@pytest.mark.parametrize(("interval", "at"), [(0, []), (24, [50]), (24, [-1])])
def test_refused(interval: int, at: list[int]) -> None:
    with pytest.raises(ValueError):
        plan_shot(0, FrameSpan(0, 50), interval, at)
