"""Joining a Ray cluster, or starting one on this machine; and Prefect's server likewise."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from colorize_core.errors import ClusterUnavailable
from tasks.pool import RayPool


@contextmanager
def worker_pool(address: str | None, workers: int | None) -> Iterator[RayPool]:
    """A pool of workers on the cluster at `address` (``RAY_ADDRESS`` where None), or on a private
    Ray of this machine where neither is given. `workers`: how many (None: one for each CPU).

    Raises:
        ClusterUnavailable: an address that was asked for does not answer. Never a private
            cluster in its place.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    _join(address)
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        pool = RayPool(max(1, min(workers or cpus, cpus)))
        try:
            pool.wait_ready()
            yield pool
        finally:
            pool.close()
    finally:
        ray.shutdown()


def _join(address: str | None) -> None:
    # A GPU-less driver must not hide GPUs from CPU workers; Ray asks for the choice to be made.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A private Ray asks its own processes for a token, so that no other user of the machine
    # can hand it work; for a cluster the environment says what it wants.
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=150 * 2**20,  # nothing large crosses: results are small values
        )
        return
    if address.startswith("ray://"):
        raise ClusterUnavailable(
            "kinecolor joins a cluster as a driver; ray:// is Ray's client protocol.",
            "Run on a machine of the cluster and give --ray HOST:6379 (or --ray auto).",
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ClusterUnavailable(
            f"No Ray cluster answers at {address}.",
            "Start one (ray start --head), give another --ray ADDRESS, or leave it out to use this "
            "machine alone.",
        ) from error
