"""Groups of workers on a real Ray with one GPU (a resource in name only: networks are tiny and
compute on the CPU): stages follow each other on it, or share it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
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
from tasks.groups import GroupedPool, Limit
from tests.conftest import ROOT
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
    started: list[Group] = []

    def start(each: Group, limit: Limit | None) -> NoReturn:
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
    at_work.wait_ready()
    said: list[tuple[int, int]] = []

    def hear(up: int, asked: int) -> None:
        said.append((up, asked))
        if len(said) == 2:
            at_work.close()

    waiting = GroupedPool([group("anchors", gpu=1)], start_group, hear)
    waiting.open("anchors")
    waiting.close()
    assert said[:2] == [(0, 1)] * 2
    assert said[-1] == (1, 1)


def test_who_waits_for_a_busy_gpu_can_be_closed(ray_cluster: str) -> None:
    from tasks.cluster import start_group

    at_work = start_group(group("reference", gpu=1))
    at_work.wait_ready()
    waiting = GroupedPool([group("anchors", gpu=1)], start_group)
    thread = threading.Thread(target=waiting.open, args=("anchors",))
    thread.start()
    while not waiting.state().starting:
        time.sleep(0.01)
    waiting.close()
    thread.join(60)
    at_work.close()
    assert not thread.is_alive()


def test_parts_that_share_two_gpus() -> None:
    """A worker of each on both, though Ray would put two small shares on the first. In a process of
    its own, since this one has joined a Ray of one GPU."""
    variables = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    variables["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    command = [sys.executable, "-m", "tests.tasks.two_gpus"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=120
    )
    assert json.loads(done.stdout) == {"anchors": [0, 1], "interpolation": [0, 1]}, done.stderr
