"""The report: one HTML file that opens from disk, for a person who checks a film."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import jinja2

from colorize_core.quality.figures import MEANINGS
from colorize_core.report.summary import FilmSummary, ShotSummary
from colorize_core.timebase import format_timecode

MOST_TO_CHECK = 12  # shots named on top, so that the worst are found without scrolling
_URGENCY = ("failed", "pending", "partial", "grey", "done")


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums over the shots that stand on top of the page."""

    shots: int
    coloured: int
    grey: int
    partial: int
    failed: int
    pending: int
    flagged: int
    held: int
    score: float | None


def build_report(film: FilmSummary, shots: Sequence[ShotSummary]) -> bytes:
    """The report as one self-contained UTF-8 HTML file: no other file, network or script needed.

    Rows stand in the order of `shots`. The same values give the same bytes.
    """
    page = _environment().get_template("report.html.j2")
    text = page.render(
        film=film,
        shots=shots,
        shape=_shape(film),
        totals=_totals(shots),
        to_check=to_check(shots),
        most_to_check=MOST_TO_CHECK,
        meanings=MEANINGS,
    )
    return text.encode()


def to_check(shots: Sequence[ShotSummary]) -> list[ShotSummary]:
    """The shots to look at first, worst first: failed, pending, partial, grey, then those that are
    held or flagged, by their score."""
    doubtful = [shot for shot in shots if shot.status != "done" or shot.held or shot.flags]
    doubtful.sort(key=lambda shot: (_URGENCY.index(shot.status), goodness(shot)))
    return doubtful


def goodness(shot: ShotSummary) -> float:
    """Small for shots that are worth a look: the score, or what there is in its place."""
    sure = 1.0 if shot.confidence is None else shot.confidence
    return sure if shot.score is None else shot.score


def _shape(film: FilmSummary) -> str:
    """CSS aspect ratio of the film on a screen, so that a picture has its place before it loads."""
    ratio = Fraction(film.width, film.height) * film.sar
    return f"{float(1 / ratio if film.rotation % 180 else ratio):.4f}"


def _totals(shots: Sequence[ShotSummary]) -> _Totals:
    by_status = [shot.status for shot in shots]
    rated = [shot for shot in shots if shot.score is not None]
    frames = sum(len(shot.span) for shot in rated)
    weighted = sum((shot.score or 0.0) * len(shot.span) for shot in rated)
    return _Totals(
        shots=len(shots),
        coloured=by_status.count("done") + by_status.count("partial"),
        grey=by_status.count("grey"),
        partial=by_status.count("partial"),
        failed=by_status.count("failed"),
        pending=by_status.count("pending"),
        flagged=sum(bool(shot.flags) for shot in shots),
        held=sum(shot.held for shot in shots),
        score=weighted / frames if frames else None,
    )


def templates_of(package: str) -> jinja2.Environment:
    """The templates that lie in a package. What they are given is escaped, and must be there."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _environment() -> jinja2.Environment:
    environment = templates_of("colorize_core.report")
    environment.filters.update(
        timecode=format_timecode, data_uri=_data_uri, rate=_rate, span_s=_span_s
    )
    return environment


def _data_uri(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def _rate(rate: Fraction) -> str:
    """``24`` or ``23.976 (24000/1001)``: exact, and readable."""
    return str(rate) if rate.denominator == 1 else f"{float(rate):.3f} ({rate})"


def _span_s(seconds: float) -> str:
    """A stretch of time for people: ``8.2 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
