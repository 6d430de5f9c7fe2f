"""`kinecolor colorize` as a person or a program uses it: how it ends, and each form of each option.
Errors are in test_cli_errors.py, films of many kinds in test_cli_sources.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import pytest

from colorize_core.engines.exemplar.flow import Flow
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.paths import FilmPaths
from colorize_core.request import FilmRequest
from flows.signals import Stopped
from tests.film import MADE, SCENES
from tests.flows.conftest import KEYS, Colorize, Kinecolor, Said

pytestmark = pytest.mark.xdist_group("cli")

FRAMES = sum(SCENES)


def paths_of(said: Said) -> FilmPaths:
    return FilmPaths(said.json["work"], Path(said.json["film"]).name)


def is_grey(path: Path) -> list[bool]:
    """For each frame of a master whether it has no colour at all."""
    with av.open(str(path)) as film:
        return [
            bool((frame.to_ndarray()[MADE.height :] == 512).all()) for frame in film.decode(video=0)
        ]


# -- what comes out --------------------------------------------------------------------------


def test_published(colorize: Colorize, tmp_path: Path) -> None:
    said = colorize("--json")
    assert said.code == 0
    assert said.json.keys() >= KEYS
    assert said.json["status"] == "published"
    assert said.json["output"] == str(tmp_path / "out.mkv")
    assert said.json["work"] == str(tmp_path / "work")
    assert (said.json["frames_in"], said.json["frames_out"]) == (FRAMES, FRAMES)
    assert said.json["shots"] == 3 and said.json["luma_exact"] is True
    assert said.json["segments"] == {"done": 6, "failed": 0}
    assert (said.json["recomputed_segments"], said.json["reused_segments"]) == (6, 0)
    assert said.json["seconds"] > 0
    assert not any(is_grey(tmp_path / "out.mkv"))

    again = colorize("--json")
    assert again.code == 0
    assert (again.json["recomputed_segments"], again.json["reused_segments"]) == (0, 6)


def test_for_a_person_everything_is_on_standard_error(colorize: Colorize, tmp_path: Path) -> None:
    said = colorize()
    assert (said.code, said.out) == (0, "")
    for words in (
        f"Published {tmp_path / 'out.mkv'}: 36 frames in, 36 out, 3 shots",
        f"Frame list: {tmp_path / 'out.mkv.frames.csv'} (the source's luma, bit for bit)",
        "report/index.html",
        "Scanning frames and shots: 36 frames",
    ):
        assert words in said.err


@pytest.mark.parametrize("as_json", [True, False])
def test_unfinished(
    colorize: Colorize,
    made: FilmRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_json: bool,
) -> None:
    fill = Flow.fill

    def poisoned(self: Flow, frames, start, end, seed):  # type: ignore[no-untyped-def]
        if frames[0].frame == 17:
            raise ZeroDivisionError("poison")
        return fill(self, frames, start, end, seed)

    monkeypatch.setattr(Flow, "fill", poisoned)
    said = colorize(*(["--json"] if as_json else []))
    what, remedy = said.error
    assert said.code == 2
    assert "0002-0002 (frames 17-23: " in what and "poison" in what
    assert remedy.endswith(f"kinecolor retry {tmp_path / 'work'}")
    assert not (tmp_path / "out.mkv").exists()
    if as_json:
        assert said.json.keys() >= KEYS
        assert said.json["status"] == "unfinished" and said.json["output"] is None
        assert said.json["segments"] == {"done": 5, "failed": 0, "quarantined": 1}
    monkeypatch.undo()
    mended = colorize("--json")
    assert mended.code == 0
    assert (mended.json["recomputed_segments"], mended.json["reused_segments"]) == (1, 5)


def test_held_until_somebody_has_looked(colorize: Colorize, tmp_path: Path) -> None:
    held = colorize("--hold-below", "1", "--json")
    what, remedy = held.error
    assert held.code == 2 and "score below 1" in what and "--hold-below 0" in remedy
    assert held.json.keys() >= KEYS
    assert (held.json["status"], held.json["output"]) == ("held", None)
    assert sorted(held.json["held_shots"]) == [1, 2, 3]
    assert not (tmp_path / "out.mkv").exists()
    released = colorize("--hold-below", "0", "--json")
    assert (released.code, released.json["status"]) == (0, "published")
    assert (released.json["recomputed_segments"], released.json["held_shots"]) == (0, [])


def test_interrupted(
    colorize: Colorize, made: FilmRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise Stopped(130, "Interrupted.")

    monkeypatch.setattr(Flow, "fill", interrupted)
    said = colorize("--json")
    assert said.code == 130
    assert said.json.keys() >= KEYS and said.json["status"] == "interrupted"
    assert said.error[0] == "Error: Interrupted."
    assert f"kinecolor colorize {made.source}" in said.error[1]
    assert not (tmp_path / "out.mkv").exists()
    monkeypatch.undo()
    assert colorize().code == 0


# -- each form of each option ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "anchor"), [("@f5", 5), ("@0.21", 5), ("@00:00:00:05", 5), ("", 5)]
)
def test_when_a_still_was_taken(
    colorize: Colorize, made: FilmRequest, moment: str, anchor: int
) -> None:
    """In every form, and found by its picture where nothing is said."""
    still = made.references[0].removesuffix("@f5") + moment
    said = colorize("--json", stills=(still,))
    assert said.code == 0
    starts = {row.start for row in latest(paths_of(said), SegmentRow).rows}
    assert starts == {0, anchor, 10, 24}
    assert said.json["grey_shots"] == [2, 3]


def test_a_folder_of_stills(colorize: Colorize, made: FilmRequest, tmp_path: Path) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    for still in made.references:
        path, _, moment = still.rpartition("@")
        shutil.copy(path, folder / f"still@{moment}.png")
    (folder / "notes.txt").write_text("not a still")
    said = colorize("--references", folder, "--json", stills=())
    assert said.code == 0 and said.json["grey_shots"] == []
    starts = {row.start for row in latest(paths_of(said), SegmentRow).rows}
    assert starts == {0, 5, 10, 17, 24, 30}


def test_stills_and_a_folder_together(
    colorize: Colorize, made: FilmRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    shutil.copy(made.references[2].partition("@")[0], folder / "c@f30.png")
    said = colorize("--references", folder, "--json", stills=made.references[:2])
    assert said.json["grey_shots"] == []


def test_the_papers_merge(colorize: Colorize) -> None:
    said = colorize("--set", "merge=lab", "--json")
    assert said.code == 0 and said.json["luma_exact"] is False


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_access_copy(colorize: Colorize, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"new folder/copy.{suffix}"
    said = colorize("-o", out, "--json")
    assert said.code == 0 and said.json["frames_out"] == FRAMES
    assert said.json["luma_exact"] is False
    with av.open(str(out)) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in film.decode(video=0)) == FRAMES
    assert [each.name for each in out.parent.iterdir() if each.name.startswith(".")] == []


def test_the_default_output_is_named_after_the_film(
    kinecolor: Kinecolor, made: FilmRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert made.shots
    still = made.references[0]
    said = kinecolor("colorize", made.source, "--reference", still, "--local", "--json")
    assert said.json["output"] == str(tmp_path / "film-colour.mkv")
    assert said.json["work"] == str(tmp_path / "kinecolor-work")


# -- shots -----------------------------------------------------------------------------------


def test_shots_are_printed_or_written(
    kinecolor: Kinecolor, colorize: Colorize, made: FilmRequest, tmp_path: Path
) -> None:
    printed = kinecolor("shots", made.source)
    assert printed.code == 0
    header, *lines = printed.out.splitlines()
    assert header.startswith("shot,start,end,")
    assert lines[0].startswith("1,0,") and lines[-1].split(",")[2] == str(FRAMES)
    written = kinecolor("shots", made.source, "-o", tmp_path / "list.csv")
    assert written.code == 0 and written.out == ""
    assert (tmp_path / "list.csv").read_text() == printed.out
    assert colorize("--shots", tmp_path / "list.csv").code == 0


def test_an_edited_list_counts(colorize: Colorize, tmp_path: Path) -> None:
    edited = tmp_path / "edited.csv"
    edited.write_text("shot,start,end,enabled,note\n1,0,10,yes,\n2,10,20,no,as it is\n3,20,36,,\n")
    said = colorize("--shots", edited, "--json")
    assert said.code == 0 and said.json["shots"] == 3
    assert said.json["grey_shots"] == [2] and said.json["frames_out"] == FRAMES
    rows = latest(paths_of(said), ShotRow).rows
    assert [(row.start, row.end, row.status) for row in rows] == [
        (0, 10, "done"),
        (10, 20, "grey"),
        (20, 36, "done"),
    ]
    assert is_grey(tmp_path / "out.mkv") == [10 <= frame < 20 for frame in range(FRAMES)]


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        ("1,0,12\n2,10,24\n3,24,36", 3, "overlap"),
        ("1,0,10\n2,12,24\n3,24,36", 3, "gap"),
        ("1,0,10\n2,10,24\n3,24,37", 4, "36 frames"),
        ("1,0,10\n2,10,24", 3, "ends at 24"),
        ("1,0,10\n2,ten,24\n3,24,36", 3, "whole number"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_the_line(
    colorize: Colorize, tmp_path: Path, lines: str, line: int, problem: str
) -> None:
    edited = tmp_path / "edited.csv"
    edited.write_text(f"shot,start,end\n{lines}\n")
    said = colorize("--shots", edited)
    assert said.code == 1
    assert f"line {line}" in said.error[0] and problem in said.error[0]
