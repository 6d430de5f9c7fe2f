"""A Prefect server of these tests' own, and copies of the files to change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from deployments.files import FOLDER
from tests.servers import prefect_server

NAMES = ("prefect.yaml", "limits.yaml", "automations.yaml")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API's URL of a server that is not the other tests': it gets schedules and automations."""
    with prefect_server(tmp_path_factory.mktemp("site")) as server:
        yield server.url


@pytest.fixture
def prefect(site: str) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(site) as client:
        yield client


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(FOLDER / name, folder)
    return folder


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """What a site sets."""
    names = ("sources", "output", "work", "references")
    return {f"KINECOLOR_{name.upper()}": str(tmp_path / name) for name in names}


def change(file: Path, old: str, new: str) -> None:
    """Replaces a text that is in the file."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
