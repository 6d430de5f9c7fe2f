"""Measured seconds in a work root."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from colorize_core.colorize import perform, prepare_process
from colorize_core.config import load_config
from colorize_core.engines.catalog import PartFacts
from colorize_core.timebase import FrameSpan
from colorize_core.timings import FINISH, SHIPPED, Timings, units, work_in
from colorize_core.work import AnchorsItem, ChunkItem, StillRef
from tests.film import scanned_film

GPU = "NVIDIA H100 80GB HBM3"


def test_units_are_megapixels_of_frames_or_of_network_evaluations() -> None:
    assert units(0, 25, 184_320) == pytest.approx(4.608)
    assert units(100, 25, 184_320) == pytest.approx(460.8)


def test_nothing_measured_means_the_shipped_figure_or_none(tmp_path: Path) -> None:
    timings = Timings.load(str(tmp_path))
    assert timings.rate("flow/2", "cpu") == SHIPPED["flow/2"]["cpu"]
    assert timings.rate("svd/1", GPU) is None and timings.rate("flow/3", "cpu") is None
    assert not timings.is_measured("flow/2", "cpu") and not timings.warning


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    timings = Timings.load(str(tmp_path))
    timings.add("svd/1", GPU, units=10, seconds=5)
    timings.add("svd/1", GPU, units=10, seconds=15)
    timings.add("flow/2", "cpu", units=1, seconds=9)
    timings.save(str(tmp_path))
    again = Timings.load(str(tmp_path))
    assert again.rate("svd/1", GPU) == 1 and again.rate("flow/2", "cpu") == 9
    assert again.is_measured("svd/1", GPU) and not again.is_measured("svd/1", "another GPU")


def test_earlier_runs_count_half(tmp_path: Path) -> None:
    before = Timings.load(str(tmp_path))
    before.add("svd/1", GPU, units=10, seconds=20)
    before.save(str(tmp_path))
    now = Timings.load(str(tmp_path))
    now.add("svd/1", GPU, units=10, seconds=5)
    assert now.rate("svd/1", GPU) == pytest.approx((5 + 10) / (10 + 5))
    now.save(str(tmp_path))
    assert Timings.load(str(tmp_path)).rate("svd/1", GPU) == pytest.approx(1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"totals": {"a": {"cpu": {"units": 0}}}}'])
def test_a_damaged_file_is_passed_over_with_a_warning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "timings.json").write_bytes(content)
    timings = Timings.load(str(tmp_path))
    assert "timings.json is damaged" in timings.warning
    assert timings.rate("flow/2", "cpu") == SHIPPED["flow/2"]["cpu"]
    timings.save(str(tmp_path))
    assert not Timings.load(str(tmp_path)).warning


def test_threads_add_side_by_side() -> None:
    timings = Timings({})
    with ThreadPoolExecutor(8) as threads:
        for _ in range(2000):
            threads.submit(timings.add, "svd/1", GPU, 1, 2)
    assert timings.rate("svd/1", GPU) == 2


def test_the_work_in_an_item(tmp_path: Path) -> None:
    config = load_config("exemplar")
    facts = PartFacts.of(config)
    film = scanned_film(tmp_path, 12).ref
    pixels = 96 * 64 / 1e6

    def anchors(frame: int | None) -> AnchorsItem:
        still = StillRef("still", "still.png", frame)
        return AnchorsItem(film, config, 1, FrameSpan(0, 12), (0, 8, 11), (still,), ("a", "b", "c"))

    walked, matched = work_in(anchors(5), facts), work_in(anchors(None), facts)
    assert walked == ("match/2", pytest.approx(12 * pixels))
    assert matched == ("match/2", pytest.approx(3 * pixels))
    chunk = ChunkItem(film, config, 1, FrameSpan(0, 12), ((None, 12),), str(tmp_path / "chunk.mkv"))
    assert work_in(chunk, facts) == (FINISH, pytest.approx(12 * pixels))
    prepare_process()
    timings = Timings({})
    outcome = perform(chunk)
    timings.add_outcome(chunk, outcome, facts)
    assert timings.rate(FINISH, "cpu") == pytest.approx(outcome.seconds / (12 * pixels))


def test_the_file_is_readable(tmp_path: Path) -> None:
    timings = Timings({})
    timings.add("svd/1", GPU, units=4, seconds=2)
    timings.save(str(tmp_path))
    file = json.loads((tmp_path / "timings.json").read_text())
    assert file["totals"] == {"svd/1": {GPU: {"units": 4.0, "seconds": 2.0}}}
