"""One suite over every engine part of the catalogue: shapes, ranges, determinism, edge cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from colorize_core.config import RunConfig, load_config
from colorize_core.engines.catalog import ANCHOR_COLORIZERS, INTERPOLATORS, REFERENCE_MAKERS
from colorize_core.engines.contract import (
    CPU,
    AnchorColorizer,
    Chroma,
    ColourStill,
    Facts,
    GreyFrame,
    Interpolator,
    ReferenceMaker,
)
from colorize_core.media.color import srgb_to_lab
from colorize_core.timebase import FrameSpan
from tests.media_factory import colour_picture
from tests.tiny.paper import paper_settings

SIZES = [(96, 64), (61, 47), (8, 6)]  # width, height
FIRST = 100  # a shot that does not begin at frame 0


def film(width: int, height: int, frames: int) -> list[np.ndarray]:
    """L*a*b* float32 ``[H, W, 3]`` of a picture in motion."""
    pictures = (colour_picture(3, i / 8, width, height) for i in range(frames))
    return [srgb_to_lab(picture.astype(np.float32) / np.float32(255)) for picture in pictures]


def grey(lab: Sequence[np.ndarray]) -> list[GreyFrame]:
    return [GreyFrame(FIRST + i, np.ascontiguousarray(f[..., 0])) for i, f in enumerate(lab)]


def chroma(lab: np.ndarray) -> Chroma:
    return Chroma(np.ascontiguousarray(lab[..., 1:]), np.ones(lab.shape[:2], np.float32))


class Reader:
    """Gives the frames that it holds."""

    def __init__(self, frames: Sequence[GreyFrame]) -> None:
        self._frames = {frame.frame: frame for frame in frames}

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        return iter([self._frames[frame] for frame in span])


_WITH_WEIGHTS = {"qwen", "dual_attention", "svd"}  # these run here with tiny random networks


def config_for(part: str, request: pytest.FixtureRequest) -> RunConfig:
    if part not in _WITH_WEIGHTS:
        return RunConfig()
    return load_config("paper", paper_settings(request.getfixturevalue("paper_models")))


# A part keeps its networks from one test to the next, as it does in a worker.


@pytest.fixture(scope="module", params=sorted(REFERENCE_MAKERS))
def maker(request: pytest.FixtureRequest) -> ReferenceMaker:
    return REFERENCE_MAKERS[request.param](config_for(request.param, request), CPU)


@pytest.fixture(scope="module", params=sorted(ANCHOR_COLORIZERS))
def colorizer(request: pytest.FixtureRequest) -> AnchorColorizer:
    return ANCHOR_COLORIZERS[request.param](config_for(request.param, request), CPU)


@pytest.fixture(scope="module", params=sorted(INTERPOLATORS))
def interpolator(request: pytest.FixtureRequest) -> Interpolator:
    return INTERPOLATORS[request.param](config_for(request.param, request), CPU)


def assert_usable(found: Chroma, shape: tuple[int, int]) -> None:
    assert found.ab.shape == (*shape, 2) and found.ab.dtype == np.float32
    assert found.confidence.shape == shape and found.confidence.dtype == np.float32
    assert np.isfinite(found.ab).all() and np.abs(found.ab).max() <= 128
    assert found.confidence.min() >= 0 and found.confidence.max() <= 1


def assert_facts(facts: Facts) -> None:
    assert facts.name and facts.version >= 1 and facts.memory.per_pixel > 0
    assert bool(facts.weights) == (facts.name in _WITH_WEIGHTS) == facts.needs_gpu
    assert bool(facts.memory.fixed) == bool(facts.network_calls) == bool(facts.weights)
    width, height = facts.working_size(1920, 1080)
    assert width * height <= facts.pixel_budget * 1.02
    assert width / height == pytest.approx(1920 / 1080, rel=0.02)


def coloured(
    part: AnchorColorizer,
    anchors: Sequence[int],
    stills: Sequence[ColourStill],
    frames: Sequence[GreyFrame],
) -> dict[int, Chroma]:
    found = list(part.colorize(anchors, stills, Reader(frames), seed=1))
    assert sorted(frame for frame, _ in found) == sorted(anchors)
    return dict(found)


# -- references --------------------------------------------------------------------------------


def test_facts_of_makers(maker: ReferenceMaker) -> None:
    assert_facts(maker.facts)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_still_has_its_frames_size_and_number(
    maker: ReferenceMaker, width: int, height: int
) -> None:
    frame = grey(film(width, height, 1))[0]
    still = maker.make(frame, "", 1, [])
    assert still.lab.shape == (height, width, 3) and still.lab.dtype == np.float32
    assert still.frame == frame.frame and still.digest
    assert np.array_equal(still.lab, maker.make(frame, "", 1, []).lab)


def test_stills_depend_on_prompt_seed_and_kindred(maker: ReferenceMaker) -> None:
    lab = film(96, 64, 1)[0]
    frame = grey([lab])[0]
    made = [
        maker.make(frame, "", 1, []),
        maker.make(frame, "A red coat.", 1, []),
        maker.make(frame, "", 2, []),
        maker.make(frame, "", 1, [ColourStill("kin", lab)]),
    ]
    assert len({still.digest for still in made}) == len(made)


# -- anchors -----------------------------------------------------------------------------------


def test_facts_of_anchors(colorizer: AnchorColorizer) -> None:
    assert_facts(colorizer.facts)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("shown", [None, FIRST, FIRST + 4, FIRST + 5])
def test_every_anchor_is_coloured(
    colorizer: AnchorColorizer, width: int, height: int, shown: int | None
) -> None:
    lab = film(width, height, 6)
    still = ColourStill("still", lab[2 if shown is None else shown - FIRST], shown)
    found = coloured(colorizer, [FIRST, FIRST + 4, FIRST + 5], [still], grey(lab))
    for result in found.values():
        assert_usable(result, (height, width))


def test_a_still_of_another_size_serves(colorizer: AnchorColorizer) -> None:
    lab = film(96, 64, 4)
    large = film(150, 100, 1)[0]
    for shown in (None, FIRST + 1):
        found = coloured(colorizer, [FIRST], [ColourStill("still", large, shown)], grey(lab))
        assert_usable(found[FIRST], (64, 96))


def test_the_frame_of_a_reference_gets_its_colours(colorizer: AnchorColorizer) -> None:
    lab = film(96, 64, 3)
    still = ColourStill("still", lab[1], FIRST + 1)
    found = coloured(colorizer, [FIRST + 1], [still], grey(lab))[FIRST + 1]
    assert np.abs(found.ab - lab[1][..., 1:]).mean() < 2


def test_same_input_same_bytes_for_anchors(colorizer: AnchorColorizer) -> None:
    lab = film(96, 64, 6)
    stills = [ColourStill("a", lab[1], FIRST + 1), ColourStill("b", lab[5], None)]
    once, again = (coloured(colorizer, [FIRST, FIRST + 4], stills, grey(lab)) for _ in range(2))
    for frame, result in once.items():
        assert np.array_equal(result.ab, again[frame].ab)
        assert np.array_equal(result.confidence, again[frame].confidence)


# -- interpolation -----------------------------------------------------------------------------


def test_facts_of_interpolators(interpolator: Interpolator) -> None:
    assert_facts(interpolator.facts)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_frame_is_filled_and_anchors_stay(
    interpolator: Interpolator, width: int, height: int, count: int
) -> None:
    lab = film(width, height, count)
    start, end = chroma(lab[0]), chroma(lab[-1])
    found = interpolator.fill(grey(lab), start, end, seed=1)
    assert len(found) == count
    for result in found:
        assert_usable(result, (height, width))
    assert np.array_equal(found[0].ab, start.ab) and np.array_equal(found[-1].ab, end.ab)


def test_same_input_same_bytes_for_segments(interpolator: Interpolator) -> None:
    lab = film(96, 64, 5)
    once, again = (
        interpolator.fill(grey(lab), chroma(lab[0]), chroma(lab[-1]), seed=1) for _ in range(2)
    )
    for first, second in zip(once, again, strict=True):
        assert np.array_equal(first.ab, second.ab)
        assert np.array_equal(first.confidence, second.confidence)


def test_a_segment_depends_on_its_arguments_alone(interpolator: Interpolator) -> None:
    lab = film(96, 64, 5)
    alone = interpolator.fill(grey(lab), chroma(lab[0]), chroma(lab[-1]), seed=1)
    interpolator.fill(grey(lab[::-1]), chroma(lab[-1]), chroma(lab[0]), seed=1)
    after = interpolator.fill(grey(lab), chroma(lab[0]), chroma(lab[-1]), seed=1)
    assert all(np.array_equal(a.ab, b.ab) for a, b in zip(alone, after, strict=True))


def test_grey_anchors_give_a_grey_segment(interpolator: Interpolator) -> None:
    lab = film(96, 64, 4)
    found = interpolator.fill(grey(lab), Chroma.grey(64, 96), Chroma.grey(64, 96), seed=1)
    assert all(not result.ab.any() and not result.confidence.any() for result in found)
