from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from colorize_core.errors import InputError
from colorize_core.timebase import FrameSpan, Timeline, format_timecode, is_moment, parse_moment

NTSC = Timeline(
    np.arange(300, dtype=np.int64) * 1001 + 5000, Fraction(1, 24000), Fraction(24000, 1001)
)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("f0", 0),
        ("f250", 250),
        ("0", 0),
        ("1", 23),  # frame 23 is shown at 0.959 s, frame 24 at 1.001 s
        ("1.001", 24),
        ("00:00:01:00", 24),  # a label counts frames
        ("00:00:10:12", 252),
        ("00:01.5", 35),
        ("00:00:02.002", 48),
    ],
)
def test_moments(text: str, frame: int) -> None:
    assert is_moment(text)
    assert parse_moment(text, NTSC) == frame


@pytest.mark.parametrize("text", ["f300", "12.6", "00:01:00", "99999999999"])
def test_moments_outside_the_film(text: str) -> None:
    with pytest.raises(InputError, match="outside the film"):
        parse_moment(text, NTSC)


@pytest.mark.parametrize("text", ["", "f", "f-1", "-1", "1e3", "0:0:0:0:0", "soon", "f1.5", "nan"])
def test_no_moments(text: str) -> None:
    assert not is_moment(text)
    with pytest.raises(InputError, match="not a moment"):
        parse_moment(text, NTSC)


def test_the_frame_on_screen_with_variable_rate() -> None:
    line = Timeline(np.array([0, 40, 500, 540], np.int64), Fraction(1, 1000), Fraction(25))
    assert [parse_moment(text, line) for text in ("0.039", "0.04", "0.3", "0.5")] == [0, 1, 1, 2]


def test_drop_frame_labels() -> None:
    line = Timeline(
        np.arange(20_000, dtype=np.int64) * 1001, Fraction(1, 30000), Fraction(30000, 1001)
    )
    assert parse_moment("00:01:00;02", line) == 1800  # ;00 and ;01 are skipped
    assert parse_moment("00:10:00;00", line) == 17982
    assert parse_moment("00:01:00:02", line) == 1802


def test_time_is_exact() -> None:
    assert NTSC.time_s(299) == Fraction(299 * 1001, 24000)
    assert format_timecode(Fraction(3_723_999_999, 1_000_000)) == "01:02:03.999"


def test_values_are_valid_from_birth() -> None:
    for start, end in [(1, 1), (2, 1), (-1, 3)]:
        with pytest.raises(ValueError):
            FrameSpan(start, end)
    for pts in ([], [1, 1], [2, 1]):
        with pytest.raises(ValueError):
            Timeline(np.array(pts, np.int64), Fraction(1, 24), Fraction(24))
