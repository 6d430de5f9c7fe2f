"""What every error keeps: two lines, no secret, and itself across processes."""

from __future__ import annotations

import copy

import pytest

from colorize_core.errors import DamagedSource, KinecolorError, NotAVideo, as_text

SIGNED = "https://user:word@host/films/reel.mkv?X-Amz-Signature=5ecret"


@pytest.mark.parametrize(
    "error",
    [
        NotAVideo(f"{SIGNED} is not a film.", f"Look at {SIGNED}."),
        DamagedSource(f"{SIGNED} is damaged.", f"Get {SIGNED} again.", 7),
    ],
)
def test_no_secret_of_a_url_is_in_it(error: KinecolorError) -> None:
    for each in (error, copy.copy(error)):
        for text in (each.what, each.remedy, str(each), repr(each), as_text(each)):
            assert "word" not in text and "5ecret" not in text
        assert each.what.startswith("https://***@host/films/reel.mkv?… is ")


def test_nor_in_the_text_of_any_other_error() -> None:
    assert (
        as_text(OSError(f"403 for {SIGNED}"))
        == "OSError: 403 for https://***@host/films/reel.mkv?…"
    )


def test_it_crosses_to_another_process_whole() -> None:
    error = DamagedSource("It breaks.", "Get a whole copy.", 7)
    made, arguments = error.__reduce__()[:2]
    again = made(*arguments)
    assert (type(again), again.what, again.remedy, again.frame) == (
        DamagedSource,
        "It breaks.",
        "Get a whole copy.",
        7,
    )
