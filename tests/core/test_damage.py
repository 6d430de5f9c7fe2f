"""Any one object of a finished film is lost or spoilt: the next run says so, makes only that again,
and the film has the same bytes.

Left out: `shots.csv`, which is a person's (its own tests below), `request.json` and `report`, which
every run writes anew, and `claims` (test_claim.py).
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from colorize_core import sealed_json
from colorize_core.errors import DamagedSource, ShotListError
from colorize_core.film import FilmRecord, open_film, read_record
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow
from colorize_core.paths import FilmPaths
from colorize_core.request import FilmRequest
from colorize_core.summary import RunSummary
from tests.film import MADE, film_request, quiet
from tests.media_factory import truncate, write_film
from tests.tiny.paper import paper_settings

SEGMENTS = 6
PUBLISHED = {"out.mkv", "out.mkv.frames.csv"}
REWRITTEN = ("manifest/", "report/", "claims/", "request.json", "timings.json")  # by every run


@dataclass(frozen=True)
class FinishedFilm:
    """A film in `folder`, finished, and a copy of the folder to begin each test from."""

    request: FilmRequest
    folder: Path
    copy: Path

    @property
    def root(self) -> Path:
        (root,) = (self.folder / "work" / "films").iterdir()
        return root

    @property
    def paths(self) -> FilmPaths:
        return FilmPaths(self.request.work, self.root.name)

    def restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.copy, self.folder)

    def run(self) -> RunSummary:
        return colorize_film(self.request, quiet, "cpu")

    def written(self) -> dict[str, int]:
        """When each object was written that not every run writes anew."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        names = {path.relative_to(self.folder).as_posix(): path for path in files}
        return {
            name: path.stat().st_mtime_ns
            for name, path in names.items()
            if not any(each in name for each in REWRITTEN)
        }

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def finish(folder: Path, request: FilmRequest) -> FinishedFilm:
    colorize_film(request, quiet, "cpu")
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    return FinishedFilm(request, folder, copy)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedFilm:
    folder = tmp_path_factory.mktemp("damage") / "film"
    folder.mkdir()
    request = film_request(folder)
    still = folder / "still17.png"
    references = (request.references[0], str(still), request.references[2])  # to be found
    return finish(folder, request.model_copy(update={"shots": None, "references": references}))


@pytest.fixture
def film(finished: FinishedFilm) -> FinishedFilm:
    finished.restore()
    return finished


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another film that was scanned; beside it `other.mkv`, a film."""
    folder = tmp_path_factory.mktemp("others")
    source = write_film(folder / "other.mkv", MADE, frames=20, scenes=())
    request = FilmRequest(
        source=str(source), output=str(folder / "out.mkv"), work=str(folder / "work")
    )
    return Path(open_film(request, quiet).paths.folder)


# -- which objects, and what becomes of them -------------------------------------------------


def one_of(folder: str) -> Callable[[FinishedFilm], Path]:
    return lambda film: sorted((film.root / folder).iterdir())[1]


def newest(table: str) -> Callable[[FinishedFilm], Path]:
    return lambda film: sorted((film.root / "manifest").glob(f"{table}-*"))[-1]


ROWS = {
    "segments' rows": newest("segments"),
    "shots' rows": newest("shots"),
    "film's row": newest("films"),
}
OBJECTS: dict[str, Callable[[FinishedFilm], Path]] = {
    "film.json": lambda film: film.root / "film.json",
    "timeline": lambda film: film.root / "timeline.npz",
    "thumbnails": lambda film: film.root / "thumbnails.gray",
    "still": one_of("references"),
    "anchor": one_of("anchors"),
    "segment": one_of("segments"),
    "chunk": one_of("chunks"),
    **ROWS,
    "result": lambda film: Path(film.request.output),
    "frame list": lambda film: Path(f"{film.request.output}.frames.csv"),
}


def flip(path: Path, at: int) -> None:
    """Flip one bit of the byte `at`; which one depends on the byte's place."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << random.Random(at).randrange(8)
    path.write_bytes(data)


def flip_inside(path: Path, part: float) -> None:
    flip(path, int(part * path.stat().st_size))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut in half": lambda path: truncate(path, path, 0.5),
    "empty": lambda path: path.write_bytes(b""),
    "first byte": lambda path: flip(path, 0),
    "near its start": lambda path: flip_inside(path, 0.11),
    "in its middle": lambda path: flip_inside(path, 0.53),
    "near its end": lambda path: flip_inside(path, 0.93),
    "in its footer": lambda path: flip(path, -11),
    "last byte": lambda path: flip(path, -1),
    "gone": Path.unlink,
}


