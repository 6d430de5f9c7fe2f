"""`kinecolor sweep` and the flow `sweep-storage`: what they say, and that they delete when told."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from colorize_core import storage
from colorize_core.paths import film_ids
from colorize_core.sweep import FilmSweep
from flows.sweep_storage import sweep_storage
from tests.flows.conftest import Colorize, Kinecolor

DAY_S = 24 * 3600


@pytest.fixture
def left(colorize: Colorize, tmp_path: Path) -> Path:
    """A finished film, with something that a killed writer left there forty days ago."""
    assert colorize().code == 0
    (film,) = film_ids(str(tmp_path / "work"))
    path = tmp_path / "work" / "films" / film / "segments" / f"{storage.TEMPORARY}0123"
    path.write_bytes(b"half")
    at = time.time() - 40 * DAY_S
    os.utime(path, (at, at))
    return path


def test_the_command_deletes_when_told(left: Path, kinecolor: Kinecolor, tmp_path: Path) -> None:
    work = tmp_path / "work"
    listed = kinecolor("sweep", work)
    assert listed.code == 0 and "temporary" in listed.out
    assert "Old: 1 objects, 4 bytes, to be deleted with --delete." in listed.err
    (film,) = kinecolor("sweep", work, "--older-than", "41", "--delete", "--json").json["films"]
    assert [(each.kind, each.old) for each in FilmSweep.model_validate(film).leftovers] == [
        ("temporary", False)
    ]
    assert left.exists()
    deleted = kinecolor("sweep", work, "--delete")
    assert "Old: 1 objects, 4 bytes, deleted." in deleted.err and not left.exists()
    assert kinecolor("sweep", work).out.split() == [
        "film",
        "what",
        "objects",
        "size",
        "old",
        "size",
    ]


def test_folders_that_are_left_alone_are_named(left: Path, kinecolor: Kinecolor) -> None:
    (left.parents[2] / "old").mkdir()
    said = kinecolor("sweep", left.parents[3])
    assert "old is left alone. It is no film's folder." in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone",), "neither a work root nor a film"),
        ((".", "--older-than", "0"), "--older-than"),
    ],
)
def test_what_is_wrong_is_said(kinecolor: Kinecolor, arguments: list[str], said: str) -> None:
    ended = kinecolor("sweep", *arguments)
    assert ended.code == 1 and said in ended.error[0]


@pytest.mark.cluster
@pytest.mark.xdist_group("ray")
def test_the_flow_shows_a_table(left: Path, prefect_server: str) -> None:
    work, film = str(left.parents[3]), left.parents[1].name
    row = {"film": film, "kind": "temporary", "objects": 1, "bytes": 4}
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        kept = [row | {"old_objects": 0, "old_bytes": 0, "deleted": False}]
        assert sweep_storage(work, older_than_days=41, delete=True) == kept
        assert left.exists()
        gone = [row | {"old_objects": 1, "old_bytes": 4, "deleted": True}]
        assert sweep_storage(work, delete=True) == gone
        assert not left.exists()
    with SyncPrefectClient(prefect_server) as prefect:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["sweep-storage"]))
        tables = [
            json.loads(str(each.data)) for each in prefect.read_artifacts(artifact_filter=key)
        ]
    assert kept in tables and gone in tables
