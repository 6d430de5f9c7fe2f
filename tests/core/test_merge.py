"""Finished frames: exact luma, wanted colours, chroma where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from colorize_core.engines.contract import Chroma
from colorize_core.media.color import lstar_from_luma, rgb_from_ycbcr, srgb_to_lab
from colorize_core.media.master import master_format
from colorize_core.media.source import ColourTags
from colorize_core.merge import Merger, at_chroma_sites
from tests.core.media.test_color import info_of


def still(width: int, height: int, depth: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    wave = 0.5 + 0.3 * np.sin(x / 11) * np.cos(y / 13)
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.rint((16 + 219 * wave) * 2 ** (depth - 8)).astype(dtype)


def uniform(a: float, b: float, width: int, height: int) -> Chroma:
    ab = np.broadcast_to(np.array([a, b], np.float32), (height, width, 2)).copy()
    return Chroma(ab, np.ones((height, width), np.float32))


@pytest.mark.parametrize("depth", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("chroma", ["420", "422", "444", "440", "411", "410", "grey"])
def test_luma_is_kept_bit_for_bit(chroma: str, depth: int) -> None:
    info = info_of(
        width=97, height=61, depth=depth, chroma=chroma, pix_fmt="gray" * (chroma == "grey")
    )
    form = master_format(info, "exact_luma")
    luma = still(97, 61, depth)
    planes = Merger(info, "exact_luma").finish(luma, uniform(20, -20, 48, 30))
    assert np.array_equal(planes.y >> form.shift, luma)
    assert not (planes.y & ((1 << form.shift) - 1)).any()
    assert planes.cb.shape == planes.cr.shape == form.chroma_size[::-1]
    assert form.depth >= max(10, depth)


@pytest.mark.parametrize("chroma", [None, uniform(0, 0, 48, 30)])
@pytest.mark.parametrize("signal_range", [1, 2])
def test_grey_is_exactly_neutral(chroma: Chroma | None, signal_range: int) -> None:
    info = info_of(width=97, height=61, tags=ColourTags(range=signal_range))
    planes = Merger(info, "exact_luma").finish(still(97, 61, 8), chroma)
    assert (planes.cb == 512).all() and (planes.cr == 512).all()


@pytest.mark.parametrize("layout", ["420", "422", "444"])
def test_colours_come_out_as_wanted(layout: str) -> None:
    info = info_of(width=96, height=64, chroma=layout, tags=ColourTags(matrix=1))
    form = master_format(info, "exact_luma")
    planes = Merger(info, "exact_luma").finish(still(96, 64, 8), uniform(18, 12, 48, 32))
    rows, columns = 64 // planes.cb.shape[0], 96 // planes.cb.shape[1]
    full = [np.repeat(np.repeat(each, rows, 0), columns, 1) for each in (planes.cb, planes.cr)]
    lab = srgb_to_lab(rgb_from_ycbcr(np.dstack([planes.y, *full]), form.tags, form.depth))
    assert np.abs(lab[..., 1] - 18).mean() < 0.5 and np.abs(lab[..., 2] - 12).mean() < 0.5


def test_lab_keeps_lstar() -> None:
    info = info_of(width=97, height=61)
    form = master_format(info, "lab")
    assert (form.layout, form.depth) == ("444", 10)
    luma = still(97, 61, 8)
    planes = Merger(info, "lab").finish(luma, uniform(15, 10, 48, 30))
    lab = srgb_to_lab(rgb_from_ycbcr(np.dstack(planes), form.tags, form.depth))
    assert np.abs(lab[..., 0] - lstar_from_luma(luma, 8, form.tags)).max() < 0.2
    assert np.abs(lab[..., 1:] - (15, 10)).max() < 0.6


def test_lab_without_colours_is_grey() -> None:
    planes = Merger(info_of(width=97, height=61), "lab").finish(still(97, 61, 8), None)
    assert (planes.cb == 512).all() and (planes.cr == 512).all()


@pytest.mark.parametrize(
    ("location", "x", "y"),
    [(1, 0, 0.5), (2, 0.5, 0.5), (3, 0, 0), (4, 0.5, 0), (5, 0, 1), (6, 0.5, 1), (0, 0, 0.5)],
)
@pytest.mark.parametrize("size", [(20, 14), (21, 15)])
def test_chroma_sites(location: int, x: float, y: float, size: tuple[int, int]) -> None:
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    sited = at_chroma_sites(np.dstack([columns, rows]), (2, 2), location)
    assert sited.shape == ((height + 1) // 2, (width + 1) // 2, 2)
    inner = sited[1:-1, 1:-1]  # edges are repeated, so ramps bend there
    assert np.allclose(inner[..., 0], 2 * np.arange(1, sited.shape[1] - 1) + x)
    assert np.allclose(inner[..., 1], (2 * np.arange(1, sited.shape[0] - 1) + y)[:, None])


def test_422_is_averaged_across_only() -> None:
    rows, columns = np.mgrid[0:9, 0:12].astype(np.float32)
    sited = at_chroma_sites(np.dstack([columns, rows]), (2, 1), 1)
    assert sited.shape == (9, 6, 2)
    assert np.array_equal(sited[..., 1], rows[:, :6])


def test_dither_is_still_and_leaves_lstar_and_grey_alone() -> None:
    info = info_of(width=96, height=64)
    luma, chroma = still(96, 64, 8), uniform(18, 12, 48, 32)
    plain = Merger(info, "lab").finish(luma, chroma)
    merger = Merger(info, "lab", dither=0.7)
    first, second = merger.finish(luma, chroma), merger.finish(luma, chroma)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    moved = np.abs(first.cb.astype(int) - plain.cb.astype(int))
    assert 0 < moved.mean() < 4  # of 1024
    grey = merger.finish(luma, None)
    assert (grey.cb == 512).all() and (grey.cr == 512).all()
