"""What a case of bad input is: what a person types, and what has to come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.media_factory import colour_picture

# The way of the frames is what is asked here, not the quality of the colours.
QUICK = ("match.working_pixels=4096", "flow.working_pixels=4096", "flow.flow_preset=ultrafast")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case is.

    Attributes:
        folder: has all that is given; it is the current folder.
        results: where the work root and the film that comes out go, and nothing else may.
        films: whole films, shared by all cases (`containers.WHOLE`).
        finished: a work root in which film.mkv was colorized.
        server: URL of an HTTP server with bad manners (`servers.py`).
    """

    folder: Path
    results: Path
    films: Path
    finished: Path
    server: str

    @property
    def output(self) -> Path:
        return self.results / "out.mkv"

    @property
    def work(self) -> Path:
        return self.results / "work"

    def given(self, name: str, data: bytes | str) -> Path:
        """A file that is given."""
        path = self.folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def film(self, name: str = "film.mkv", whole: str = "film.mkv") -> Path:
        """A whole film that is given under a name."""
        return self.given(name, (self.films / whole).read_bytes())

    def still(self) -> Path:
        """A colour still, which shows no frame of any film."""
        path = self.folder / "still.png"
        if not path.exists():
            Image.fromarray(colour_picture(0, 0, 64, 48)).save(path)
        return path

    def colorize(self, source: str | Path, *arguments: str | Path) -> list[str]:
        """The command line that colorizes `source` from `still`."""
        return self.command(source, "--reference", f"{self.still()}@f0", *arguments)

    def command(self, source: str | Path, *arguments: str | Path) -> list[str]:
        """The command line that colorizes `source` from what `arguments` give."""
        settings = [part for each in QUICK for part in ("--set", each)]
        places = ["-o", str(self.output), "--work", str(self.work)]
        given = [str(each) for each in arguments]
        return ["colorize", *places, *settings, "--local", "--json", *given, "--", str(source)]


@dataclass(frozen=True, slots=True)
class Refused:
    """The command ends with `code`; its error has `words` (a regular expression), in two lines."""

    words: str
    code: int = 1


@dataclass(frozen=True, slots=True)
class Published:
    """A film of so many frames comes out; `warning` (a regular expression) is among the warnings,
    of which there are none where it is empty."""

    frames: int
    warning: str = ""


@dataclass(frozen=True, slots=True)
class RefusedOrPublished:
    """Chance decides what the damage hits: refused with `words`, or a film of `frames`. `fewer`:
    or of fewer, where nothing in the file says how many there were."""

    words: str
    frames: int
    fewer: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The command ends well; its standard output has `words` (a regular expression)."""

    words: str


Outcome = Refused | Published | RefusedOrPublished | Answered


@dataclass(frozen=True, slots=True)
class Case:
    """`make` puts the bad input in its place and gives the command line."""

    name: str
    make: Callable[[Place], Sequence[str]]
    outcome: Outcome
