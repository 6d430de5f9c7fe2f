"""Groups of workers on a real Ray with one GPU (a resource in name only: networks are tiny and
compute on the CPU): stages follow each other on it, or share it."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from colorize_core.claim import hold
from colorize_core.deliver import deliver
from colorize_core.engines.contract import CPU
from colorize_core.film import open_film
from colorize_core.placement import Group
from colorize_core.prepare import prepare_run
from colorize_core.work import Stage
from tests.film import film_request, quiet
from tests.tiny.paper import paper_settings

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


def group(*stages: Stage, gpu: float, takes_turns: bool = False) -> Group:
    return Group(stages, 1, CPU, gpu, takes_turns)


@pytest.mark.parametrize(
    ("preset", "groups"),
    [
        # The still's worker has the whole GPU: were it not given back, the next would never start.
        ("fast", [group("reference", gpu=1), group("anchors", gpu=1)]),
        (
            "paper",
            [
                group("reference", gpu=1),
                group("anchors", gpu=0.3),
                group("interpolation", gpu=0.7),
            ],
        ),
        (
            "paper",
            [
                group("reference", gpu=1),
                group("anchors", "interpolation", gpu=1, takes_turns=True),
            ],
        ),
    ],
)
def test_a_film_on_one_gpu(
    preset: str, groups: list[Group], tmp_path: Path, paper_models: Path, ray_cluster: str
) -> None:
    from tasks.cluster import start_group
    from tasks.groups import GroupedPool

    request = film_request(tmp_path, *paper_settings(paper_models), stills=(5, 17), preset=preset)
    rest: tuple[Stage, ...] = ("interpolation", "finish") if preset == "fast" else ("finish",)
    pool = GroupedPool([*groups, Group(rest, 1, CPU)], start_group)
    try:
        film = open_film(request, quiet)
        with hold(film.paths, quiet) as claim:
            run = prepare_run(film, request, pool, quiet, claim)
            run.make_references()
            for work in run.shots:
                run.colorize_shot(work)
            assert deliver(run).status == "published"
    finally:
        pool.close()


def test_nothing_is_started_for_a_stage_without_work(ray_cluster: str) -> None:
    from tasks.groups import GroupedPool

    started: list[Group] = []

    def start(each: Group) -> NoReturn:
        started.append(each)
        raise AssertionError

    pool = GroupedPool([group("reference", gpu=1), group("finish", gpu=0)], start)
    pool.release("reference")
    pool.close()
    assert started == []


def test_who_waits_for_a_busy_gpu_says_so(
    ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import pool as pools
    from tasks.cluster import start_group

    monkeypatch.setattr(pools, "PATIENCE_S", 0.2)
    at_work = start_group(group("reference", gpu=1))
    said: list[tuple[str, int, int]] = []

    def hear(stage: str, done: int, total: int) -> None:
        said.append((stage, done, total))
        if len(said) == 2:
            at_work.close()

    start_group(group("anchors", gpu=1), hear).close()
    assert said[:2] == [("workers", 0, 1)] * 2
    assert said[-1] == ("workers", 1, 1)
