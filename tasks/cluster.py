"""Joining a Ray cluster, or starting a private one on this machine."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from colorize_core.errors import ClusterUnavailable

if TYPE_CHECKING:
    from tasks.pool import RayPool

# Nothing large crosses: results are small values.
OBJECT_STORE_BYTES = 150 * 2**20
CONNECT_TIMEOUT_S = 10.0


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
def worker_pool(address: str | None, workers: int | None) -> Iterator[RayPool]:
    """A pool of workers on the cluster at `address` (``RAY_ADDRESS`` where None), or on a private
    Ray of this machine where neither is given. `workers`: how many (None: one for each CPU).

    Raises:
        ClusterUnavailable: an address that was asked for does not answer. Never a private
            cluster in its place.
    """
    check_cluster(address)
    address = _asked_for(address)
    if "ray" not in sys.modules:
        _set_environment(private=address is None)
    # Ray reads its environment when it is imported.
    import ray

    from tasks.pool import RayPool

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


def _set_environment(*, private: bool) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if private and "RAY_AUTH_MODE" not in os.environ:
        # A secret of this run, so that no other user of the machine can hand its Ray work.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


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
