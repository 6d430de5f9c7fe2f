"""Colour against the formulas, in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from colorize_core.errors import UnsupportedSource
from colorize_core.media.color import (
    chroma_at_luma,
    coding,
    lab_to_srgb,
    lstar_from_luma,
    offsets_from_chroma,
    resolve_tags,
    rgb_from_ycbcr,
    srgb_to_lab,
    unit_luma,
    ycbcr_from_rgb,
)
from colorize_core.media.source import ColourTags, SourceInfo

WHITE = np.array([0.95047, 1.0, 1.08883])
FROM_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556],
     [0.0556434, -0.2040259, 1.0572252]]
)  # fmt: skip
BT709 = ColourTags(matrix=1, primaries=1, transfer=1, range=1)


def lab_by_formula(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.linalg.inv(FROM_XYZ).T / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def info_of(**changes: object) -> SourceInfo:
    values: dict[str, object] = {
        "uri": "film.mkv", "digest": "0" * 64, "bytes": 1, "container": "matroska",
        "codec": "ffv1", "video_index": 0, "width": 640, "height": 480, "sar": 1, "rotation": 0,
        "pix_fmt": "yuv420p", "depth": 8, "chroma": "420", "tags": ColourTags(), "frames": 1,
    }  # fmt: skip
    return SourceInfo.model_validate(values | changes)


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (40, 50, 3)).astype(np.float32)


def test_lab_is_the_formula(colours: np.ndarray) -> None:
    assert np.abs(srgb_to_lab(colours) - lab_by_formula(colours.astype(float))).max() < 0.05


def test_lab_and_back_is_the_same_colour(colours: np.ndarray) -> None:
    assert np.abs(lab_to_srgb(srgb_to_lab(colours)) - colours).max() < 0.0005


def test_lstar_of_luma_is_that_of_the_grey() -> None:
    grey = np.linspace(0, 1, 220)
    wanted = lab_by_formula(np.repeat(grey[None, :, None], 3, axis=2))[0, :, 0]
    got = lstar_from_luma(np.arange(16, 236, dtype=np.uint8)[None], 8, BT709)[0]
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() < 0.001
    assert lstar_from_luma(np.array([[0, 255]], np.uint8), 8, BT709).tolist() == [[0, 100]]


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9])
def test_ycbcr_and_back(colours: np.ndarray, matrix: int, limited: bool, depth: int) -> None:
    tags = ColourTags(matrix=matrix, range=1 if limited else 2)
    codes = ycbcr_from_rgb(colours, tags, depth)
    assert np.abs(rgb_from_ycbcr(codes, tags, depth) - colours).max() < 2.5 / (1 << depth) + 2e-4


def test_ycbcr_of_known_colours() -> None:
    rgb = np.array([[[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]]], np.float32)
    codes = ycbcr_from_rgb(rgb, BT709, 8)[0].tolist()
    assert codes == [[235, 128, 128], [16, 128, 128], [63, 102, 240], [32, 240, 118]]


def test_chroma_at_luma_has_the_wanted_colour() -> None:
    rng = np.random.default_rng(2)
    luma = rng.uniform(0.1, 0.9, (60, 80)).astype(np.float32)
    ab = rng.uniform(-30, 30, (60, 80, 2)).astype(np.float32)
    code = coding(BT709, 10)
    chroma = np.dstack(chroma_at_luma(luma, ab, code))
    rgb = luma[..., None] + chroma @ offsets_from_chroma(code).T
    inside = (rgb > 0.001).all(-1) & (rgb < 0.999).all(-1)
    error = np.abs(lab_by_formula(rgb.astype(float))[..., 1:] - ab).max(-1)[inside]
    assert inside.mean() > 0.7
    assert error.mean() < 0.05 and np.percentile(error, 99) < 1


def test_colours_outside_keep_hue_and_luma() -> None:
    luma = np.full((1, 3), 0.9, np.float32)
    hue = np.array([[[9, -6], [30, -20], [90, -60]]], np.float32)
    code = coding(BT709, 10)
    cb, cr = chroma_at_luma(luma, hue, code)
    rgb = luma[..., None] + np.dstack([cb, cr]) @ offsets_from_chroma(code).T
    assert rgb.min() > -1e-6 and rgb.max() < 1 + 1e-6
    assert np.abs(rgb @ code.weights - 0.9).max() < 1e-6
    angles = np.arctan2(cr, cb)[0]
    assert np.abs(angles - angles[0]).max() < 0.2


@pytest.mark.parametrize("luma", [0.0, 0.02, 0.5, 1.0])
def test_no_colour_is_no_chroma(luma: float) -> None:
    cb, cr = chroma_at_luma(
        np.full((2, 2), luma, np.float32), np.zeros((2, 2, 2), np.float32), coding(BT709, 16)
    )
    assert max(np.abs(cb).max(), np.abs(cr).max()) < 1e-6


def test_black_and_white_take_no_colour() -> None:
    cb, cr = chroma_at_luma(
        np.array([[0, 1]], np.float32), np.full((1, 2, 2), 50, np.float32), coding(BT709, 10)
    )
    assert np.abs(cb).max() == np.abs(cr).max() == 0


@pytest.mark.parametrize(
    ("changes", "matrix", "signal_range", "location"),
    [
        ({}, 6, 1, 1),
        ({"height": 720}, 1, 1, 1),
        ({"pix_fmt": "yuvj420p"}, 6, 2, 1),
        ({"pix_fmt": "gray10le", "chroma": "grey"}, 6, 2, 0),
        ({"pix_fmt": "gray", "chroma": "grey", "tags": ColourTags(matrix=0, range=1)}, 6, 1, 0),
        ({"tags": ColourTags(matrix=9, range=2, chroma_location=3)}, 9, 2, 3),
        ({"pix_fmt": "yuv444p", "chroma": "444"}, 6, 1, 0),
    ],
)
def test_unspecified_tags(
    changes: dict[str, object], matrix: int, signal_range: int, location: int
) -> None:
    tags = resolve_tags(info_of(**changes))
    assert (tags.matrix, tags.range, tags.chroma_location) == (matrix, signal_range, location)
    assert (tags.primaries, tags.transfer) == (1, 1)


def test_matrices_without_luma_are_refused() -> None:
    with pytest.raises(UnsupportedSource, match="matrix"):
        resolve_tags(info_of(tags=ColourTags(matrix=8)))


def test_unit_luma_clips_headroom() -> None:
    assert unit_luma(np.array([[0, 64, 940, 1023]], np.uint16), 10, BT709).tolist() == [
        [0, 0, 1, 1]
    ]
