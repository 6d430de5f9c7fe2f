"""What infra/compose.yaml describes, for real and without containers: PostgreSQL behind the Prefect
server, three Ray nodes that ask for a token, an S3 store, a process worker; a night begun by its
schedule, in the middle of which a node is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from colorize_core.archive.rollup import ArchiveRow
from colorize_core.archive.sources import archive_films
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow
from colorize_core.paths import ArchivePaths, FilmPaths
from deployments.files import FOLDER
from tests.archive_factory import archive_request
from tests.deployments.conftest import NAMES, change
from tests.deployments.test_nightly import nights, state, wait_until
from tests.film import quiet
from tests.flows.program import prefect_worker
from tests.s3.endpoint import BUCKET, Endpoint, moto_server, use_endpoint, variables
from tests.servers import prefect_server
from tests.site.postgres import postgres, value
from tests.site.ray_nodes import Nodes, ray_nodes

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray"), pytest.mark.timeout(900)]

PLACE = f"{BUCKET}/site"
ARCHIVE = f"s3://{PLACE}"
SETTING = "anchor_interval=1"  # a segment for each frame, so that there is a middle
ENOUGH = 6  # segments, so that both nodes have been at work


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    with postgres() as variables:
        yield variables


@pytest.fixture
def server(
    database: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    for name, each in database.items():
        monkeypatch.setenv(name, each)
    with prefect_server(tmp_path / "prefect-server") as running:
        yield running.url


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with moto_server() as endpoint:
        use_endpoint(monkeypatch, endpoint)
        yield endpoint


@pytest.fixture
def cluster(store: Endpoint) -> Iterator[Nodes]:
    with ray_nodes() as nodes:
        yield nodes


@pytest.fixture
def worker(
    server: str, cluster: Nodes, store: Endpoint, tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    told = {**variables(store), **cluster.variables, "PREFECT_API_URL": server}
    with prefect_worker(tmp_path / "prefect", **told) as process:
        yield process


def test_a_night_with_a_lost_node(
    database: dict[str, str],
    server: str,
    store: Endpoint,
    cluster: Nodes,
    worker: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    here = archive_request(tmp_path, "reel 1").model_copy(update={"settings": (SETTING,)})
    files = s3fs.S3FileSystem()
    for name in ("reels", "stills"):
        files.put(f"{tmp_path / name}/", f"{PLACE}/{name}/", recursive=True)
    _apply(server, tmp_path)
    work = f"{ARCHIVE}/work"

    with SyncPrefectClient(server) as prefect:
        wait_until(lambda: _segments(files) >= ENOUGH, worker)
        cluster.working[0].lose()
        made_before = _segments(files)
        wait_until(lambda: _finished(prefect), worker)
        (run,) = [each for each in nights(prefect) if state(prefect, each).is_completed()][:1]
    assert run.work_pool_name == "kinecolor"
    assert value(database, "select count(*) from flow_run where state_type = 'COMPLETED'") >= 2

    (row,) = latest(ArchivePaths(work), ArchiveRow).rows
    assert (row.name, row.status) == ("reel 1", "published")
    assert row.output == f"{ARCHIVE}/out/reel 1.mkv"
    segments = latest(FilmPaths(work, str(row.film)), SegmentRow).rows
    assert {each.status for each in segments} == {"done"}
    assert made_before < len(segments), "the node was lost too late"
    assert len({each.computed_in_run for each in segments}) == 1

    (film,) = archive_films(here)
    assert film.request is not None
    colorize_film(film.request, quiet)
    undisturbed = Path(here.output, "reel 1.mkv").read_bytes()
    assert files.cat_file(f"{PLACE}/out/reel 1.mkv") == undisturbed


def _apply(server: str, folder: Path) -> None:
    """The repository's deployments, with a night that begins every quarter of a minute."""
    copies = folder / "deployments"
    copies.mkdir()
    for name in NAMES:
        shutil.copy(FOLDER / name, copies)
    change(copies / "prefect.yaml", 'cron: "0 20 * * *"', 'cron: "* * * * * */15"')
    change(copies / "prefect.yaml", "films_at_once: 2", "films_at_once: 1")
    change(
        copies / "prefect.yaml",
        'references: "{{ $KINECOLOR_REFERENCES }}"',
        f'settings: [{SETTING}]\n        references: "{{{{ $KINECOLOR_REFERENCES }}}}"',
    )
    places = {"SOURCES": "reels", "OUTPUT": "out", "WORK": "work", "REFERENCES": "stills"}
    subprocess.run(
        [sys.executable, "-P", "-m", "deployments.apply", "--files", copies],
        cwd="/",
        env={
            **os.environ,
            "PREFECT_API_URL": server,
            **{f"KINECOLOR_{name}": f"{ARCHIVE}/{place}" for name, place in places.items()},
        },
        check=True,
        capture_output=True,
    )


def _segments(files: s3fs.S3FileSystem) -> int:
    files.invalidate_cache()
    return len(files.glob(f"{PLACE}/work/films/*/segments/*"))


def _finished(prefect: SyncPrefectClient) -> list[FlowRun]:
    return [each for each in nights(prefect) if state(prefect, each).is_completed()]
