"""Joining a Ray cluster, or starting a private one on this machine."""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from colorize_core.config import Budgets, RunConfig
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.diffusion.weights import check_weights
from colorize_core.errors import ClusterUnavailable, KinecolorError
from colorize_core.placement import (
    DeviceKind,
    Group,
    Resources,
    gpus_here,
    memory_here,
    place,
)
from colorize_core.work import Progress
from tasks.groups import GroupedPool, Limit
from tasks.guard import guarded
from tasks.jobs import RAMP

if TYPE_CHECKING:
    from tasks.pool import RayPool

# Nothing large crosses: results are small values.
OBJECT_STORE_BYTES = 150 * 2**20
CONNECT_TIMEOUT_S = 10.0
IDLE_S = 60.0  # a worker that had nothing to do for so long is given back: others want its room


def check_cluster(address: str | None) -> None:
    """Refuse at once a cluster that is asked for, here or by ``RAY_ADDRESS``, and is not there.

    Raises:
        ClusterUnavailable: a ``ray://`` address, or nothing listens there.
    """
    address = _asked_for(address)
    if address is None:
        return
    if address.startswith("ray://"):
        raise ClusterUnavailable(
            "kinecolor joins a cluster as a driver; ray:// is Ray's client protocol.",
            "Run on a machine of the cluster and give --ray HOST:6379 (or --ray auto).",
        )
    host, colon, port = address.rpartition(":")
    if not colon:  # "auto"
        return
    # Ray itself tries for more than two minutes, and says so in its own words.
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _unavailable(address) from error


@contextmanager
def worker_pool(
    config: RunConfig,
    address: str | None,
    workers: int | None,
    device: DeviceKind = "auto",
    progress: Progress = lambda stage, done, total: None,
) -> Iterator[GroupedPool]:
    """Workers for a run on the cluster at `address` (``RAY_ADDRESS`` where None), or on a private
    Ray of this machine where neither is given. `workers`: how many of a kind at most (None: one
    for each CPU, and for each GPU; on a cluster one for each piece of work, as there is room).

    Raises:
        ClusterUnavailable: an address that was asked for does not answer. Never a private
            cluster in its place.
        DeviceMissing, WeightsMissing: what a part of `config` needs is not there.
    """
    with _joined(address):
        facts = PartFacts.of(config)
        found = replace(_resources(config, facts), grows=_asked_for(address) is not None)
        groups = place(facts, found, device, workers)
        start = partial(start_group, budgets=config.budgets)
        pool = GroupedPool(groups, start, partial(progress, "workers"))
        try:
            pool.open("finish")
            yield pool
        finally:
            pool.close()


@contextmanager
def shared_cluster(address: str | None) -> Iterator[str]:
    """The address of a Ray that other processes of this run join: the cluster at `address`
    (``RAY_ADDRESS`` where None), or a private one, which ends with the block.

    Raises:
        ClusterUnavailable: as `check_cluster`.
    """
    check_cluster(address)
    if asked := _asked_for(address):
        yield asked
        return
    with _joined(None):
        import ray

        yield ray.get_runtime_context().gcs_address


def resources(config: RunConfig, address: str) -> Resources:
    """What the cluster at `address` has for a run with `config`.

    Raises:
        ClusterUnavailable, WeightsMissing: as `worker_pool`.
    """
    with _joined(address):
        return _resources(config, PartFacts.of(config))


@contextmanager
def _joined(address: str | None) -> Iterator[None]:
    check_cluster(address)
    address = _asked_for(address)
    if "ray" not in sys.modules:
        _set_environment(private=address is None)
    # Ray reads its environment when it is imported.
    import ray

    with guarded() if address is None else nullcontext():
        with _own_sigterm():
            _join(address)
        try:
            yield
        finally:
            with _own_sigterm():
                ray.shutdown()


def start_group(
    group: Group,
    limit: Limit | None = None,
    budgets: Budgets = Budgets(),  # noqa: B008  frozen
) -> RayPool:
    """A pool of the group's workers, which start now; Ray is joined. `limit`: of its workers at any
    time, beside the group's own."""
    from tasks.pool import RayPool
    from tasks.worker import Worker

    # A worker on a GPU takes no CPU from those that finish frames.
    actor = Worker.options(
        num_cpus=0 if group.gpu_share else 1,
        num_gpus=group.gpu_share,
        memory=group.least_bytes or None,
    )
    most = group.most or group.workers

    def start_worker(memory: float) -> Any:
        bytes_ = int(group.device.memory_bytes * memory)
        return actor.remote(replace(group.device, memory_bytes=bytes_))

    return RayPool(
        1 if limit else min(group.workers, RAMP) if group.most else group.workers,
        start_worker,
        limit=(lambda: min(most, limit())) if limit else lambda: most,
        idle_s=IDLE_S if group.most else math.inf,
        budgets=budgets,
        sticky=group.takes_turns,
    )


def _resources(config: RunConfig, facts: PartFacts) -> Resources:
    """What the cluster has. Nodes are asked for their GPUs and weights where a part wants them."""
    import ray
    from ray.exceptions import RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    found = ray.cluster_resources()
    cpus, memory = int(found.get("CPU", 1)), int(found.get("memory", 0)) or memory_here()
    if not any(each.weights for each in facts.by_stage().values()):
        return Resources(cpus, memory)
    with_gpu = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    nodes = with_gpu or [node for node in ray.nodes() if node["Alive"]]
    ask = ray.remote(num_cpus=0, max_retries=0)(survey)
    answers = [
        ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(config)
        for node in nodes
    ]
    try:
        found_gpus = [gpu for answer in ray.get(answers) for gpu in answer]
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, KinecolorError) else error from error
    smallest = min(found_gpus, default=(0, ""))
    return Resources(cpus, memory, int(found.get("GPU", 0)), *smallest)


def survey(config: RunConfig) -> list[tuple[int, str]]:
    """Bytes and name of each GPU of this machine.

    Raises:
        WeightsMissing: weights or a library of a part of `config` are not on this machine.
    """
    check_weights(config)
    return gpus_here()


def _set_environment(*, private: bool) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if private and "RAY_AUTH_MODE" not in os.environ:
        # A secret of this run, so that no other user of the machine can hand its Ray work.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it is joined, and leaves the default behind: then it means
    again what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield  # Ray leaves it alone, or it is not Python's to set
        return
    try:
        yield
    except SystemExit as told:
        if told.code == signal.SIGTERM:  # by Ray's handler, meanwhile
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _join(address: str | None) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _unavailable(address) from error


def _asked_for(address: str | None) -> str | None:
    return address or os.environ.get("RAY_ADDRESS") or None


def _unavailable(address: str) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"No Ray cluster answers at {address}.",
        "Start one (ray start --head), give another --ray ADDRESS, or leave it out to use this "
        "machine alone.",
    )
