"""Small films, scanned and asked for, as most tests of the run need them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colorize_core.config import load_config
from colorize_core.film import Film, open_film
from colorize_core.request import FilmRequest
from colorize_core.work import FilmRef
from tests.media_factory import Film as MadeFilm
from tests.media_factory import colour_frames, write_film

SCENES = (10, 14, 12)
MADE = MadeFilm(width=96, height=64, frames=sum(SCENES), scenes=SCENES, colour=False)


@dataclass(frozen=True, slots=True)
class ScannedFilm:
    """A film in a work root, and how workers find it."""

    film: Film
    ref: FilmRef


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def film_request(
    folder: Path,
    *settings: str,
    stills: tuple[int, ...] = (5, 17, 30),
    preset: str = "exemplar",
) -> FilmRequest:
    """A request for a film of three shots (10, 14 and 12 frames) with true stills at `stills`."""
    source = folder / "film.mkv"
    if not source.exists():
        write_film(source, MADE)
        (folder / "shots.csv").write_text("shot,start,end\n1,0,10\n2,10,24\n3,24,36\n")
        pictures = list(colour_frames(MADE))
        for frame in (5, 17, 20, 30):
            Image.fromarray(np.ascontiguousarray(pictures[frame])).save(
                folder / f"still{frame}.png"
            )
    return FilmRequest(
        source=str(source),
        output=str(folder / "out.mkv"),
        work=str(folder / "work"),
        references=tuple(f"{folder}/still{frame}.png@f{frame}" for frame in stills),
        shots=str(folder / "shots.csv"),
        config=load_config(preset, settings),
        accept_licence=preset == "paper",
    )


def command_line(request: FilmRequest) -> list[str]:
    """`kinecolor` and this, without settings, asks for the same."""
    return [
        "colorize",
        *("--preset", request.config.preset),
        *(("--accept-licence",) if request.accept_licence else ()),
        request.source,
        *("-o", request.output, "--work", request.work, "--shots", str(request.shots)),
        *(part for still in request.references for part in ("--reference", still)),
    ]


def scanned_film(folder: Path, frames: int) -> ScannedFilm:
    """One shot of `frames` frames."""
    source = write_film(folder / "one.mkv", MADE, frames=frames, scenes=())
    request = FilmRequest(
        source=str(source),
        output=str(folder / "one-out.mkv"),
        work=str(folder / "work"),
        shots=None,
    )
    film = open_film(request, quiet)
    return ScannedFilm(film, film.ref)


def stored_segments(request: FilmRequest) -> int:
    """How many segments are in the work root by now, whole."""
    return sum(1 for _ in Path(request.work).glob("films/*/segments/[!.]*"))
