"""The report's pictures in Markdown: the shots to look at first, small, complete in itself."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from colorize_core.quality.flags import Flag
from colorize_core.report.gallery import MOST_SHOTS, gallery
from colorize_core.report.summary import Picture, ShotSummary, thumbnail
from colorize_core.timebase import FrameSpan

_PICTURE = Picture(thumbnail(np.full((90, 160, 3), (200, 60, 30), np.uint8)), "frame 5")
_SHOT = ShotSummary(
    number=1,
    span=FrameSpan(0, 24),
    start_s=Fraction(0),
    end_s=Fraction(1),
    status="done",
    confidence=0.9,
    source=_PICTURE,
    references=(_PICTURE,),
    results=(_PICTURE,) * 3,
)


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(r"\| \d{4} at ", line)]


def test_what_to_check_comes_first_and_then_the_least_score() -> None:
    shots = [
        _SHOT,
        replace(_SHOT, number=2, score=0.7),
        replace(_SHOT, number=3, score=0.8, flags=(Flag("flicker", 7.3, 3.0, 9),)),
        replace(_SHOT, number=4, status="failed", confidence=None, reason="a | b", results=()),
    ]
    shown = rows(gallery(shots, "/work/report/index.html"))
    assert [row[2:6] for row in shown] == ["0004", "0003", "0002", "0001"]
    cells = shown[0].strip("| ").split(" | ")
    assert cells[1] == "failed: a / b"  # a bar would end the cell
    assert cells[-1] == "–"
    assert "done, score 0.80, confidence 0.90: flickers at frame 9 (7.3, at most 3)" in shown[1]


def test_pictures_are_small_jpegs() -> None:
    (row,) = rows(gallery([_SHOT], "/work/report/index.html"))
    found = re.findall(r"!\[(\w+), frame 5\]\(data:image/jpeg;base64,([^)]+)\)", row)
    assert [what for what, _ in found] == ["source", "still", "result"]
    for _, data in found:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None and picture.shape == (81, 144, 3)
        blue, green, red = picture.mean((0, 1))
        assert red > 180 and green < 80 and blue < 60


def test_a_long_film_is_cut_and_says_so() -> None:
    shots = [replace(_SHOT, number=number + 1) for number in range(10 * MOST_SHOTS)]
    text = gallery(shots, "/work/report/index.html")
    assert len(rows(text)) == MOST_SHOTS
    assert f"{MOST_SHOTS} of {10 * MOST_SHOTS} shots" in text
    assert len(text) < 500_000


@pytest.mark.parametrize(
    ("report", "link"),
    [
        ("/a b/index.html", "(file:///a%20b/index.html)"),
        ("s3://me:word@shop/a b/index.html", "(s3://%2A%2A%2A@shop/a%20b/index.html)"),
    ],
)
def test_the_link_to_the_report(report: str, link: str) -> None:
    text = gallery([_SHOT], report)
    assert link in text and "word" not in text
