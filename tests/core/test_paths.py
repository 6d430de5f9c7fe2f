from __future__ import annotations

import pytest

from colorize_core import storage
from colorize_core.paths import FilmPaths, film_id, film_ids

FILM = "0123456789abcdef"
DIGEST = "ab" * 32


def test_every_object_has_its_place() -> None:
    paths = FilmPaths("s3://bucket/work", FILM)
    folder = f"s3://bucket/work/films/{FILM}"
    assert paths.folder == folder
    assert paths.film_json == f"{folder}/film.json"
    assert paths.timeline == f"{folder}/timeline.npz"
    assert paths.thumbnails == f"{folder}/thumbnails.gray"
    assert paths.shots_csv == f"{folder}/shots.csv"
    assert paths.reference(DIGEST) == f"{folder}/references/{DIGEST}.png"
    assert paths.anchor(DIGEST) == f"{folder}/anchors/{DIGEST}.parquet"
    assert paths.segment(DIGEST) == f"{folder}/segments/{DIGEST}.parquet"
    assert paths.chunk(DIGEST) == f"{folder}/chunks/{DIGEST}.mkv"
    assert paths.manifest("segments", 12) == f"{folder}/manifest/segments-00000012.parquet"
    assert paths.report_index == f"{folder}/report/index.html"


def test_a_film_is_named_by_its_content() -> None:
    assert film_id(DIGEST) == "ab" * 8
    with pytest.raises(ValueError, match="not a name"):
        film_id("film.mp4")


@pytest.mark.parametrize("wrong", ["", "..", "../../etc", "a/b", "ABCDEF0123456789", f"{FILM}\n"])
def test_names_that_lead_elsewhere_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        FilmPaths("/work", wrong)
    paths = FilmPaths("/work", FILM)
    for name in (paths.reference, paths.anchor, paths.segment, paths.chunk):
        with pytest.raises(ValueError, match="not a name"):
            name(wrong)
    with pytest.raises(ValueError, match="not a name"):
        paths.manifest(wrong, 1)


def test_manifests_name_objects_relative_to_the_film() -> None:
    paths = FilmPaths("/work", FILM)
    name = paths.relative(paths.chunk(DIGEST))
    assert name == f"chunks/{DIGEST}.mkv"
    assert FilmPaths("s3://moved", FILM).resolve(name) == (
        f"s3://moved/films/{FILM}/chunks/{DIGEST}.mkv"
    )
    with pytest.raises(ValueError, match="outside"):
        paths.relative("/work/films/other")
    for wrong in ("", "/etc/passwd", "chunks/../../x", "s3://b/x"):
        with pytest.raises(ValueError, match="not an object"):
            paths.resolve(wrong)


def test_versions_are_found_by_number_beside_other_files() -> None:
    paths = FilmPaths("memory://paths-versions", FILM)
    assert paths.manifest_versions("shots") == []
    for version in (2, 10, 1):
        storage.put_if_absent(paths.manifest("shots", version), b"")
    storage.put_if_absent(paths.manifest("segments", 7), b"")
    storage.put_if_absent(storage.join(paths.manifest_dir, "shots-notes.txt"), b"")
    assert paths.manifest_versions("shots") == [1, 2, 10]
    with pytest.raises(ValueError, match="count from 1"):
        paths.manifest("shots", 0)


def test_claims_are_found_by_number() -> None:
    paths = FilmPaths("memory://paths-claims", FILM)
    assert paths.claims() == []
    for number in (10, 9):
        storage.put_if_absent(paths.claim(number), b"")
    storage.put_if_absent(storage.join(paths.claims_dir, "claim-1.json"), b"")
    assert paths.claims() == [9, 10]
    assert paths.claim(9) == f"{paths.folder}/claims/claim-00000009.json"
    with pytest.raises(ValueError, match="count from 1"):
        paths.claim(0)


def test_the_films_of_a_work_root_are_listed() -> None:
    root = "memory://paths-films"
    assert film_ids(root) == []
    for film in (FILM, "f" * 16):
        storage.put_if_absent(FilmPaths(root, film).film_json, b"{}")
    storage.put_if_absent(storage.join(root, "films", "lost+found", "x"), b"")
    assert film_ids(root) == [FILM, "f" * 16]
