"""Which frames of a shot stills are made of, for parts that make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize_core.claim import hold
from colorize_core.config import load_config
from colorize_core.film import open_film
from colorize_core.local import LocalPool
from colorize_core.prepare import prepare_run
from colorize_core.request import FilmRequest
from colorize_core.run import FilmRun
from tests.film import quiet
from tests.panned_film import BLACK, SHOTS, write_panned_film
from tests.tiny.paper import paper_settings

pytestmark = pytest.mark.xdist_group("paper")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice")
    write_panned_film(folder)
    return folder


def planned(folder: Path, models: Path, *settings: str, preset: str = "fast") -> FilmRun:
    request = FilmRequest(
        source=str(folder / "film.mkv"),
        output=str(folder / "out.mkv"),
        work=str(folder / "work"),
        shots=str(folder / "shots.csv"),
        config=load_config(preset, paper_settings(models, *settings)),
        accept_licence=True,
    )
    film = open_film(request, quiet)
    with hold(film.paths, quiet) as claim:
        return prepare_run(film, request, LocalPool(), quiet, claim)


def frames_of(run: FilmRun) -> list[list[int | None]]:
    return [[still.frame for still in work.choice.stills] for work in run.shots]


def test_the_papers_way_is_the_middle_frame(folder: Path, paper_models: Path) -> None:
    middles = [[start + (end - start) // 2] for start, end in SHOTS]
    assert frames_of(planned(folder, paper_models, preset="paper")) == middles


def test_coverage_avoids_black_and_takes_more_of_a_shot_that_changes(
    folder: Path, paper_models: Path
) -> None:
    run = planned(folder, paper_models)
    (first,), changing, (third,) = frames_of(run)
    assert first is not None and first not in BLACK
    assert sorted(frame < 44 for frame in changing if frame is not None) == [False, True]
    assert third is not None
    assert len(planned(folder, paper_models, "most_references=1").work(2).choice.stills) == 1
    for work, frames in zip(run.shots, frames_of(run), strict=True):
        assert [item.frame for item in work.choice.making] == frames
        anchors = {anchor for item in work.anchors for anchor in item.anchors}
        assert anchors >= set(frames), "a still's frame is an anchor"


def test_two_rounds_make_all_stills(folder: Path, paper_models: Path) -> None:
    run = planned(folder, paper_models)
    making = {item.output: item for work in run.shots for item in work.choice.making}
    for item in making.values():
        assert all(not making[still.uri].kindred for still in item.kindred)
    first, second = run.work(2).choice.making
    assert first.kindred == ()
    assert [still.uri for still in second.kindred] == [first.output]
    (kin,) = run.work(3).choice.making
    assert [still.uri for still in kin.kindred] == [run.work(1).choice.stills[0].uri]
    assert "like shot 1" in run.work(3).choice.reason


def test_without_kindred_stills_each_is_made_alone(folder: Path, paper_models: Path) -> None:
    run = planned(folder, paper_models, "qwen.kindred=0")
    assert all(not item.kindred for work in run.shots for item in work.choice.making)


def test_anchors_by_change(folder: Path, paper_models: Path) -> None:
    names = [
        {uri for work in planned(folder, paper_models, *more).shots for _, item in work.segments
         if item for uri in (item.start, item.end)}
        for more in ((), ("anchor_spacing=adaptive",))
    ]  # fmt: skip
    assert names[0] != names[1] and names[0] & names[1], "anchors at the same frames are the same"
