"""What a wrong command line says: exit code 1, two lines, and one JSON object with all keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from colorize_core.request import FilmRequest
from tests.conftest import ROOT
from tests.flows.conftest import KEYS, Colorize, Kinecolor

pytestmark = pytest.mark.xdist_group("cli")


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        (["--preset", "grand"], "no preset", "exemplar"),
        (["--set", "colour=loud"], "colour", "configuration.md"),
        (["--set", "anchor_interval=0"], "anchor_interval", "range"),
        (["--set", "merge"], "merge", "key=value"),
        (["-o", "film.avi"], "film.avi", ".mkv"),
        (["--shots", "no.csv"], "no.csv", "path"),
        (["--reference", "no.png@f5"], "no.png", "path"),
        (["--references", "nowhere"], "nowhere", "stills"),
        (["--workers", "0"], "--workers", "--help"),
        (["--colour"], "--colour", "--help"),
    ],
)
def test_what_is_wrong_is_said_in_two_lines(
    colorize: Colorize,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    what: str,
    remedy: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = colorize(*arguments)
    assert (said.code, said.out) == (1, "")
    assert what in said.error[0] and remedy in said.error[1]
    as_json = colorize(*arguments, "--json")
    assert as_json.code == 1 and as_json.error == said.error
    assert as_json.json.keys() >= KEYS and as_json.json["status"] == "error"
    assert what in as_json.json["error"] and remedy in as_json.json["remedy"]
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("arguments", [["colorize"], ["paint"], ["verify", "out.mkv"]])
def test_usage(kinecolor: Kinecolor, arguments: list[str]) -> None:
    said = kinecolor(*arguments)
    assert said.code == 1
    assert "--help" in said.error[1]


def test_a_stack_trace_with_debug_only(made: FilmRequest) -> None:
    arguments = ["colorize", made.source, "--preset", "grand", "--local", "--debug"]
    told = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert told.returncode == 1
    assert "Traceback" in told.stderr and "SettingError" in told.stderr


def test_no_reference_says_how_to_get_one(colorize: Colorize) -> None:
    said = colorize(stills=())
    assert said.code == 1
    assert "No colour reference" in said.error[0]
    assert "Export a frame" in said.error[1] and "--reference" in said.error[1]


def test_the_source_is_never_the_output(
    colorize: Colorize, made: FilmRequest, tmp_path: Path
) -> None:
    before = Path(made.source).read_bytes()
    assert "overwrite the source" in colorize("-o", made.source).error[0]
    link = tmp_path / "link.mkv"
    link.symlink_to(made.source)
    assert "overwrite the source" in colorize("-o", link).error[0]
    assert Path(made.source).read_bytes() == before


@pytest.mark.parametrize("moment", ["f36", "99", "00:00:02:00"])
def test_a_moment_outside_the_film(colorize: Colorize, made: FilmRequest, moment: str) -> None:
    still = made.references[0].replace("@f5", f"@{moment}")
    said = colorize(stills=(still,))
    assert said.code == 1
    assert moment in said.error[0] and "outside the film" in said.error[0]


def test_references_that_are_none(colorize: Colorize, tmp_path: Path) -> None:
    text, grey = tmp_path / "text.png", tmp_path / "grey.png"
    text.write_text("not a picture")
    Image.new("RGB", (96, 64), (90, 90, 90)).save(grey)
    assert "not a picture" in colorize(stills=(f"{text}@f5",)).error[0]
    assert "has no colour" in colorize(stills=(f"{grey}@f5",)).error[0]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no picture in the folder" in colorize("--references", empty, stills=()).error[0]
