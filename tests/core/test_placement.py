"""Which workers do what: by the memory that parts declare, and what there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.contract import Device, Facts, Memory
from colorize_core.errors import DeviceMissing
from colorize_core.parts import kept_beside
from colorize_core.placement import MANY, Group, Resources, place, usable_gpu_bytes

GIB = 2**30
PIXELS = 1000


def part(name: str, gib: float, *, gpu: bool = True) -> Facts:
    """A part that needs `gib` GiB in all, half of it weights."""
    half = int(gib * GIB / 2)
    return Facts(name, 1, PIXELS, Memory(half, half // PIXELS), needs_gpu=gpu, weights="w" * gpu)


def paper(reference: float = 40, anchors: float = 4, interpolation: float = 10) -> PartFacts:
    return PartFacts(part("r", reference), part("a", anchors), part("i", interpolation))


def by_stages(groups: tuple[Group, ...]) -> dict[tuple[str, ...], Group]:
    return {group.stages: group for group in groups}


EXEMPLAR = PartFacts(None, part("match", 0.1, gpu=False), part("flow", 0.1, gpu=False))
TWO_GPUS = Resources(cpus=16, cpu_bytes=128 * GIB, gpus=2, gpu_bytes=80 * GIB)


def test_cpu_parts_share_one_group_of_all_cpus() -> None:
    (group,) = place(EXEMPLAR, Resources(8, 32 * GIB), "auto", None)
    assert group.stages == ("anchors", "interpolation", "finish")
    assert group.workers == 8 and group.gpu_share == 0 and group.device.kind == "cpu"


@pytest.mark.parametrize(("workers", "made"), [(None, 4), (2, 2), (9, 4)])
def test_as_many_cpu_workers_as_asked_for_and_there(workers: int | None, made: int) -> None:
    (group,) = place(EXEMPLAR, Resources(4, 32 * GIB), "auto", workers)
    assert group.workers == made


def test_memory_limits_cpu_workers() -> None:
    (group,) = place(paper(1, 4, 10), Resources(16, 32 * GIB), "cpu", None)
    assert group.stages == ("reference", "anchors", "interpolation", "finish")
    assert group.workers == 2
    assert group.workers * group.device.memory_bytes <= 32 * GIB


@pytest.mark.parametrize(("workers", "most"), [(None, MANY), (3, 3)])
def test_groups_grow_where_machines_may_join(workers: int | None, most: int) -> None:
    assert {each.most for each in place(paper(), TWO_GPUS, "auto", workers)} == {None}
    cluster = replace(TWO_GPUS, grows=True)
    assert {each.most for each in place(paper(), cluster, "auto", workers)} == {most}
    (group,) = place(paper(1, 4, 10), replace(cluster, gpus=0), "cpu", workers)
    assert (group.most, group.least_bytes) == (most, pytest.approx(10 * GIB))


def test_stills_come_first_on_whole_gpus_and_the_other_parts_share_each() -> None:
    groups = by_stages(place(paper(), TWO_GPUS, "auto", None))
    assert set(groups) == {("reference",), ("anchors",), ("interpolation",), ("finish",)}
    assert groups[("reference",)].gpu_share == 1 and groups[("reference",)].workers == 2
    anchors, interpolation = groups[("anchors",)], groups[("interpolation",)]
    assert anchors.workers == interpolation.workers == 2
    assert anchors.gpu_share + interpolation.gpu_share <= 1
    together = anchors.device.memory_bytes + interpolation.device.memory_bytes
    assert together <= usable_gpu_bytes(80 * GIB, processes=2)
    assert anchors.device.memory_bytes >= 4 * GIB
    assert interpolation.device.memory_bytes >= 10 * GIB
    assert not anchors.takes_turns and groups[("finish",)].workers == 16
    assert (anchors.beside, interpolation.beside) == ("interpolation", None)


def test_parts_that_do_not_fit_together_take_turns() -> None:
    small = Resources(8, 32 * GIB, gpus=1, gpu_bytes=12 * GIB)
    groups = by_stages(place(paper(reference=10, anchors=8, interpolation=9), small, "auto", None))
    turns = groups[("anchors", "interpolation")]
    assert turns.takes_turns and turns.workers == 1 and turns.gpu_share == 1


def test_a_part_on_the_cpu_stays_there() -> None:
    fast = PartFacts(part("qwen", 40), part("dual", 4), part("flow", 0.1, gpu=False))
    groups = by_stages(place(fast, TWO_GPUS, "auto", None))
    assert set(groups) == {("reference",), ("anchors",), ("interpolation", "finish")}
    assert groups[("anchors",)].gpu_share == 1 and not groups[("anchors",)].takes_turns


def test_without_a_gpu_it_says_so_and_does_not_fall_back() -> None:
    with pytest.raises(DeviceMissing, match=r"no GPU here for r and a and i.*\n.*--device cpu"):
        place(paper(), Resources(16, 128 * GIB), "auto", None)


def test_a_gpu_that_torch_cannot_see_is_no_gpu() -> None:
    with pytest.raises(DeviceMissing, match="torch cannot see"):
        place(paper(), Resources(8, 32 * GIB, gpus=1), "auto", None)


def test_a_gpu_that_is_too_small_is_named() -> None:
    with pytest.raises(DeviceMissing, match=r"r needs 40\.0 GiB of GPU memory; 21\.5 GiB"):
        place(paper(), Resources(8, 32 * GIB, gpus=1, gpu_bytes=24 * GIB), "auto", None)


def test_a_machine_that_is_too_small_is_named() -> None:
    with pytest.raises(DeviceMissing, match=r"r needs 40\.0 GiB of memory"):
        place(paper(), Resources(8, 32 * GIB), "cpu", None)


def test_parts_of_one_process_stay_side_by_side_where_both_fit() -> None:
    facts = paper(anchors=4, interpolation=10)
    kept = kept_beside("anchors", facts, Device("cuda", 20 * GIB))
    assert kept is facts.interpolation
    assert kept_beside("interpolation", facts, Device("cuda", 20 * GIB)) is facts.anchors
    assert kept_beside("anchors", facts, Device("cuda", 11 * GIB)) is None
    assert kept_beside("reference", facts, Device("cuda", 200 * GIB)) is None


def test_memory_says_how_many_frames_fit() -> None:
    memory = Memory(fixed=1000, per_pixel=2, frames=3)
    assert memory.need(10) == 1060 and memory.need(10, 1) == 1020
    assert memory.most_frames(10, 1000 + 2 * 60 + 59) == 6
    assert memory.most_frames(10, 0) == 3
