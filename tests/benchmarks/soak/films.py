"""The films of a soak, each with its undisturbed result."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from colorize_core.config import load_config
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from tests.film import quiet
from tests.media_factory import Film, colour_frames, write_film

SETTINGS = ("anchor_interval=4",)
_SIZES = ((96, 64), (128, 96), (160, 120))
_SHORTEST, _LONGEST = 24, 72  # frames


@dataclass(frozen=True, slots=True)
class SoakFilm:
    """A film and what comes of it undisturbed: its frames, and the digests of the result and of
    its frame list."""

    request: FilmRequest
    frames: int
    digests: tuple[str, str]

    def request_in(self, folder: Path) -> FilmRequest:
        """The same film into an empty work root in `folder`."""
        places = {"output": str(folder / "out.mkv"), "work": str(folder / "work")}
        return self.request.model_copy(update=places)


def make_films(folder: Path, count: int, seed: int) -> list[SoakFilm]:
    """`count` films of one to three shots, all different."""
    draw = random.Random(seed)
    films = []
    for number in range(count):
        place = folder / f"film-{number:03d}"
        place.mkdir(parents=True)
        request = _made(place, seed * 1000 + number, draw)
        summary = colorize_film(request, quiet)
        films.append(SoakFilm(request, summary.frames_out, result_digests(request)))
    return films


def result_digests(request: FilmRequest) -> tuple[str, str]:
    """Of the result and of its frame list."""
    files = (Path(request.output), Path(f"{request.output}.frames.csv"))
    first, second = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return first, second


def _made(folder: Path, seed: int, draw: random.Random) -> FilmRequest:
    """A film with a shot list and one true still for each shot."""
    frames, shots = draw.randint(_SHORTEST, _LONGEST), draw.randint(1, 3)
    cuts = sorted(draw.sample(range(6, frames - 6, 6), shots - 1))
    starts, ends = [0, *cuts], [*cuts, frames]
    lengths = tuple(end - start for start, end in zip(starts, ends, strict=True))
    width, height = draw.choice(_SIZES)
    film = Film(width, height, frames, scenes=lengths, seed=seed)
    source = write_film(folder / "film.mkv", film)
    listed = "".join(
        f"{number},{start},{end}\n"
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
    )
    (folder / "shots.csv").write_text(f"shot,start,end\n{listed}")
    middles = [(start + end) // 2 for start, end in zip(starts, ends, strict=True)]
    for frame, picture in enumerate(colour_frames(film)):
        if frame in middles:
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"still{frame}.png")
    return FilmRequest(
        source=str(source),
        output=str(folder / "out.mkv"),
        work=str(folder / "work"),
        references=tuple(f"{folder}/still{frame}.png@f{frame}" for frame in middles),
        shots=str(folder / "shots.csv"),
        config=load_config("exemplar", SETTINGS),
    )
