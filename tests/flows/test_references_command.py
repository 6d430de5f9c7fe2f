"""`kinecolor references export` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.conftest import Kinecolor
from tests.panned_film import write_panned_film

pytestmark = pytest.mark.xdist_group("cli")


def test_the_frames_and_what_they_are_worth(
    kinecolor: Kinecolor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_panned_film(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = ("references", "export", tmp_path / "film.mkv", "--work", tmp_path / "work")
    said = kinecolor(*asked, "--count", 2)
    assert said.code == 0, said.err
    head, *rows = said.out.splitlines()
    assert head.split()[:4] == ["rank", "shot", "frame", "time"]
    assert " dB " in rows[0]
    assert len(list((tmp_path / "film-references").glob("*.png"))) == 2
    assert "--references" in said.err

    refused = kinecolor(*asked)
    assert refused.code == 1
    assert "film-references" in refused.error[0] and "-o" in refused.error[1]

    told = kinecolor(*asked, "--count", 1, "-o", tmp_path / "one", "--json").json
    (only,) = told["proposals"]
    assert Path(told["folder"], only["file"]).is_file()


def test_no_film_is_refused(kinecolor: Kinecolor, tmp_path: Path) -> None:
    assert kinecolor("references", "export", tmp_path / "none.mkv").code == 1
