"""`shots.csv`: what is written is read again, what a spreadsheet makes of it too, no more."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colorize_core.errors import ShotListError
from colorize_core.shots.detect import Boundary
from colorize_core.shots.shot_list import COLUMNS, Shot, ShotList, read_csv, write_csv
from colorize_core.timebase import FrameSpan, Timeline

GOOD = "shot,start,end\n1,0,10\n2,10,12\n3,12,40\n"


def timeline(frames: int) -> Timeline:
    return Timeline(np.arange(frames, dtype=np.int64) * 1001, Fraction(1, 24000), Fraction(24))


def spans(shots: ShotList) -> list[tuple[int, int]]:
    return [(shot.span.start, shot.span.end) for shot in shots]


def test_a_detected_list_is_written_and_read_back() -> None:
    found = [Boundary(10, "cut"), Boundary(12, "fade"), Boundary(30, "dissolve")]
    shots = ShotList.from_boundaries(found, 40)
    text = write_csv(shots, timeline(40))
    assert text.splitlines()[0].decode() == ",".join(COLUMNS)
    assert text.splitlines()[2].decode() == "2,10,12,00:00:00.417,00:00:00.500,cut,yes,,"
    assert read_csv(text, 40) == shots


def test_a_film_of_one_frame_is_one_shot() -> None:
    shots = ShotList.from_boundaries([], 1)
    assert spans(shots) == [(0, 1)]
    assert read_csv(write_csv(shots, timeline(1)), 1) == shots


@pytest.mark.parametrize(
    "data",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace(",", ";").encode(),
        GOOD.replace(",", "\t").encode(),
        GOOD.rstrip().encode(),
        ("\n" + GOOD + "\n ,,\n\r\n").encode(),
        b'"end","Shot",mine, START\n"10",1,"a\nb",0\n12,2,,10\n40,3,,12\n',
    ],
    ids=["plain", "bom crlf", "semicolon", "tab", "no last newline", "blank lines", "reordered"],
)
def test_what_spreadsheets_make_of_it_is_read(data: bytes) -> None:
    assert spans(read_csv(data, 40)) == [(0, 10), (10, 12), (12, 40)]


def test_the_columns_for_people_are_read() -> None:
    data = (
        "shot,start,end,boundary,enabled,prompt,note\n"
        '1,0,10,,NO,"a harbour, at dawn",=1+1\n'
        "2,10,40,Fade,,,\n"
    )
    first, second = read_csv(data.encode(), 40)
    assert first == Shot(1, FrameSpan(0, 10), "start", False, "a harbour, at dawn", "=1+1")
    assert second == Shot(2, FrameSpan(10, 40), "fade", True, "", "")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "line 1: the first line has to name the columns; missing: shot, start, end"),
        ("1,0,40\n", "line 1: the first line has to name the columns; missing: shot, start, end"),
        ("shot,start\n1,0\n", "line 1: the first line has to name the columns; missing: end"),
        ("shot,start,end,start\n1,0,40,0\n", "line 1: column start is there twice"),
        ("shot,start,end\n", "has no shots"),
        ("shot,start,end\n1,1,40\n", "line 2: the first shot starts at 1, not at 0"),
        (
            "shot,start,end\n1,0,24\n\n2,20,40\n",
            "line 4: shot 2 starts at 20, but shot 1 ends at 24 (overlap)",
        ),
        (
            "shot,start,end\n1,0,24\n2,25,40\n",
            "line 3: shot 2 starts at 25, but shot 1 ends at 24 (gap)",
        ),
        (
            "shot,start,end\n1,0,24\n2,24,24\n",
            "line 3: shot 2 ends at 24, not after its start at 24",
        ),
        (
            "shot,start,end\n1,0,24\n2,24,41\n",
            "line 3: shot 2 ends at 41, but the film has 40 frames",
        ),
        (
            "shot,start,end\n1,0,24\n2,24,39\n",
            "line 3: the last shot ends at 39, but the film at 40",
        ),
        ("shot,start,end\n2,24,40\n1,0,24\n", "line 2: the first shot starts at 24, not at 0"),
        ("shot,start,end\n1,0,2.5\n", "line 2: end is “2.5”, not a whole number"),
        ("shot,start,end\n1,-1,40\n", "line 2: start is “-1”, not a whole number"),
        ("shot,start,end\n1,0,٤٠\n", "line 2: end is “٤٠”, not a whole number"),
        ("shot,start,end\n1,0\n", "line 2: no end"),
        ('shot,start,end\n1,0,"40\n', "line 2: not a line of a table"),
        ("shot,start,end,enabled\n1,0,40,maybe\n", "line 2: enabled is “maybe”, not yes or no"),
        ("shot,start,end,boundary\n1,0,40,wipe\n", "line 2: boundary is “wipe”, not one of start"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(data: str, what: str) -> None:
    with pytest.raises(ShotListError) as refused:
        read_csv(data.encode(), 40)
    assert what in refused.value.what
    assert refused.value.remedy


def test_other_encodings_are_refused_with_their_line() -> None:
    with pytest.raises(ShotListError, match="line 2: not UTF-8"):
        read_csv("shot,start,end,note\n1,0,40,Müller\n".encode("latin-1"), 40)


def test_a_list_that_does_not_tile_the_film_is_no_list() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        ShotList((Shot(1, FrameSpan(0, 3)), Shot(2, FrameSpan(4, 5))))
    with pytest.raises(ValueError, match="at least one"):
        ShotList(())
    with pytest.raises(ValueError, match="in the film"):
        write_csv(ShotList.from_boundaries([], 3), timeline(4))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text('0123456789,;\t\n\r" shotenda.-', max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes | str) -> None:
    raw = data if isinstance(data, bytes) else b"shot,start,end\n" + data.encode()
    try:
        shots = read_csv(raw, 40)
    except ShotListError as error:
        assert "\n" not in error.what
    else:
        assert shots.frames == 40


words = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@settings(max_examples=100, deadline=None)
@given(
    st.sets(st.integers(1, 99)),
    st.lists(st.tuples(st.sampled_from(["cut", "fade", "dissolve"]), st.booleans(), words, words)),
)
def test_any_list_survives_its_file(cuts: set[int], rows: list) -> None:
    starts = [0, *sorted(cuts)]
    rows += [("cut", True, "", "")] * len(starts)
    shots = ShotList(
        tuple(
            Shot(
                number, FrameSpan(start, end), kind, enabled, *(" ".join(t.split()) for t in texts)
            )
            for number, (start, end, (kind, enabled, *texts)) in enumerate(
                zip(starts, [*starts[1:], 100], rows, strict=False), start=1
            )
        )
    )
    assert read_csv(write_csv(shots, timeline(100)), 100) == shots


def test_merged_and_split_rows_are_numbered_anew() -> None:
    data = b"shot,start,end\n1,0,10\n4,10,20\n5,20,30\n5,30,40\n"
    assert [(s.number, s.span.start) for s in read_csv(data, 40)] == [
        (1, 0),
        (2, 10),
        (3, 20),
        (4, 30),
    ]
