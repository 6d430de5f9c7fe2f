"""Which workers do which stage, on what, and with how much memory. Pure: decided before any runs.

Stills are made first, by workers that are given back before the shots begin. After that the parts
of anchors and interpolation share each GPU where both fit, or take turns in one worker.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from colorize_core.config import RunConfig
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.contract import Device, Facts
from colorize_core.errors import DeviceMissing
from colorize_core.parts import least_bytes
from colorize_core.work import Stage

DeviceKind = Literal["auto", "cpu", "cuda"]

MANY = 10_000  # workers: more than any cluster has room for
_GIB = 2**30
# Of a GPU's memory: what CUDA itself takes in each process, and what fragmentation loses.
_CUDA_BYTES = 600 * 2**20
_USABLE = 0.92
_CPU_USABLE = 0.8  # of a machine's memory: the rest is the system's, Ray's and the file cache's


@dataclass(frozen=True, slots=True)
class Resources:
    """What there is to work with: of a cluster, or of this machine. `gpu_bytes`, `gpu_name`: of
    the smallest GPU; `cpu_bytes`: memory of all CPUs together. `grows`: machines may join."""

    cpus: int
    cpu_bytes: int
    gpus: int = 0
    gpu_bytes: int = 0
    gpu_name: str = ""
    grows: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Workers that are alike: they do the same stages, each with a share of one GPU (0: none).

    Attributes:
        workers: as many as there is room for now.
        takes_turns: the stages' parts do not fit on the device together.
        most: where machines may join, as many as the group may become; None: it stays as it is.
        least_bytes: of its machine's memory that each takes at least (0: of no account).
        beside: the stage of the group whose workers have the larger share of the same GPUs. Ray
            would put two small shares on one GPU, and leave no room for a large one.
    """

    stages: tuple[Stage, ...]
    workers: int
    device: Device
    gpu_share: float = 0.0
    takes_turns: bool = False
    most: int | None = None
    least_bytes: int = 0
    beside: Stage | None = None


def place(
    facts: PartFacts, resources: Resources, kind: DeviceKind, workers: int | None
) -> tuple[Group, ...]:
    """The groups of workers for a run. `workers`: at most so many in a group, ever.

    Raises:
        DeviceMissing: a part needs a GPU that is not there or is too small, or too much memory.
    """
    stages = facts.by_stage()
    on_gpu: dict[Stage, Facts] = {name: each for name, each in stages.items() if each.needs_gpu}
    if not on_gpu or kind == "cpu":
        return (_on_cpus(stages, resources, workers),)
    if resources.gpus < 1:
        names = " and ".join(each.name for each in on_gpu.values())
        raise DeviceMissing(
            f"There is no GPU here for {names}.",
            "Run on a machine or cluster with one, use --preset exemplar, or ask for the CPU with "
            "--device cpu (very slow with published weights).",
        )
    if not resources.gpu_bytes:
        raise DeviceMissing(
            "There is a GPU here that torch cannot see.",
            "Check the driver, and that torch is a CUDA build (python -c 'import torch; "
            "print(torch.version.cuda)'), on every machine with a GPU.",
        )
    groups = []
    if "reference" in on_gpu:
        groups.append(_on_gpus(("reference",), [on_gpu.pop("reference")], resources, workers))
    if len(on_gpu) == 2 and (pair := _side_by_side(on_gpu, resources, workers)):
        groups += pair
    elif on_gpu:
        groups.append(_on_gpus(tuple(on_gpu), list(on_gpu.values()), resources, workers))
    rest: dict[Stage, Facts] = {stage: each for stage, each in stages.items() if not each.needs_gpu}
    return (*groups, _on_cpus(rest, resources, workers))


def usable_gpu_bytes(gpu_bytes: int, processes: int = 1) -> int:
    """What parts may use of a GPU that so many processes share, all together."""
    return int(gpu_bytes * _USABLE) - processes * _CUDA_BYTES