def check(film: FinishedFilm, spoilt: Path) -> None:
    """Run again: just `spoilt` is named, and made again as it was."""
    before = film.written()
    summary = film.run()
    (warning,) = summary.warnings
    assert spoilt.name in warning
    after = film.written()
    assert {name for name in after if after[name] != before.get(name)} == remade_for(film, spoilt)
    for name in after:
        assert (film.folder / name).read_bytes() == (film.copy / name).read_bytes(), name
    segments = int(spoilt.parent.name == "segments")
    assert (summary.recomputed_segments, summary.reused_segments) == (segments, SEGMENTS - segments)


def remade_for(film: FinishedFilm, spoilt: Path) -> set[str]:
    """A film and its frame list are published together, and again where no row says that they
    were. The rows that are damaged stay so: others are committed."""
    if spoilt.name in PUBLISHED or spoilt.name.startswith("films-"):
        return PUBLISHED
    return set() if spoilt.parent.name == "manifest" else {film.name_of(spoilt)}


CASES = [
    (kind, damage)
    for kind in OBJECTS
    for damage in DAMAGE
    if not (damage == "gone" and kind in ROWS)  # nobody can tell: test_the_newest_rows_are_gone
]


@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_one_object_is_damaged(film: FinishedFilm, kind: str, damage: str) -> None:
    spoilt = OBJECTS[kind](film)
    DAMAGE[damage](spoilt)
    check(film, spoilt)


@pytest.mark.parametrize("kind", OBJECTS)
def test_another_whole_object_is_in_its_place(film: FinishedFilm, others: Path, kind: str) -> None:
    spoilt = OBJECTS[kind](film)
    if spoilt.parent == film.root:
        other = others / spoilt.name
    elif kind == "result":
        other = others.parents[2] / "other.mkv"
    elif kind == "frame list":
        other = spoilt.with_name("other.csv")
        other.write_bytes(b"".join(spoilt.read_bytes().splitlines(keepends=True)[:-1]))
    else:
        # of the film itself: the oldest of the table, or the first of the folder
        stem = spoilt.name.partition("-")[0] if spoilt.parent.name == "manifest" else ""
        other = min(spoilt.parent.glob(f"{stem}*"))
    assert other.read_bytes() != spoilt.read_bytes()
    shutil.copyfile(other, spoilt)
    if kind == "frame list":
        other.unlink()
    check(film, spoilt)


# -- the manifest ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["segments", "shots", "films"])
def test_the_newest_rows_are_gone(film: FinishedFilm, table: str) -> None:
    newest(table)(film).unlink()
    before = film.written()
    summary = film.run()
    assert (summary.recomputed_segments, summary.warnings) == (0, ())
    changed = {name for name, when in film.written().items() if when != before[name]}
    assert changed == (PUBLISHED if table == "films" else set())
    assert Path(film.request.output).read_bytes() == (film.copy / "out.mkv").read_bytes()


def test_a_version_in_the_middle_is_gone(film: FinishedFilm) -> None:
    film.run()
    versions = film.paths.manifest_versions("segments")
    middle = Path(film.paths.manifest("segments", versions[-2]))
    middle.unlink()
    (warning,) = film.run().warnings
    assert middle.name in warning


def test_all_rows_are_gone(film: FinishedFilm) -> None:
    """Finished work is found by its objects' names."""
    shutil.rmtree(film.root / "manifest")
    before = film.written()
    summary = film.run()
    assert (summary.recomputed_segments, summary.reused_segments) == (0, SEGMENTS)
    kept = {name: when for name, when in film.written().items() if "work/" in name}
    assert kept.items() <= before.items()
    assert Path(film.request.output).read_bytes() == (film.copy / "out.mkv").read_bytes()
    assert [row.status for row in latest(film.paths, FilmRow).rows] == ["published"]
    assert {row.status for row in latest(film.paths, SegmentRow).rows} == {"done"}


# -- what the scan found ---------------------------------------------------------------------


def test_everything_that_the_scan_found_is_damaged(film: FinishedFilm) -> None:
    for name in ("film.json", "timeline.npz", "thumbnails.gray"):
        flip_inside(film.root / name, 0.5)
    summary = film.run()
    assert summary.recomputed_segments == 0 and len(summary.warnings) == 3
    for name in film.written():
        assert (film.folder / name).read_bytes() == (film.copy / name).read_bytes(), name


