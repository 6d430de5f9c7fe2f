"""What writers left that were killed in the middle of it."""

from __future__ import annotations

from pathlib import Path

from colorize_core.local import colorize_film
from colorize_core.storage_local import TEMPORARY
from tests.film import film_request, quiet


def test_the_run_that_finishes_the_film_tidies_up(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    colorize_film(request, quiet)
    (film,) = Path(request.work, "films").iterdir()
    left = [film / folder / f"{TEMPORARY}1f" for folder in ("segments", "manifest", "references")]
    probe = Path(request.work, f"{TEMPORARY}2e")  # another film's run may be starting
    for each in (*left, probe):
        each.write_bytes(b"half")
    colorize_film(request, quiet)
    assert [each.exists() for each in (*left, probe)] == [False, False, False, True]