def _on_gpus(
    stages: tuple[Stage, ...], parts: list[Facts], resources: Resources, workers: int | None
) -> Group:
    """One worker a GPU; where it has two parts that do not fit together, they take turns."""
    memory = usable_gpu_bytes(resources.gpu_bytes)
    for part in parts:
        if least_bytes(part) > memory:
            raise DeviceMissing(
                f"{part.name} needs {least_bytes(part) / _GIB:.1f} GiB of GPU memory; "
                f"{memory / _GIB:.1f} GiB can be used here.",
                f"Lower {part.name}.pixel_budget, or see docs/models.md for what needs less "
                "(offload, quantization, recomputed features).",
            )
    return Group(
        stages,
        max(1, min(workers or resources.gpus, resources.gpus)),
        Device("cuda", memory),
        1.0,
        takes_turns=len(parts) > 1,
        most=_most(resources, workers),
    )


def _side_by_side(
    parts: dict[Stage, Facts], resources: Resources, workers: int | None
) -> list[Group] | None:
    """A worker of each part on every GPU, memory shared by need; None where they do not fit."""
    memory = usable_gpu_bytes(resources.gpu_bytes, processes=len(parts))
    needs: dict[Stage, int] = {stage: least_bytes(part) for stage, part in parts.items()}
    total = sum(needs.values())
    if total > memory:
        return None
    count = max(1, min(workers or resources.gpus, resources.gpus))
    largest, *_ = by_need = sorted(needs, key=lambda stage: -needs[stage])
    return [
        Group(
            (stage,),
            count,
            Device("cuda", int(memory * needs[stage] / total)),
            int(100 * needs[stage] / total) / 100,
            most=_most(resources, workers),
            beside=None if stage == largest else largest,
        )
        for stage in by_need
    ]


def _on_cpus(parts: dict[Stage, Facts], resources: Resources, workers: int | None) -> Group:
    """Workers of one CPU each, which finish the frames, too: as many as memory allows."""
    need, name = max(((least_bytes(each), each.name) for each in parts.values()), default=(0, ""))
    memory = int(resources.cpu_bytes * _CPU_USABLE)
    if need > memory:
        raise DeviceMissing(
            f"{name} needs {need / _GIB:.1f} GiB of memory; {memory / _GIB:.1f} GiB can be used.",
            "Use a larger machine, or see docs/models.md for what needs less.",
        )
    count = max(1, min(workers or resources.cpus, resources.cpus, memory // max(need, 1)))
    return Group(
        (*parts, "finish"),
        count,
        Device("cpu", memory // count),
        most=_most(resources, workers),
        least_bytes=need,
    )


def _most(resources: Resources, workers: int | None) -> int | None:
    return (workers or MANY) if resources.grows else None


def local_device(config: RunConfig, kind: DeviceKind) -> Device:
    """What this process computes on, alone.

    Raises:
        DeviceMissing: as `place`.
    """
    facts = PartFacts.of(config)
    resources = local_resources(facts)
    groups = place(facts, resources, kind, 1)
    if len(groups) == 1:
        return groups[0].device
    return Device("cuda", usable_gpu_bytes(resources.gpu_bytes))


def local_resources(facts: PartFacts) -> Resources:
    """What this machine has. GPUs are looked for only where a part wants one."""
    cpus, memory = os.cpu_count() or 1, memory_here()
    if not any(each.needs_gpu for each in facts.by_stage().values()):
        return Resources(cpus, memory)
    gpus = gpus_here()
    if not gpus:
        return Resources(cpus, memory)
    return Resources(cpus, memory, len(gpus), *min(gpus))


def memory_here() -> int:
    """Bytes that this process may use: the machine's, or its container's if that is less."""
    total = psutil.virtual_memory().total
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def gpus_here() -> list[tuple[int, str]]:
    """Bytes and name of each GPU that this process sees."""
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [(each.total_memory, each.name) for each in found]
