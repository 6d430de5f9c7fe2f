"""Walks, recall and both parts on motion whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest

from colorize_core.engines.contract import F32, Chroma, ColourStill, GreyFrame
from colorize_core.engines.exemplar.dense_flow import (
    DenseFlow,
    identity,
    inconsistency,
)
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.engines.exemplar.match import Match
from colorize_core.engines.exemplar.propagate import Walk
from colorize_core.engines.exemplar.raster import blurred, mean_square, to_byte
from colorize_core.engines.exemplar.recall import Memory, describe, recall
from colorize_core.engines.exemplar.settings import CarrySettings, FlowSettings, MatchSettings
from colorize_core.timebase import FrameSpan

WIDTH, HEIGHT = 160, 96
SETTINGS = CarrySettings()


def texture(seed: int, height: int, width: int) -> F32:
    """Smooth noise as L*a*b* ``[H, W, 3]``: chroma follows nothing that lightness shows."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((height, width, 3)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.float32)
    smooth /= smooth.std(axis=(0, 1))
    return smooth * np.array([15, 20, 20], np.float32) + np.array([50, 0, 0], np.float32)


def pan(frames: int, step_px: int) -> list[F32]:
    """A camera that moves over a wide picture by whole pixels."""
    wide = texture(1, HEIGHT, WIDTH + frames * step_px)
    return [wide[:, i * step_px : i * step_px + WIDTH].copy() for i in range(frames)]


def lightness(lab: F32) -> F32:
    return np.ascontiguousarray(lab[..., 0])


def known(lab: F32, confidence: float = 1.0) -> Chroma:
    return Chroma(
        np.ascontiguousarray(lab[..., 1:]), np.full(lab.shape[:2], confidence, np.float32)
    )


def error(found: Chroma, lab: F32) -> F32:
    return np.sqrt(((found.ab - lab[..., 1:]) ** 2).sum(axis=2))


class Reader:
    def __init__(self, lab: list[F32]) -> None:
        self._lab = lab
        self.asked: list[FrameSpan] = []

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        self.asked.append(span)
        return iter([GreyFrame(i, lightness(self._lab[i])) for i in span])


# -- flow --------------------------------------------------------------------------------------


def test_consistent_flows_have_no_error_but_outside() -> None:
    grid = identity((HEIGHT, WIDTH))
    flow = np.full((HEIGHT, WIDTH, 2), [3, 0], np.float32)
    found = inconsistency(flow, -flow, grid)
    assert np.allclose(found[:, :-3], 0, atol=1e-6)
    assert found[0, -1] == pytest.approx(9)


