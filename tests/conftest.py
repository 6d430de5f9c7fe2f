"""What every test shares."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT.parent / "shared" / default)


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder of real clips, which is not part of the repository."""
    folder = _folder("KINECOLOR_FOOTAGE", "footage")
    if not folder.is_dir():
        pytest.skip(f"no footage at {folder} (KINECOLOR_FOOTAGE names another folder)")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A real Ray on this machine, of two CPUs, joined by this process; gives its address."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["PYTHONPATH"] = str(ROOT)  # so that workers find the tests' own actors
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=80 * 2**20,
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
