"""What a film will take: counted as the run itself plans it."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize_core.claim import hold
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.contract import Device, Facts, Memory
from colorize_core.errors import InputError
from colorize_core.estimate import Estimate, estimate
from colorize_core.film import Film, open_film
from colorize_core.local import LocalPool
from colorize_core.placement import Group, Resources, place
from colorize_core.prepare import prepare_run, read_shots
from colorize_core.request import FilmRequest
from colorize_core.timings import FINISH, Timings, units
from colorize_core.work import Stage
from tests.film import SCENES, film_request, quiet

GPU = "NVIDIA H100 80GB HBM3"
PIXELS = 184_320


def gpu_part(name: str, calls: float) -> Facts:
    memory = Memory(fixed=2**30, per_pixel=1000, frames=2)
    return Facts(
        name,
        1,
        PIXELS,
        memory,
        enlarges=True,
        square_pixels=True,
        needs_gpu=True,
        network_calls=calls,
    )


PAPER = PartFacts(gpu_part("qwen", 60), gpu_part("dual_attention", 45), gpu_part("svd", 100))
HERE = place(PAPER, Resources(cpus=4, cpu_bytes=2**35, gpus=2, gpu_bytes=2**36), "auto", None)


def opened(request: FilmRequest) -> Film:
    return open_film(request, quiet)


def estimated(
    request: FilmRequest, facts: PartFacts, timings: Timings, groups: tuple[Group, ...] = ()
) -> Estimate:
    film = opened(request)
    return estimate(film, read_shots(film, request), request, facts, timings, groups, GPU)


def test_counts_are_those_of_the_run(tmp_path: Path) -> None:
    request = film_request(tmp_path, "anchor_interval=4")
    facts = PartFacts.of(request.config)
    film = opened(request)
    with hold(film.paths, quiet) as claim:
        run = prepare_run(film, request, LocalPool(), quiet, claim)
    found = estimated(request, facts, Timings({}))
    assert (found.shots, found.grey_shots, found.frames) == (3, 0, sum(SCENES))
    assert found.segments == sum(len(work.segments) for work in run.shots)
    assert found.anchors == sum(len(item.anchors) for work in run.shots for item in work.anchors)
    by_stage = {each.stage: each for each in found.stages}
    assert by_stage["anchors"].frames == sum(i.frames for w in run.shots for i in w.anchors)
    segments = [item for work in run.shots for _, item in work.segments if item]
    assert by_stage["interpolation"].frames == sum(item.frames for item in segments)
    assert by_stage["finish"].frames == sum(SCENES)
    assert found.stills == 0 and [each.network_calls for each in found.stages] == [0, 0, 0]


def test_stills_are_made_where_none_is_given(tmp_path: Path) -> None:
    request = film_request(tmp_path, "most_references=1", stills=(17,))
    found = estimated(request, PAPER, Timings({}))
    assert found.stills == 2
    # Shots of 10, 14 and 12 frames: both ends, the middle of the first and last, frame 17.
    assert found.anchors == 9 and found.segments == 6
    calls = {each.stage: each.network_calls for each in found.stages}
    assert calls["reference"] == 2 * 60 and calls["anchors"] == 9 * 45
    assert calls["interpolation"] == 100 * (sum(SCENES) + found.segments - 3)
    assert calls["finish"] == 0


def test_several_stills_of_a_shot_are_taken_as_the_most(tmp_path: Path) -> None:
    for settings, most in ((), 3), (("most_references=2",), 2), (("reference_choice=middle",), 1):
        request = film_request(tmp_path, *settings, stills=(17,))
        assert estimated(request, PAPER, Timings({})).stills == 2 * most


def test_shots_that_are_switched_off_take_nothing_but_their_end(tmp_path: Path) -> None:
    request = film_request(tmp_path, stills=())
    (tmp_path / "shots.csv").write_text(
        "shot,start,end,enabled\n1,0,10,no\n2,10,24,no\n3,24,36,no\n"
    )
    found = estimated(request, PAPER, Timings({}), HERE)
    assert (found.grey_shots, found.stills, found.anchors, found.segments) == (3, 0, 0, 0)
    assert found.seconds == found.stages[-1].seconds  # finish


def test_memory_is_the_parts_formula_at_the_films_working_size(tmp_path: Path) -> None:
    found = estimated(film_request(tmp_path), PAPER, Timings({}))
    svd = next(each for each in found.stages if each.part == "svd/1")
    assert (svd.width, svd.height) == PAPER.interpolation.working_size(96, 64)
    assert svd.memory_bytes == 2**30 + 1000 * svd.width * svd.height * 2


def test_seconds_are_unknown_without_a_figure_or_a_place(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    nowhere = estimated(request, PartFacts.of(request.config), Timings({}))
    assert nowhere.seconds is None and {each.device for each in nowhere.stages} == {None}
    unmeasured = estimated(request, PAPER, Timings({}), HERE)
    assert unmeasured.seconds is None
    seconds = {each.stage: each.seconds for each in unmeasured.stages}
    assert seconds["interpolation"] is None and seconds["finish"] is not None
    assert seconds["reference"] == 0  # every shot has a still


def test_seconds_from_what_was_measured(tmp_path: Path) -> None:
    request = film_request(tmp_path, stills=())
    timings = Timings({})
    for name in ("qwen/1", "dual_attention/1", "svd/1"):
        timings.add(name, GPU, units=100, seconds=10)
    found = estimated(request, PAPER, timings, HERE)
    stage = {each.stage: each for each in found.stages}
    svd = stage["interpolation"]
    assert (svd.device, svd.workers, svd.measured) == (GPU, 2, True)
    pixels = svd.width * svd.height
    assert svd.seconds == pytest.approx(0.1 * units(100, svd.frames, pixels) / 2)
    assert stage["finish"].device == "cpu" and not stage["finish"].measured
    # Stills, and then anchors, segments and frames side by side: the slowest of them counts.
    expected = seconds_of(stage["reference"].seconds) + seconds_of(svd.seconds)
    assert found.seconds == pytest.approx(expected)


def test_stages_of_one_group_take_turns(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    facts = PartFacts.of(request.config)
    stages: tuple[Stage, ...] = ("anchors", "interpolation", "finish")
    found = estimated(request, facts, Timings({}), (Group(stages, 2, Device()),))
    assert found.seconds == pytest.approx(sum(seconds_of(each.seconds) for each in found.stages))
    assert all(each.workers == 2 and each.device == "cpu" for each in found.stages)


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "timings.json").write_text("?")
    found = estimated(film_request(tmp_path), PAPER, Timings.load(str(tmp_path)))
    assert "timings.json" in found.warnings[0]


def test_a_still_outside_the_film_is_refused(tmp_path: Path) -> None:
    request = film_request(tmp_path, stills=(5,))
    wrong = request.model_copy(update={"references": (f"{tmp_path}/still5.png@f99",)})
    with pytest.raises(InputError, match="outside the film"):
        estimated(wrong, PAPER, Timings({}))


def test_it_is_json(tmp_path: Path) -> None:
    found = estimated(film_request(tmp_path), PAPER, Timings({}), HERE)
    assert Estimate.model_validate_json(found.model_dump_json()) == found
    assert FINISH in found.model_dump_json()


def seconds_of(seconds: float | None) -> float:
    assert seconds is not None
    return seconds
