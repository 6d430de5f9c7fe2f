"""Shot lists as spreadsheets, editors and mistakes leave them."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_input.case import Case, Place, Published, Refused
from tests.bad_input.containers import FRAMES

_HEADER = "shot,start,end\n"
_GOOD = _HEADER + "1,0,5\n2,5,12\n"
_PROMPTS = "shot,start,end,prompt\n"
_NO_TABLE = "line 1: .*(missing|not a line)"


def _list(content: str | bytes) -> Callable[[Place], list[str]]:
    return lambda place: place.colorize(place.film(), "--shots", place.given("shots.csv", content))


_ACCEPTED: dict[str, str | bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + _GOOD.encode(),
    "semicolons": _GOOD.replace(",", ";"),
    "tabs": _GOOD.replace(",", "\t"),
    "Windows' line ends": _GOOD.replace("\n", "\r\n"),
    "old Macs' line ends": _GOOD.replace("\n", "\r"),
    "blank lines": "\n\n" + _GOOD.replace("\n", "\n\n") + "\n\n",
    "no last line end": _GOOD.rstrip(),
    "duplicate numbers": _HEADER + "1,0,5\n1,5,12\n",
    "wrong numbers": _HEADER + "9,0,5\n4,5,12\n",
    "an unknown column": "shot,start,end,mood\n1,0,12,sad\n",
    "columns in another order": "END,Shot, start \n12,1,0\n",
    "a line end in quotes": _PROMPTS + '1,0,12,"red\nsky"\n',
    "a formula as a prompt": _PROMPTS + "1,0,12,=cmd|'/C calc'!A0\n",
    "markup as a prompt": _PROMPTS + "1,0,12,<script>alert(1)</script>{{ 7*7 }}\n",
    "a NUL in a prompt": _PROMPTS + "1,0,12,red\0sky\n",
    "more fields than columns": _HEADER + "1,0,12,and,more\n",
}
_REFUSED: dict[str, tuple[str | bytes, str]] = {
    "an empty list": ("", "missing: shot, start, end"),
    "a list of blanks": (" \n\t\n,,\n", "missing: shot, start, end"),
    "a header alone": (_HEADER, "no shots"),
    "a hole": (_HEADER + "1,0,5\n2,6,12\n", "line 3: .*gap"),
    "an overlap": (_HEADER + "1,0,5\n2,4,12\n", "line 3: .*overlap"),
    "a late start": (_HEADER + "1,1,12\n", "line 2: .*not at 0"),
    "an early end": (_HEADER + "1,0,11\n", "ends at 11, but the film at 12"),
    "beyond the end": (_HEADER + "1,0,13\n", "the film has 12 frames"),
    "a reversed span": (_HEADER + "1,0,5\n2,12,5\n", "line 3"),
    "an empty span": (_HEADER + "1,0,0\n", "line 2: .*ends at 0"),
    "a list out of order": (_HEADER + "2,5,12\n1,0,5\n", "line 2: .*not at 0"),
    "a list without a header": ("1,0,5\n2,5,12\n", _NO_TABLE),
    "a missing column": ("shot,start\n1,0\n", "missing: end"),
    "a column twice": ("shot,start,end,end\n1,0,12,12\n", "column end is there twice"),
    "missing fields": (_HEADER + "1\n", "no start"),
    "floats": (_HEADER + "1,0,12.0\n", "“12.0”, not a whole number"),
    "negative numbers": (_HEADER + "1,0,-12\n", "“-12”, not a whole number"),
    "a huge number": (_HEADER + f"1,0,{'9' * 5000}\n", "not a whole number"),
    "other digits in a list": (_HEADER + "1,0,١٢\n", "not a whole number"),
    "thousands": (_HEADER + '1,0,"1,200"\n', "not a whole number"),
    "timecodes for frames": (_HEADER + "1,00:00:00,00:00:12\n", "not a whole number"),
    "a NUL in a number": (_HEADER + "1,0,1\0002\n", "not a whole number|not a line"),
    "UTF-16": (_GOOD.encode("utf-16"), "not UTF-8"),
    "Latin-1": ((_PROMPTS + "1,0,12,blé\n").encode("latin-1"), "line 2: not UTF-8"),
    "bars for commas": (_GOOD.replace(",", "|"), "missing: shot, start, end"),
    "an open quote": (_PROMPTS + '1,0,12,"red\n', "not a line of a table"),
    "text behind a quote": (_PROMPTS + '1,0,12,"red" sky\n', "not a line of a table"),
    "a line of 10 MB": (_PROMPTS + "1,0,12," + "x" * 10_000_000 + "\n", "not a line of a table"),
    "10 MB of commas": ("," * 10_000_000, "missing: shot"),
    "a word for yes": ("shot,start,end,enabled\n1,0,12,maybe\n", "“maybe”, not yes or no"),
    "a boundary of its own": ("shot,start,end,boundary\n1,0,12,wipe\n", "boundary is “wipe”"),
    "a film as a shot list": (b"\x1a\x45\xdf\xa3" * 99, "not UTF-8|missing"),
    "JSON": ('[{"shot": 1, "start": 0, "end": 12}]', _NO_TABLE),
}


def _missing(place: Place) -> list[str]:
    return place.colorize(place.film(), "--shots", "shots.csv")


CASES = (
    *(Case(name, _list(content), Published(FRAMES)) for name, content in _ACCEPTED.items()),
    *(Case(name, _list(content), Refused(words)) for name, (content, words) in _REFUSED.items()),
    Case("no shot list", _missing, Refused("no shot list")),
)
