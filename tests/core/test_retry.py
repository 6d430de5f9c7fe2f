"""Which films a retry takes up, and what it asks them for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from colorize_core.errors import InputError
from colorize_core.local import colorize_film
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest, keep_request, kept_request
from colorize_core.retry import films_to_retry
from colorize_core.scope import ALL, Scope
from tests.film import film_request, quiet
from tests.poison import fail_once


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> FilmRequest:
    """A film of which segment 0002-0002 is quarantined."""
    request = film_request(tmp_path_factory.mktemp("failed"))
    fail_once(request, {17: "raise"})
    return request


def paths(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


@pytest.mark.parametrize(
    "scope",
    [
        ALL,
        Scope(shots=frozenset({2})),
        Scope(segments=frozenset({"0002-0002"})),
        Scope(quarantined=True),
        Scope(shots=frozenset({1, 2}), quarantined=True),
    ],
)
def test_a_film_with_failed_segments_is_taken_up(failed: FilmRequest, scope: Scope) -> None:
    assert films_to_retry(failed.work, scope) == [paths(failed)]
    assert films_to_retry(paths(failed).folder, scope) == [paths(failed)]


@pytest.mark.parametrize(
    "scope",
    [
        Scope(shots=frozenset({1})),
        Scope(segments=frozenset({"0002-0001"})),
        Scope(segments=frozenset({"0002-0002", "9999-0001"})),
        Scope(shots=frozenset({1}), segments=frozenset({"0002-0002"})),
    ],
)
def test_what_is_picked_and_not_there_is_an_error(failed: FilmRequest, scope: Scope) -> None:
    with pytest.raises(InputError, match="no unfinished segment") as caught:
        films_to_retry(failed.work, scope)
    assert "kinecolor status" in caught.value.remedy


def test_a_published_film_is_left_alone(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    colorize_film(request, quiet)
    assert films_to_retry(request.work, ALL) == []


def test_no_work_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a work root"):
        films_to_retry(str(tmp_path), ALL)


def test_the_request_is_found_again_where_the_work_root_is_now(
    failed: FilmRequest, tmp_path: Path
) -> None:
    assert kept_request(paths(failed)) == failed
    moved = str(tmp_path / "moved")
    shutil.copytree(failed.work, moved)
    assert kept_request(FilmPaths(moved, paths(failed).film)) == failed.model_copy(
        update={"work": moved}
    )


def test_a_request_with_a_secret_is_kept_without_it(failed: FilmRequest, tmp_path: Path) -> None:
    here = FilmPaths(str(tmp_path / "work"), paths(failed).film)
    signed = failed.model_copy(update={"source": "https://host/film.mkv?X-Amz-Signature=5ecret"})
    keep_request(here, signed)
    assert "5ecret" not in Path(here.request_json).read_text()
    with pytest.raises(InputError, match="secret") as caught:
        kept_request(here)
    assert "colorize command again" in caught.value.remedy


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", b'{"whole": true}'])
def test_a_request_that_cannot_be_read_is_an_error(
    failed: FilmRequest, tmp_path: Path, content: bytes | None
) -> None:
    here = FilmPaths(str(tmp_path / "work"), paths(failed).film)
    if content is not None:
        Path(here.folder).mkdir(parents=True)
        Path(here.request_json).write_bytes(content)
    with pytest.raises(InputError, match="not on record"):
        kept_request(here)
