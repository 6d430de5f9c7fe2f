"""A film of any length that is only planned: there is no source, and nothing to see."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from colorize_core.config import RunConfig
from colorize_core.film import Film
from colorize_core.media.source import ColourTags, SourceInfo
from colorize_core.paths import FilmPaths, film_id
from colorize_core.request import FilmRequest
from colorize_core.shot_work import ShotChoice
from colorize_core.shots.shot_list import Shot, ShotList
from colorize_core.timebase import FrameSpan, Timeline
from colorize_core.work import StillRef

SEGMENTS_IN_A_SHOT = 5  # a shot of five seconds
_INTERVAL = RunConfig().anchor_interval
_DIGEST = "0123456789abcdef" * 4
_RATE = Fraction(24)


def planned_film(
    folder: Path, segments: int, in_a_shot: int = SEGMENTS_IN_A_SHOT
) -> tuple[Film, FilmRequest, ShotList]:
    """A film of so many segments, as if it had been scanned."""
    frames = segments * _INTERVAL
    info = SourceInfo(
        uri=str(folder / "film.mkv"),
        digest=_DIGEST,
        bytes=1,
        container="matroska",
        codec="ffv1",
        video_index=0,
        width=96,
        height=64,
        sar=Fraction(1),
        rotation=0,
        pix_fmt="gray",
        depth=8,
        chroma="grey",
        tags=ColourTags(),
        frames=frames,
    )
    work = str(folder / "work")
    timeline = Timeline(np.arange(frames, dtype=np.int64), 1 / _RATE, _RATE)
    film = Film(FilmPaths(work, film_id(_DIGEST)), "film", info, timeline, "", 0.0)
    request = FilmRequest(source=info.uri, output=str(folder / "out.mkv"), work=work)
    return film, request, _shots(segments, in_a_shot)


def _shots(segments: int, in_a_shot: int) -> ShotList:
    length = in_a_shot * _INTERVAL
    spans = [FrameSpan(i * length, (i + 1) * length) for i in range(segments // in_a_shot)]
    return ShotList(tuple(Shot(i + 1, span) for i, span in enumerate(spans)))


def choice(film: Film, shot: Shot) -> ShotChoice:
    """A still of the shot's first frame, as if a person had given it."""
    still = StillRef(_DIGEST, film.paths.reference(_DIGEST), shot.span.start)
    return ShotChoice((still,), "shows its first frame", 1.0)