def test_every_flipped_bit_of_the_record_is_seen(film: FinishedFilm) -> None:
    data = (film.root / "film.json").read_bytes()
    assert sealed_json.encode(sealed_json.decode(FilmRecord, data)) == data
    for bit in range(0, 8 * len(data), 5):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            sealed_json.decode(FilmRecord, bytes(spoilt))


def test_a_film_that_was_moved_keeps_its_record(film: FinishedFilm) -> None:
    """Other objects of the scan are made again without it."""
    moved = film.folder / "moved.mkv"
    Path(film.request.source).rename(moved)
    flip(film.root / "thumbnails.gray", 5)
    before = film.written()
    request = film.request.model_copy(update={"source": str(moved)})
    opened = open_film(request, quiet)
    assert opened.warnings == ("thumbnails.gray was damaged and is made again.",)
    assert (opened.info.uri, opened.title) == (str(moved), "film")
    changed = {name for name, when in film.written().items() if when != before[name]}
    assert changed == {film.name_of(film.root / "thumbnails.gray")}


def test_a_scan_that_was_killed_is_no_damage(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    paths = open_film(request, quiet).paths
    record = read_record(paths)
    Path(paths.film_json).unlink()  # written last
    Path(paths.timeline).unlink()
    opened = open_film(request, quiet)
    assert opened.warnings == () and read_record(paths) == record


def test_a_damaged_source_is_scanned_again_only_with_consent(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    truncate(Path(request.source), Path(request.source), 0.3)
    paths = open_film(request.model_copy(update={"accept_damage": True}), quiet).paths
    record = Path(paths.film_json).read_bytes()
    flip(Path(paths.film_json), 100)
    with pytest.raises(DamagedSource):
        open_film(request, quiet)
    open_film(request.model_copy(update={"accept_damage": True}), quiet)
    assert Path(paths.film_json).read_bytes() == record


# -- the shot list ---------------------------------------------------------------------------


def test_the_shot_list_is_gone(film: FinishedFilm) -> None:
    (film.root / "shots.csv").unlink()
    check(film, film.root / "shots.csv")


def test_a_shot_list_that_people_changed_stays_when_the_film_is_scanned_again(
    film: FinishedFilm,
) -> None:
    shots = film.root / "shots.csv"
    shots.write_text(shots.read_text().replace("yes,,", "yes,A red coat.,"))
    (film.root / "film.json").unlink()
    assert film.run().recomputed_segments == 0
    assert "A red coat." in shots.read_text()


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"", 1), (b"shot,start,end\n1,0,10\n2,10,2", 3), (b"shot,start,end\n1,0,10\n2,14,36\n", 3)],
)
def test_a_shot_list_that_is_none_may_be_deleted(
    film: FinishedFilm, data: bytes, line: int
) -> None:
    shots = film.root / "shots.csv"
    shots.write_bytes(data)
    with pytest.raises(ShotListError, match=f"line {line}") as caught:
        film.run()
    assert str(shots) in caught.value.remedy and "delete" in caught.value.remedy
    shots.unlink()
    check(film, shots)


# -- stills that were made -------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_made_stills(tmp_path_factory: pytest.TempPathFactory) -> FinishedFilm:
    from tests.tiny.qwen import save_tiny_qwen

    models = tmp_path_factory.mktemp("models")
    save_tiny_qwen(models / "qwen")
    folder = tmp_path_factory.mktemp("made") / "film"
    folder.mkdir()
    settings = (*paper_settings(models), "parts.reference=qwen")
    request = film_request(folder, *settings, stills=())
    return finish(folder, request.model_copy(update={"shots": None}))


@pytest.mark.xdist_group("paper")  # torch is loaded there anyway
@pytest.mark.parametrize("damage", ["in its middle", "gone", "another"])
def test_a_made_still_is_damaged(with_made_stills: FinishedFilm, damage: str) -> None:
    film = with_made_stills
    film.restore()
    still = OBJECTS["still"](film)
    if damage == "another":
        shutil.copyfile(min(still.parent.iterdir()), still)
    else:
        DAMAGE[damage](still)
    before = film.written()
    summary = film.run()
    (warning,) = summary.warnings
    assert still.name in warning and summary.recomputed_segments == 0
    assert still.read_bytes() == (film.copy / film.name_of(still)).read_bytes()
    changed = {name for name, when in film.written().items() if when != before.get(name)}
    assert changed == {film.name_of(still)}
