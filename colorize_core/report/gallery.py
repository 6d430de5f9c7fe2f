"""The report's pictures in Markdown, for pages that show a run without its report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core import storage
from colorize_core.report.build import goodness, to_check
from colorize_core.report.summary import Picture, ShotSummary
from colorize_core.timebase import format_timecode

MOST_SHOTS = 30
_WIDTH = 144  # of a picture: thirty shots stay under half a megabyte, and three fit on a page
_QUALITY = 60  # of JPEG


def gallery(shots: Sequence[ShotSummary], report: str) -> str:
    """A Markdown table, one row a shot with small pictures of source, still and result: the shots
    to look at first, then those with the least score, `MOST_SHOTS` at most. `report`: the page with
    all of them.

    Returns:
        Markdown that needs no other file: pictures are JPEG in `data:` URIs.
    """
    first = to_check(shots)
    named = {shot.number for shot in first}
    rest = sorted((shot for shot in shots if shot.number not in named), key=goodness)
    shown = [*first, *rest][:MOST_SHOTS]
    lines = [
        f"{len(shown)} of {len(shots)} shots, what to check first on top. "
        f"[The report]({_link(report)}) has all of them, larger: `{storage.redact(report)}`",
        "",
        "| shot | status | source | still | result |",
        "|---|---|---|---|---|",
        *(_row(shot) for shot in shown),
    ]
    return "\n".join(lines)


def _link(report: str) -> str:
    path = storage.local_path(report)
    return quote(storage.redact(report), safe=":/@?…") if path is None else path.as_uri()


def _row(shot: ShotSummary) -> str:
    result = shot.results[len(shot.results) // 2] if shot.results else None
    figures = {"score": shot.score, "confidence": shot.confidence}
    rated = "".join(f", {name} {value:.2f}" for name, value in figures.items() if value is not None)
    cells = [
        f"{shot.number:04d} at {format_timecode(shot.start_s)}",
        f"{shot.status}{rated}{': ' if shot.why else ''}{shot.why}",
        _image("source", shot.source),
        _image("still", shot.references[0] if shot.references else None),
        _image("result", result),
    ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _image(what: str, picture: Picture | None) -> str:
    if picture is None:
        return "–"
    jpeg = base64.b64encode(_small_jpeg(picture.webp)).decode()
    return f"![{what}, {picture.label}](data:image/jpeg;base64,{jpeg})"


def _small_jpeg(webp: bytes) -> bytes:
    large: NDArray[np.uint8] = np.asarray(
        cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR), np.uint8
    )
    height = max(1, round(large.shape[0] * _WIDTH / large.shape[1]))
    small = cv2.resize(large, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()
