"""A night as it is: the server's schedule begins the run, a process worker elsewhere does it; and
what the server does by itself about runs that do not end."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event, RelatedResource, Resource
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running, State

from deployments.changes import difference
from deployments.files import read_files
from flows.colorize_film import colorize_film
from flows.retry_failed import retry_failed
from tests.deployments.conftest import change
from tests.film import film_request
from tests.flows.program import TIMEOUT_S, prefect_worker

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

FILMS = ("one", "two")


Worker = subprocess.Popen[str]


def wait_until(condition: Callable[[], object], worker: Worker | None = None) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert worker is None or worker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def archive(tmp_path: Path, variables: dict[str, str]) -> dict[str, str]:
    """Two films with their stills, where the variables say."""
    made = film_request(tmp_path)
    sources, references = (
        Path(variables[f"KINECOLOR_{name}"]) for name in ("SOURCES", "REFERENCES")
    )
    sources.mkdir()
    for film in FILMS:
        shutil.copy(made.source, sources / f"{film}.mkv")
        (references / film).mkdir(parents=True)
        for still in made.references:
            picture, _, moment = still.rpartition("@")
            shutil.copy(picture, references / film / f"{Path(picture).stem}@{moment}.png")
    # the second film is another one: a byte more at its end changes no frame
    with (sources / "two.mkv").open("ab") as film:
        film.write(b"\0")
    return variables


@pytest.fixture
def notified(site: str) -> Iterator[list[str]]:
    """What the block custom-webhook/nightly was told."""
    told: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with temporary_settings({PREFECT_API_URL: site}):
            CustomWebhookNotificationBlock.model_validate(
                {
                    "name": "nightly",
                    "url": f"http://127.0.0.1:{server.server_port}/",
                    "json_data": {"subject": "{{subject}}", "body": "{{body}}"},
                }
            ).save("nightly", overwrite=True)
        yield told
        server.shutdown()


@pytest.fixture
def worker(site: str, ray_cluster: str, tmp_path: Path) -> Iterator[Worker]:
    variables = {"PREFECT_API_URL": site, "RAY_ADDRESS": ray_cluster}
    with prefect_worker(tmp_path / "prefect", **variables) as process:
        yield process


def nights(prefect: SyncPrefectClient) -> list[FlowRun]:
    """The runs of the night that the server's scheduler made and a worker began."""
    runs = prefect.read_flow_runs(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["nightly"])),
    )
    return [each for each in runs if each.auto_scheduled and each.run_count]


def state(prefect: SyncPrefectClient, run: FlowRun) -> State:
    found = prefect.read_flow_run(run.id).state
    assert found is not None
    return found


def test_a_night(
    prefect: SyncPrefectClient,
    files: Path,
    archive: dict[str, str],
    notified: list[str],
    worker: Worker,
) -> None:
    change(files / "prefect.yaml", 'cron: "0 20 * * *"', 'cron: "* * * * * */15"')
    archive["KINECOLOR_NOTIFY"] = "custom-webhook/nightly"
    for each in difference(prefect, read_files(files, archive)).changes:
        each.make()
    wait_until(lambda: nights(prefect), worker)
    night = prefect.read_deployment_by_name("colorize-archive/nightly")
    prefect.pause_deployment(night.id)  # one is enough
    (run,) = nights(prefect)
    wait_until(lambda: state(prefect, run).is_final(), worker)
    assert state(prefect, run).is_completed(), state(prefect, run).message
    assert {each.stem for each in Path(archive["KINECOLOR_OUTPUT"]).glob("*.mkv")} == set(FILMS)
    assert difference(prefect, read_files(files, archive)).changes == ()

    film = prefect.read_deployment_by_name("colorize-film/on-demand")
    gone = {"source": "/gone.mkv", "output": "/out.mkv", "work": archive["KINECOLOR_WORK"]}
    failed = prefect.create_flow_run_from_deployment(film.id, parameters={"request": gone})
    wait_until(lambda: state(prefect, failed).is_final(), worker)
    assert state(prefect, failed).is_failed()
    wait_until(lambda: notified, worker)
    (told,) = notified
    assert f"colorize-film: {failed.name} ended as Failed" in told
    assert "There is no film at /gone.mkv." in told


def test_runs_that_do_not_end(
    site: str, prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    """One that takes too long, and one whose process has gone: their automations, quicker."""
    for within in ("172800", "600 "):
        change(files / "automations.yaml", f"within: {within}", "within: 10 ")
    for each in difference(prefect, read_files(files, variables)).changes:
        each.make()
    long = prefect.create_flow_run(colorize_film, state=Running())
    gone = prefect.create_flow_run(retry_failed, state=Running())
    wait_until(lambda: state(prefect, long).name in ("Cancelling", "Cancelled"))
    _heartbeat(site, gone)
    wait_until(lambda: state(prefect, gone).is_crashed())
    assert "No sign of life" in (state(prefect, gone).message or "")


def _heartbeat(site: str, run: FlowRun) -> None:
    """Straight to the server: Prefect's emitter goes on with the first one that a process had."""
    event = Event(
        event="prefect.flow-run.heartbeat",
        resource=Resource({"prefect.resource.id": f"prefect.flow-run.{run.id}"}),
        related=[
            RelatedResource(
                {
                    "prefect.resource.id": f"prefect.flow.{run.flow_id}",
                    "prefect.resource.role": "flow",
                    "prefect.resource.name": "retry-failed",
                }
            )
        ],
    )
    sent = httpx.post(f"{site}/events", json=[event.model_dump(mode="json")], timeout=30)
    sent.raise_for_status()
