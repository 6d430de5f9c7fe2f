"""The command line in this process, with what it printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from colorize_core.request import FilmRequest
from flows.cli import run
from tests.film import film_request

KEYS = {  # of the object that `kinecolor colorize --json` prints
    "status",
    "output",
    "work",
    "frames_in",
    "frames_out",
    "shots",
    "segments",
    "recomputed_segments",
    "reused_segments",
    "seconds",
    "luma_exact",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command line did: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def error(self) -> tuple[str, str]:
        """The two lines of an error: what, and what to do."""
        assert "Traceback" not in self.err
        what, remedy = self.err.splitlines()[-2:]
        assert what.startswith("Error: ") and remedy
        return what, remedy


Kinecolor = Callable[..., Said]
Colorize = Callable[..., Said]


@pytest.fixture
def kinecolor(capfd: pytest.CaptureFixture[str]) -> Kinecolor:
    """`kinecolor ARGUMENTS…`, run here."""

    def call(*arguments: str | Path) -> Said:
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        printed = capfd.readouterr()
        return Said(code, printed.out, printed.err)

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film of three shots with a shot list and true stills beside it (see `film_request`)."""
    return film_request(tmp_path_factory.mktemp("made"))


@pytest.fixture
def colorize(kinecolor: Kinecolor, made: FilmRequest, tmp_path: Path) -> Colorize:
    """`kinecolor colorize` of the made film, here, in an empty work root, with the made shot list;
    `stills` and `arguments` come on top. The result is `tmp_path`/out.mkv."""

    def call(*arguments: str | Path, stills: tuple[str, ...] | None = None) -> Said:
        references = made.references if stills is None else stills
        return kinecolor(
            "colorize",
            made.source,
            *(part for still in references for part in ("--reference", still)),
            *("-o", tmp_path / "out.mkv", "--work", tmp_path / "work", "--local"),
            *(() if "--shots" in arguments else ("--shots", str(made.shots))),
            *arguments,
        )

    return call