def test_a_mean_of_squares_is_never_below_zero() -> None:
    """Its root is taken: of a picture that hardly differs beside one that differs much."""
    picture = np.random.default_rng(0).uniform(-60, 60, (HEIGHT, WIDTH)).astype(np.float32)
    picture[:, WIDTH // 2 :] *= 1e-8
    picture[HEIGHT // 2 :] *= 1e-8
    assert blurred(picture * picture, 7).min() < 0 <= mean_square(picture, 7).min()


def test_tiny_pictures_do_not_move() -> None:
    tiny = np.zeros((6, 8), np.uint8)
    assert not DenseFlow(SETTINGS).between(tiny, tiny).any()


# -- walks -------------------------------------------------------------------------------------


def walked(lab: list[F32], settings: CarrySettings = SETTINGS) -> Chroma:
    flow = DenseFlow(settings)
    walk = Walk(lightness(lab[0]), known(lab[0]), settings, flow)
    for before, after in pairwise([to_byte(lightness(frame)) for frame in lab]):
        walk.step(after, flow.between(after, before), flow.between(before, after))
    return walk.carried(lightness(lab[-1])).chroma


def test_a_long_walk_does_not_blur_and_knows_what_it_never_saw() -> None:
    lab = pan(frames=17, step_px=2)  # 32 pixels of new picture on the right
    found = walked(lab)
    seen = np.s_[8:-8, 8 : WIDTH - 40]
    assert np.median(error(found, lab[-1])[seen]) < 1.0
    assert found.confidence[seen].mean() > 0.9
    assert found.confidence[:, -24:].mean() < 0.3


def test_a_source_that_is_unsure_stays_unsure() -> None:
    lab = pan(frames=2, step_px=1)
    flow = DenseFlow(SETTINGS)
    walk = Walk(lightness(lab[0]), known(lab[0], confidence=0.25), SETTINGS, flow)
    assert walk.carried(lightness(lab[0])).chroma.confidence.max() <= 0.25


# -- recall ------------------------------------------------------------------------------------


def test_recall_finds_a_patch_that_moved() -> None:
    lab = texture(2, HEIGHT, WIDTH)
    moved = np.roll(lab, (8, 16), axis=(0, 1))
    memory = Memory.of(lightness(lab), known(lab), SETTINGS)
    features = describe(lightness(moved), SETTINGS)
    found, _ = recall(features, identity(features.shape[:2]), memory, SETTINGS)
    truth = cv2.resize(moved[..., 1:], found.shape[1::-1], interpolation=cv2.INTER_AREA)
    inner = np.s_[5:-5, 8:-5]
    off = np.linalg.norm(found - truth, axis=2)[inner]
    held = cv2.resize(lab[..., 1:], found.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.median(off) < np.median(np.linalg.norm(held - truth, axis=2)[inner]) / 3


def test_recall_prefers_colours_that_are_sure() -> None:
    light = np.full((HEIGHT, WIDTH), 50, np.float32)
    ab = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    ab[:, WIDTH // 2 :] = 40
    confidence = np.zeros((HEIGHT, WIDTH), np.float32)
    confidence[:, WIDTH // 2 :] = 1
    settings = CarrySettings(recall_nearness=0)
    memory = Memory.of(light, Chroma(ab, confidence), settings)
    features = describe(light, settings)
    found, _ = recall(features, identity(features.shape[:2]), memory, settings)
    assert found[:, features.shape[1] // 2 - 2].mean() > 30


# -- parts -------------------------------------------------------------------------------------


def test_flow_follows_a_pan_from_both_sides() -> None:
    lab = pan(frames=9, step_px=4)
    frames = [GreyFrame(i, lightness(frame)) for i, frame in enumerate(lab)]
    found = Flow(FlowSettings()).fill(frames, known(lab[0]), known(lab[-1]), seed=0)
    for result, truth in zip(found, lab, strict=True):  # either anchor saw every pixel
        assert np.median(error(result, truth)) < 1.5
        assert result.confidence.mean() > 0.8


def test_flow_leaves_no_hole_where_neither_anchor_explains() -> None:
    lab = pan(frames=5, step_px=2)
    flash = np.full((24, 24), 95, np.float32)
    frames = [GreyFrame(i, lightness(frame)) for i, frame in enumerate(lab)]
    frames[2].lstar[30:54, 60:84] = flash
    found = Flow(FlowSettings()).fill(frames, known(lab[0]), known(lab[-1]), seed=0)[2]
    assert np.isfinite(found.ab).all()
    assert found.confidence[34:50, 64:80].mean() < found.confidence.mean()


@pytest.mark.parametrize("shown", [0, 20, 39])
def test_match_walks_both_ways_in_short_reads(shown: int) -> None:
    lab = pan(frames=40, step_px=1)
    reader = Reader(lab)
    still = ColourStill("still", lab[shown], shown)
    anchors = [0, 12, 24, 39]
    found = dict(Match(MatchSettings()).colorize(anchors, [still], reader, seed=0))
    assert sorted(found) == anchors
    for anchor in anchors:
        new = abs(anchor - shown) + 12
        seen = np.s_[8:-8, new : WIDTH - new]
        assert np.median(error(found[anchor], lab[anchor])[seen]) < 1.5
    backward = [span for span in reader.asked if span.end <= shown]
    assert max((len(span) for span in backward), default=0) <= 16


def test_two_references_beat_one() -> None:
    lab = pan(frames=24, step_px=4)
    ends = [ColourStill("first", lab[0], 0), ColourStill("last", lab[23], 23)]

    def middle(stills: list[ColourStill]) -> float:
        (found,) = dict(Match(MatchSettings()).colorize([12], stills, Reader(lab), 0)).values()
        return float(error(found, lab[12]).mean())

    both = middle(ends)
    assert both < middle(ends[:1]) and both < middle(ends[1:])


def test_without_a_reference_anchors_stay_grey() -> None:
    lab = pan(frames=2, step_px=1)
    (found,) = dict(Match(MatchSettings()).colorize([1], [], Reader(lab), 0)).values()
    assert not found.ab.any() and not found.confidence.any()
