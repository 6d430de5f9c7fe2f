"""A disk that is full, or becomes read-only, at any stage: the run ends with a clear message, and
goes on where it was once there is room."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from colorize_core.claim import hold
from colorize_core.errors import StorageFull
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import TABLES, FilmRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.request import FilmRequest
from flows.terminal import Terminal
from tests.film import quiet
from tests.flows.conftest import Colorize, Said

ROOM = 8 * 2**20  # more than the film's whole work and result take
Mount = Callable[[str], "Disk"]
When = Callable[[str, int, Callable[[], None]], None]


@dataclass(frozen=True)
class Disk:
    """A small file system of its own."""

    folder: Path

    def fill(self) -> None:
        """Let a ballast take all the room."""
        found = os.statvfs(self.folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize)

    def make_room(self) -> None:
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def read_only(self, is_so: bool) -> None:
        mode = "ro" if is_so else "rw"
        subprocess.run(["mount", "-o", f"remount,{mode}", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a disk of `ROOM` bytes as a folder of `tmp_path`."""
    mounted: list[Path] = []

    def mount(name: str) -> Disk:
        folder = tmp_path / name
        folder.mkdir()
        asked = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)]
        answer = subprocess.run(asked, capture_output=True, text=True)
        if answer.returncode:
            pytest.skip(f"file systems cannot be mounted here: {answer.stderr.strip()}")
        mounted.append(folder)
        return Disk(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def when(monkeypatch: pytest.MonkeyPatch) -> When:
    """Does something at the moment at which a person is shown that a stage is so far."""
    shown = Terminal.progress

    def plan(stage: str, done: int, act: Callable[[], None]) -> None:
        pending = [act]

        def progress(self: Terminal, at: str, so_far: int, total: int) -> None:
            shown(self, at, so_far, total)
            if (at, so_far) == (stage, done) and pending:
                pending.pop()()

        monkeypatch.setattr(Terminal, "progress", progress)

    return plan


@pytest.fixture(scope="module")
def undisturbed(made: FilmRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the film with all the room it needs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    places = {"output": str(folder / "out.mkv"), "work": str(folder / "work")}
    colorize_film(made.model_copy(update=places), quiet)
    return digest(Path(places["output"]))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def says_where(said: Said, folder: Path) -> None:
    """The run ended with two lines for a person, which name the place that is full."""
    assert said.code == 1
    what, remedy = said.error
    assert "o space is left" in what and str(folder) in what + remedy
    assert "Free some space" in remedy and "run again" in remedy


def assert_left_in_order(folder: Path, status: str) -> None:
    """The manifest can be read and has this status; nothing half-made and no claim lies about."""
    for film in film_ids(str(folder / "work")):
        paths = FilmPaths(str(folder / "work"), film)
        assert not any(latest(paths, table).damaged for table in TABLES)
        assert {row.status for row in latest(paths, FilmRow).rows} <= {status}
    names = [each.name for each in folder.rglob("*")]
    assert not [each for each in names if each.startswith(".") or each.endswith(".lock")]


def finished_work(work: Path) -> dict[str, int]:
    """Every piece of work that is there whole, and when it was written."""
    folders = ("references", "anchors", "segments", "chunks")
    found = (each for name in folders for each in work.glob(f"films/*/{name}/[!.]*"))
    return {each.name: each.stat().st_mtime_ns for each in found}


@pytest.mark.parametrize(
    ("stage", "done"),
    [
        ("identify", 1),
        ("references", 3),
        ("colorize", 0),
        ("colorize", 5),
        ("finish", 10),
        ("colorize", 36),
        ("verify", 36),
        ("report", 3),
    ],
)
def test_the_work_root_is_full(
    disk: Mount,
    when: When,
    colorize: Colorize,
    undisturbed: str,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    work, output = disk("work"), tmp_path / "out.mkv"
    when(stage, done, work.fill)
    says_where(colorize(), work.folder)
    if stage in ("verify", "report"):  # the work root is not needed for the publication itself
        assert digest(output) == undisturbed
    else:
        assert not output.exists()
    assert_left_in_order(tmp_path, "running")  # no room for another word
    before = finished_work(work.folder)
    work.make_room()
    assert colorize().code == 0
    assert digest(output) == undisturbed
    assert_left_in_order(tmp_path, "published")
    assert before.items() <= finished_work(work.folder).items()


@pytest.mark.parametrize("stage", ["identify", "finish"])
def test_the_folder_for_temporary_files_is_full(
    disk: Mount,
    when: When,
    colorize: Colorize,
    undisturbed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    temporary = disk("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary.folder))
    when(stage, stage == "identify", temporary.fill)
    said = colorize()
    says_where(said, temporary.folder)
    assert "TMPDIR" in said.error[1]
    assert not (tmp_path / "out.mkv").exists()
    assert_left_in_order(tmp_path, "failed")
    temporary.make_room()
    assert colorize().code == 0
    assert digest(tmp_path / "out.mkv") == undisturbed
    assert_left_in_order(tmp_path, "published")


@pytest.mark.parametrize(("stage", "done"), [("finish", 36), ("verify", 36)])
def test_the_folder_of_the_result_is_full(
    disk: Mount,
    when: When,
    colorize: Colorize,
    undisturbed: str,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    result = disk("result")
    when(stage, done, result.fill)
    to = ("-o", result.folder / "film.mkv")
    says_where(colorize(*to), result.folder)
    assert [each.name for each in result.folder.iterdir()] == ["ballast"]
    assert_left_in_order(tmp_path, "failed")
    result.make_room()
    said = colorize(*to, "--json")
    assert (said.code, said.json["recomputed_segments"]) == (0, 0)
    assert digest(result.folder / "film.mkv") == undisturbed


@pytest.mark.parametrize("name", ["work", "result"])
def test_a_read_only_disk_is_refused_at_the_start(
    disk: Mount, colorize: Colorize, tmp_path: Path, name: str
) -> None:
    place = disk(name)
    place.read_only(True)
    said = colorize("-o", tmp_path / "result" / "film.mkv")
    assert said.code == 1
    what, _ = said.error
    assert str(place.folder) in what and "read-only" in what
    assert not list(place.folder.iterdir())


@pytest.mark.parametrize(("stage", "done"), [("colorize", 5), ("verify", 36)])
def test_a_disk_becomes_read_only(
    disk: Mount,
    when: When,
    colorize: Colorize,
    undisturbed: str,
    tmp_path: Path,
    stage: str,
    done: int,
) -> None:
    work = disk("work")
    when(stage, done, lambda: work.read_only(True))
    said = colorize()
    assert said.code == 1
    what, _ = said.error
    assert str(work.folder) in what and "read-only" in what
    before = finished_work(work.folder)
    work.read_only(False)
    assert colorize().code == 0
    assert digest(tmp_path / "out.mkv") == undisturbed
    assert before.items() <= finished_work(work.folder).items()


def test_a_claim_that_finds_no_room_leaves_no_lock(
    disk: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, temporary = disk("work"), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    work.fill()
    with pytest.raises(StorageFull), hold(FilmPaths(str(work.folder), "0" * 16), quiet):
        pass
    assert not list(temporary.iterdir())
