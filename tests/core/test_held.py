"""Films that wait for a person: all is made, nothing is published, and what to type is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize_core.archive.ended import FilmEnd, ended_row
from colorize_core.archive.rollup import ArchiveRow
from colorize_core.config import load_config
from colorize_core.errors import Held
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest, latest_film
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.quality.figures import NAMES
from colorize_core.quality.flags import flags_of, held_shots
from colorize_core.quality.settings import QualitySettings
from colorize_core.request import FilmRequest
from colorize_core.retry import films_to_retry
from colorize_core.scope import ALL
from colorize_core.status import film_status
from tests.film import film_request, quiet


def paths(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


def test_a_film_is_held_and_published_once_somebody_has_looked(tmp_path: Path) -> None:
    request = film_request(tmp_path, "anchor_interval=3", "quality.hold_below=1")
    with pytest.raises(Held, match="score below 1") as caught:
        colorize_film(request, quiet)
    assert caught.value.exit_code == 2 and "--hold-below 0" in caught.value.remedy
    assert caught.value.summary is not None
    assert caught.value.summary["status"] == "held"
    assert set(caught.value.summary["held_shots"]) == {1, 2, 3}  # type: ignore[call-overload]
    assert not Path(request.output).exists()
    # all is made, and known as held
    film = latest_film(paths(request))
    assert film is not None
    assert (film.status, film.failures_in_a_row, film.output) == ("held", 0, None)
    assert {row.status for row in latest(paths(request), ShotRow).rows} == {"done"}
    assert "held for a person" in Path(str(caught.value.summary["report"])).read_text()
    status = film_status(paths(request))
    assert status.status == "held" and "shot 1" in " ".join(status.failures)
    assert films_to_retry(request.work, ALL) == []
    end = FilmEnd(status="failed", film=film.film, error_class="Held", error=film.error)
    row = ended_row(ArchiveRow(name="film", source=film.source), end, request.work, [])
    assert row.status == "held" and row.done and row.failures

    released = request.model_copy(update={"config": load_config("exemplar", ["anchor_interval=3"])})
    summary = colorize_film(released, quiet)
    assert (summary.status, summary.recomputed_segments, summary.held_shots) == ("published", 0, ())


def test_thresholds_change_no_work() -> None:
    plain, held = load_config(), load_config("exemplar", ["quality.hold_below=0.5"])
    assert held != plain and held.digest == plain.digest


def test_figures_are_in_the_manifest_and_found_again_without_it(tmp_path: Path) -> None:
    request = film_request(tmp_path, "anchor_interval=3")
    colorize_film(request, quiet)
    segments = latest(paths(request), SegmentRow).rows
    (shot, *_) = latest(paths(request), ShotRow).rows
    mine = [row for row in segments if row.shot == shot.shot]
    for name in NAMES:
        worst = min if name == "confidence" else max
        row = worst(mine, key=lambda row: getattr(row, name))
        assert getattr(shot, f"{name}_frame") == getattr(row, f"{name}_frame")
        assert getattr(shot, f"{name}_frame") in range(shot.start, shot.end)
        if name != "confidence":
            assert getattr(shot, name) == getattr(row, name)
    weighted = sum((row.score or 0) * (row.end - row.start) for row in mine)
    assert shot.score == pytest.approx(weighted / (shot.end - shot.start))

    strict = film_request(tmp_path, "anchor_interval=3", "quality.most_flicker=0")
    summary = colorize_film(strict, quiet)
    assert (summary.recomputed_segments, set(summary.flagged_shots)) == (0, {1, 2, 3})
    assert f"frame {shot.flicker_frame}: flickers" in Path(summary.report).read_text()

    for file in Path(paths(request).folder, "manifest").glob("*.parquet"):
        file.unlink()
    assert colorize_film(request, quiet).recomputed_segments == 0
    again = latest(paths(request), SegmentRow).rows
    figures = ["score", "confidence", *NAMES, *(f"{name}_frame" for name in NAMES)]
    assert [[getattr(row, each) for each in figures] for row in again] == [
        [getattr(row, each) for each in figures] for row in segments
    ]
    assert latest(paths(request), ShotRow).rows[0].score == shot.score


def test_what_is_past_a_threshold_is_named_worst_first() -> None:
    shot = ShotRow(
        film="f",
        shot=3,
        start=100,
        end=148,
        start_timecode="",
        end_timecode="",
        boundary="cut",
        flicker=6.0,
        flicker_frame=121,
        drift=50.0,
        drift_frame=130,
        confidence=0.9,
        score=0.3,
    )
    settings = QualitySettings(most_flicker=3, most_drift=5, hold_below=0.4)
    assert [str(flag) for flag in flags_of(shot, settings)] == [
        "leaves its reference's colours at frame 130 (50, at most 5)",
        "flickers at frame 121 (6, at most 3)",
    ]
    assert held_shots([shot], settings) == [shot]
    assert held_shots([shot.model_copy(update={"enabled": False})], settings) == []
    assert held_shots([shot.model_copy(update={"score": None})], settings) == []
