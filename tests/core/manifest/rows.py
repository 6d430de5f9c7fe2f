"""Small rows for tests of the manifest."""

from __future__ import annotations

from datetime import UTC, datetime

from colorize_core.manifest.schema import FilmRow, SegmentRow, ShotRow

FILM = "0123456789abcdef"
STARTED = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)


def segment(shot: int, index: int) -> SegmentRow:
    """A pending segment of 24 frames."""
    start = 1000 * shot + 24 * index
    return SegmentRow(
        film=FILM,
        shot=shot,
        segment=index,
        start=start,
        end=start + 24,
        start_pts=start * 512,
        last_pts=(start + 23) * 512,
        start_anchor=start,
        end_anchor=start + 24,
        references=("ab" * 32,),
        reference_part="images 1",
        anchors_part="match 1",
        interpolation_part="flow 1",
        config_digest="cd" * 32,
        seed=42,
    )


def done(row: SegmentRow) -> SegmentRow:
    return SegmentRow.model_validate(
        {
            **row.model_dump(),
            "status": "done",
            "uri": f"segments/{'ef' * 32}.parquet",
            "digest": "01" * 32,
            "bytes": 1234,
            "frames": 24,
            "confidence": 0.75,
            "seconds": 1.5,
        }
    )


def shot(number: int) -> ShotRow:
    return ShotRow(
        film=FILM,
        shot=number,
        start=1000 * number,
        end=1000 * number + 48,
        start_timecode="00:00:00.000",
        end_timecode="00:00:02.000",
        boundary="cut",
    )


def film(run: str = "run-1") -> FilmRow:
    return FilmRow(
        film=FILM,
        title="film.mp4",
        source="s3://reels/film.mp4",
        digest=FILM * 4,
        bytes=10**9,
        frames=2048,
        rate="24000/1001",
        width=720,
        height=576,
        sar="16/15",
        pix_fmt="gray10le",
        depth=10,
        config="{}",
        config_digest="cd" * 32,
        warnings=("Shot 3 stays grey.",),
        run=run,
        started=STARTED,
    )
