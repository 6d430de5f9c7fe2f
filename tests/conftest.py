"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers

# A test process for each core: threads of one would only wait for those of the other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
def paper_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random models of the classes that the preset `paper` loads (tests/tiny/paper.py)."""
    from tests.tiny.paper import save_paper_models

    return save_paper_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A real Ray on this machine, of two CPUs and a GPU in name only, joined by this process;
    gives its address."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["PYTHONPATH"] = str(ROOT)  # so that workers find the tests' own actors
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    with servers.own_ray(2, gpus=1) as address:
        yield address


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prefect server on loopback, empty; gives its API's URL."""
    with servers.prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server.url
