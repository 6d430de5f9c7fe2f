"""The commands beside `colorize`: status, verify, doctor, and the help."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from tests.conftest import ROOT
from tests.film import MADE, SCENES, quiet
from tests.flows.conftest import Kinecolor
from tests.media_factory import write_film

pytestmark = pytest.mark.xdist_group("cli")

FRAMES = sum(SCENES)
COMMANDS = ("colorize", "shots", "status", "verify", "demo", "doctor")


@pytest.fixture(scope="module")
def finished(made: FilmRequest) -> FilmRequest:
    colorize_film(made, quiet)
    return made


def test_status(kinecolor: Kinecolor, finished: FilmRequest) -> None:
    work = finished.work
    folder = next((Path(work) / "films").iterdir())
    told = [
        kinecolor("status", work, "--json"),
        kinecolor("status", folder, "--json"),
        kinecolor("status", finished.source, "--work", work, "--json"),
    ]
    assert {said.code for said in told} == {0}
    assert told[0].json == told[1].json == told[2].json
    (film,) = told[0].json["films"]
    assert (film["title"], film["status"], film["frames"]) == ("film", "published", FRAMES)
    assert film["segments"] == {"done": 6} and film["output"] == finished.output
    said = kinecolor("status", work)
    assert said.code == 0 and "published" in said.out and "6 done" in said.out


def test_status_of_nothing(kinecolor: Kinecolor, made: FilmRequest, tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "nowhere", made.source):
        said = kinecolor("status", where, "--work", tmp_path)
        assert said.code == 1 and "--work" in said.error[1]


def test_verify(kinecolor: Kinecolor, finished: FilmRequest, tmp_path: Path) -> None:
    said = kinecolor("verify", finished.output, "--against", finished.source)
    assert said.code == 0
    assert "exact, every frame" in said.out and "agrees" in said.out
    as_json = kinecolor("verify", finished.output, "--against", finished.source, "--json")
    assert as_json.json["ok"] is True and as_json.json["frames_out"] == FRAMES

    tampered = tmp_path / "out.mkv"
    shutil.copy(finished.output, tampered)
    shutil.copy(f"{finished.output}.frames.csv", f"{tampered}.frames.csv")
    data = bytearray(tampered.read_bytes())
    data[len(data) // 2] ^= 0x10
    tampered.write_bytes(data)
    said = kinecolor("verify", tampered, "--against", finished.source)
    assert said.code == 1 and "is not" in said.error[0]


def test_verify_against_another_film(
    kinecolor: Kinecolor, finished: FilmRequest, tmp_path: Path
) -> None:
    other = write_film(tmp_path / "other.mkv", MADE, seed=5)
    said = kinecolor("verify", finished.output, "--against", other, "--json")
    assert said.code == 1
    assert json.loads(said.out)["luma_exact"] is False
    gone = kinecolor("verify", tmp_path / "gone.mkv", "--against", finished.source)
    assert gone.code == 1 and "gone.mkv" in gone.error[0]


def test_doctor(kinecolor: Kinecolor) -> None:
    said = kinecolor("doctor", "--json")
    checks = said.json["checks"]
    assert said.code == int(any(each["required"] and not each["ok"] for each in checks))
    assert len(kinecolor("doctor").out.splitlines()) >= len(checks)


def test_help_lists_every_command(kinecolor: Kinecolor) -> None:
    for arguments in ([], ["--help"]):
        said = kinecolor(*arguments)
        assert said.code == 0
        assert all(f"\n  {command}" in said.out for command in COMMANDS)


def test_it_is_a_program() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "flows.cli", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert told.returncode == 0 and told.stderr == ""
    assert all(command in told.stdout for command in COMMANDS)
