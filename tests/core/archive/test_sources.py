"""Which films an archive asks for, and how each is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize_core.archive.request import ArchiveRequest
from colorize_core.archive.sources import ArchiveFilm, archive_films
from colorize_core.errors import InputError, SettingError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def films(folder: Path, sources: str = "reels", **more: object) -> list[ArchiveFilm]:
    request = ArchiveRequest.model_validate(
        {
            "sources": str(folder / sources),
            "output": str(folder / "out"),
            "work": str(folder / "work"),
            "references": str(folder / "stills"),
            **more,
        }
    )
    return archive_films(request)


def test_a_folder_is_all_films_in_it(tmp_path: Path) -> None:
    touch(tmp_path / "reels", "b.MP4", "a.mkv", "1920/c.mov")
    touch(tmp_path / "reels", "notes.txt", ".hidden/d.mkv", ".e.mkv")
    found = films(tmp_path)
    assert [film.name for film in found] == ["1920/c", "a", "b"]
    assert found[0].request is not None
    assert found[0].request.source == str(tmp_path / "reels/1920/c.mov")
    assert found[0].request.output == str(tmp_path / "out/1920/c.mkv")
    assert found[0].request.work == str(tmp_path / "work")


def test_a_glob(tmp_path: Path) -> None:
    touch(tmp_path / "reels", "a.mkv", "1920/c.mov", "1920/d.mkv", "1930/c.mov")
    assert [film.name for film in films(tmp_path, "reels/**/*.mov")] == ["1920/c", "1930/c"]
    assert [film.name for film in films(tmp_path, "reels/19[23]0/d.*")] == ["1920/d"]


def test_its_own_results_and_work_are_no_sources(tmp_path: Path) -> None:
    touch(tmp_path, "a.mkv", "out/a.mkv", "work/films/0/chunks/b.mkv")
    assert [film.name for film in films(tmp_path, ".")] == ["a"]


def test_each_film_has_its_own_stills(tmp_path: Path) -> None:
    touch(tmp_path, "reels/a.mkv", "reels/b.mkv", "stills/a/x.png")
    with_stills, without = films(tmp_path)
    assert with_stills.request and without.request
    assert with_stills.request.references_dir == str(tmp_path / "stills/a")
    assert without.request.references_dir is None


def test_a_catalogue_says_how(tmp_path: Path) -> None:
    touch(tmp_path, "list/reels/a.mkv", "list/b.mkv")
    (tmp_path / "list/films.csv").write_text(
        "source,film,prompt,references,preset,priority,enabled\n"
        'reels/a.mkv,,"a ""red"" coat",,fast,1,\n'
        "b.mkv,B/one,,stills/b.png@f3;/abs/c.png,,5,no\n"
        "s3://bucket/c.mkv,,,stills/c,,,\n"
    )
    b, a, c = films(tmp_path, "list/films.csv", settings=("merge=lab",))
    assert (b.name, b.enabled, b.priority) == ("B/one", False, 5)
    assert a.request and b.request and c.request
    assert a.request.source == str(tmp_path / "list/reels/a.mkv")
    assert a.request.config.preset == "fast" and a.request.config.merge == "lab"
    assert a.request.config.qwen.prompt == 'a "red" coat'
    assert b.request.references == (str(tmp_path / "list/stills/b.png@f3"), "/abs/c.png")
    assert c.request.source == "s3://bucket/c.mkv"
    assert c.request.references_dir == str(tmp_path / "list/stills/c")
    assert c.request.output == str(tmp_path / "out/c.mkv")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a//b", "a\\b", "s3://x/y", ".", "a\tb"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "films.csv").write_text(f'source,film\na.mkv,"{name}"\nb.mkv,good\n')
    found = {film.name: film for film in films(tmp_path, "films.csv")}
    assert found[name].request is None
    assert "no name for a film" in str(found[name].error)
    assert found["good"].error is None


def test_two_of_one_name_are_both_refused(tmp_path: Path) -> None:
    touch(tmp_path / "reels", "a.mkv", "a.mov", "b.mkv")
    first, second, good = films(tmp_path)
    assert first.request is None and second.request is None and good.request is not None
    assert "2 films are called a" in str(first.error)


def test_a_wrong_preset_in_a_row_concerns_its_film_only(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("source,preset\na.mkv,magic\nb.mkv,\n")
    wrong, good = films(tmp_path, "films.csv")
    assert "no preset “magic”" in str(wrong.error) and good.error is None


def test_what_concerns_all_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "reels/notes.txt")
    with pytest.raises(InputError, match="There is no film in"):
        films(tmp_path)
    with pytest.raises(SettingError, match="magic"):
        films(tmp_path, preset="magic")
