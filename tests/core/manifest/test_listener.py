"""Whoever listens to a ledger hears of what changes, and of nothing else."""

from __future__ import annotations

from pathlib import Path

from colorize_core.manifest.commit import Ledger
from colorize_core.manifest.schema import Row
from colorize_core.paths import FilmPaths
from tests.core.manifest.rows import film, segment, shot


def test_it_hears_what_a_row_was_and_what_it_is(tmp_path: Path) -> None:
    ledger = Ledger(FilmPaths(str(tmp_path), "0123456789abcdef"))
    ledger.begin(film(), [shot(1)], [segment(1, 1), segment(1, 2)])
    heard: list[tuple[Row | None, Row]] = []
    ledger.listen(lambda before, row: heard.append((before, row)))
    before, other = ledger.segments()
    after = before.model_copy(update={"status": "running"})
    ledger.update_segments([after, other])
    ledger.update_segments([after])
    assert heard == [(before, after)]
