"""`kinecolor references export`: from a film to frames, to coloured stills, and back."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize_core import storage
from colorize_core.errors import InputError, ReferenceUnusable
from colorize_core.film import Film, open_film
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import ShotRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.propose import TABLE, Proposal, export, propose, request_for
from colorize_core.references.stills import list_references, load_still
from colorize_core.request import FilmRequest
from tests.film import MADE, quiet
from tests.media_factory import write_film
from tests.panned_film import BLACK, SHOTS, SHOTS_CSV, U8, write_panned_film


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panned")


@pytest.fixture(scope="module")
def truth(folder: Path) -> list[U8]:
    return write_panned_film(folder)


@pytest.fixture(scope="module")
def request_(folder: Path, truth: list[U8]) -> FilmRequest:
    """For the film alone, scanned, with the shot list of a person."""
    request = request_for(str(folder / "film.mkv"), str(folder / "work"))
    film = open_film(request, quiet)
    storage.replace_atomically(film.paths.shots_csv, SHOTS_CSV.encode())
    return request


@pytest.fixture(scope="module")
def proposed(request_: FilmRequest) -> tuple[Film, tuple[Proposal, ...]]:
    return propose(request_, 20, 2, quiet)


def test_frames_are_ranked_and_none_is_black(
    proposed: tuple[Film, tuple[Proposal, ...]],
) -> None:
    _, proposals = proposed
    assert [each.rank for each in proposals] == list(range(1, len(proposals) + 1))
    assert {each.shot for each in proposals} >= {2}
    changing = [each.frame for each in proposals if each.shot == 2]
    assert {frame < 44 for frame in changing} == {True, False}, "both halves of the second shot"
    for each in proposals:
        start, end = SHOTS[each.shot - 1]
        assert start <= each.frame < end and each.frame not in BLACK
        assert each.frames == end - start
        assert each.film_gain_db <= sum(each.gain_db for each in proposals)
    gains = [each.film_gain_db for each in proposals]
    assert gains == sorted(gains, reverse=True)


def test_kindred_shots_share(proposed: tuple[Film, tuple[Proposal, ...]]) -> None:
    """Shots 1 and 3 show the same scene: the first still of either serves both."""
    _, proposals = proposed
    first, *later = [each for each in proposals if each.shot in (1, 3)]
    assert first.serves == ((3,) if first.shot == 1 else (1,))
    for each in later:
        assert each.serves == () and each.gain_db < first.gain_db


def test_the_count_and_the_number_in_a_shot_are_kept(request_: FilmRequest) -> None:
    _, proposals = propose(request_, 2, 1, quiet)
    assert len(proposals) == len({each.shot for each in proposals}) == 2


def test_frames_come_back_coloured(
    proposed: tuple[Film, tuple[Proposal, ...]],
    request_: FilmRequest,
    truth: list[U8],
    tmp_path: Path,
) -> None:
    film, proposals = proposed
    export(film, proposals, str(tmp_path / "stills"), quiet)
    specs = list_references(str(tmp_path / "stills"))
    assert len(specs) == len(proposals)
    with pytest.raises(ReferenceUnusable, match="has no colour"):
        load_still(specs[0].uri)
    for spec in specs:  # what a person does in a paint program
        frame = int((spec.moment or "")[1:])
        with Image.open(spec.uri) as picture:
            assert picture.size == (160, 90)
            light = np.asarray(picture.convert("L"), np.int16)
        grey = np.asarray(Image.fromarray(truth[frame]).convert("L"), np.int16)
        assert abs(light - grey).mean() < 12
        Image.fromarray(truth[frame]).save(spec.uri)
    asked = request_.model_copy(
        update={"references_dir": str(tmp_path / "stills"), "output": str(tmp_path / "out.mkv")}
    )
    assert colorize_film(asked, quiet).grey_shots == ()
    paths = FilmPaths(asked.work, film_ids(asked.work)[0])
    for row in latest(paths, ShotRow).rows:
        own = sum(each.shot == row.shot for each in proposals)
        assert len(row.references) == max(own, 1)
    again = propose(request_for(paths.folder, asked.work), 20, 2, quiet)[1]
    assert sum(p.film_gain_db for p in again) < 0.5 * sum(p.film_gain_db for p in proposals)
    assert not {p.frame for p in again} & {p.frame for p in proposals}


def test_the_table(proposed: tuple[Film, tuple[Proposal, ...]], tmp_path: Path) -> None:
    film, proposals = proposed
    uris = export(film, proposals, str(tmp_path), quiet)
    assert {path.name for path in tmp_path.iterdir()} == set(uris)
    rows = list(csv.DictReader(io.StringIO((tmp_path / TABLE).read_text())))
    assert list(rows[0]) == list(Proposal.model_fields)
    assert [row["file"] for row in rows] == [each.file for each in proposals]
    assert [row["serves"] for row in rows] == [";".join(map(str, p.serves)) for p in proposals]


@pytest.mark.parametrize("which", ["table", "picture"])
def test_what_is_there_stays(
    proposed: tuple[Film, tuple[Proposal, ...]], tmp_path: Path, which: str
) -> None:
    film, proposals = proposed
    there = tmp_path / (TABLE if which == "table" else proposals[-1].file)
    there.write_bytes(b"a person's")
    with pytest.raises(InputError, match="left as it is"):
        export(film, proposals, str(tmp_path), quiet)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"a person's"]


def test_pictures_are_upright_with_square_pixels(tmp_path: Path) -> None:
    made = replace(MADE, sar=Fraction(4, 3), rotation=90)
    write_film(tmp_path / "film.mov", made, codec="libx264", pix_fmt="yuv420p")
    request = request_for(str(tmp_path / "film.mov"), str(tmp_path / "work"))
    film, proposals = propose(request, 1, 1, quiet)
    export(film, proposals, str(tmp_path / "out"), quiet)
    with Image.open(tmp_path / "out" / proposals[0].file) as picture:
        assert picture.mode == "L"
        assert picture.size == (64, 128), "96 × 64 at 4:3, turned"


def test_a_work_root_of_two_films_wants_one_named(tmp_path: Path) -> None:
    for i in (0, 1):
        source = write_film(tmp_path / f"{i}.mkv", MADE, seed=i, frames=6, scenes=())
        open_film(request_for(str(source), str(tmp_path / "work")), quiet)
    with pytest.raises(InputError, match="2 films"):
        request_for(str(tmp_path / "work"), str(tmp_path / "work"))
