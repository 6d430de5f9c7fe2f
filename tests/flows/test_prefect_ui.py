"""What a person sees of a film in Prefect, in a real browser: a run with a poisoned segment, and
the run that mends it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from colorize_core.request import FilmRequest
from tests.browser import PATIENCE_S, Page, browser
from tests.film import film_request
from tests.flows.program import completed, program, start
from tests.poison import poison

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

POISONED = "0001-0002"  # from frame 3 on
SHOTS = ("shot 0001 · 10 frames", "shot 0002 · 14 frames", "shot 0003 · 12 frames")


@dataclass(frozen=True, slots=True)
class Runs:
    """A film that was run twice, and the server that was told of it."""

    request: FilmRequest
    film: str
    api: str
    failed: str
    mended: str

    def ask(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        """What the server has of something."""
        answer = httpx.post(f"{self.api}/{path}/filter", json=filters, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def logs(self, run: str) -> list[tuple[int, str]]:
        """Level and text of a run's log."""
        found = self.ask("logs", logs={"flow_run_id": {"any_": [run]}})
        return [(line["level"], line["message"]) for line in found]

    def events(self, run: str) -> list[tuple[str, str]]:
        """Name and resource of the events of this program's that are related to a run."""
        found, asked = [], {"filter": {"event": {"prefix": ["kinecolor."]}}, "limit": 50}
        answer = httpx.post(f"{self.api}/events/filter", json=asked, timeout=30).json()
        while True:
            found += answer["events"]
            if answer["next_page"] is None:
                break
            answer = httpx.get(answer["next_page"], timeout=30).json()
        related = {
            "prefect.resource.id": f"prefect.flow-run.{run}",
            "prefect.resource.role": "flow-run",
        }
        return [
            (each["event"], each["resource"]["prefect.resource.id"])
            for each in found
            if any(related.items() <= other.items() for other in each["related"])
        ]

    def wait_for_event(self, run: str, last: tuple[str, str]) -> list[tuple[str, str]]:
        """The events of a run, once this one is there: the server writes them down by and by."""
        deadline = time.monotonic() + PATIENCE_S
        while last not in (found := self.events(run)):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        return found

    def artifact(self, run: str, name: str) -> str:
        """The page of an artifact."""
        found = self.ask("artifacts", artifacts={"flow_run_id": {"any_": [run]}})
        (id_,) = (each["id"] for each in found if each["key"] == f"{self.film}-{name}")
        return f"{self.api.removesuffix('/api')}/artifacts/artifact/{id_}"

    def page(self, run: str) -> str:
        return f"{self.api.removesuffix('/api')}/runs/flow-run/{run}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, ray_cluster: str, prefect_server: str) -> Runs:
    request = film_request(tmp_path_factory.mktemp("seen"), "anchor_interval=3")
    poison(request, {3: "raise", 10: "warn", 24: "segfault once"})
    where = ("--ray", ray_cluster)
    first = program(
        request,
        *(*where, "--set", "anchor_interval=3"),
        module="tests.poison",
        PREFECT_API_URL=prefect_server,
    )
    code, said, err = completed(first)
    assert code == 2, err
    poison(request, {})
    again = start(
        Path(request.work),
        *("retry", request.work, *where),
        module="tests.poison",
        PREFECT_API_URL=prefect_server,
    )
    code, _, err = completed(again)
    assert code == 0, err
    ids = {}
    for run in httpx.post(f"{prefect_server}/flow_runs/filter", json={}, timeout=30).json():
        if run["parameters"].get("request", {}).get("source") == request.source:
            ids[run["state_type"]] = run["id"]
    return Runs(request, Path(said["film"]).name, prefect_server, ids["FAILED"], ids["COMPLETED"])


@pytest.fixture(scope="module")
def page(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def test_the_page_of_a_run(runs: Runs, page: Page) -> None:
    page.open(runs.page(runs.mended))
    page.wait_for("Completed", "film:film", "preset:exemplar", f"film {runs.film} · shot 0001")
    page.click("Task Runs")
    page.wait_for(*SHOTS, "deliver · join, verify, publish")
    page.click("Artifacts")
    page.wait_for(*(f"{runs.film}-{each}" for each in ("segments", "pictures", "colorize")))


def test_the_segments_with_what_failed(runs: Runs, page: Page) -> None:
    page.open(runs.artifact(runs.failed, "segments"))
    shown = page.wait_for("ZeroDivisionError: poison", "attempts", "seconds", "Show raw data")
    first, second = re.findall(r"^(\d{4}-\d{4})\s+(\S+)\s+(\w+)\s", shown, re.MULTILINE)[:2]
    assert first == (POISONED, "3–4", "quarantined")
    assert second == ("0001-0001", "0–2", "done")


def test_the_summary_says_what_to_do_next(runs: Runs, page: Page) -> None:
    page.open(runs.artifact(runs.failed, "summary"))
    page.wait_for("film: unfinished", "1 segments failed", f"kinecolor retry {runs.request.work}")
    page.open(runs.artifact(runs.mended, "summary"))
    output, source = runs.request.output, runs.request.source
    page.wait_for(
        "film: published", "36 in, 36 out", f"kinecolor verify {output} --against {source}"
    )


def test_the_pictures(runs: Runs, page: Page) -> None:
    page.open(runs.artifact(runs.mended, "pictures"))
    page.wait_for("3 of 3 shots", "0001 at 00:00:00.000", "report/index.html", "Show raw data")
    page.wait_for_pictures(9, "data:image/jpeg;base64,")  # source, still and result of each shot


def test_the_log_has_what_workers_logged(runs: Runs) -> None:
    logs = runs.logs(runs.failed)
    head = f"film {runs.film} · shot 0001 · segment {POISONED}"
    tries = [text for level, text in logs if level == 30 and text.startswith(f"{head}: ")]
    assert len(tries) == 2 and all("ZeroDivisionError: poison" in text for text in tries)
    made = (
        rf"film {runs.film} · shot 0003 · segment 0003-0003 · worker \d+ on \S+: made 3 frames in"
    )
    assert any(re.match(made, text) for _, text in logs)


def test_the_log_has_warnings_of_libraries_without_secrets(runs: Runs) -> None:
    (warned,) = (
        (level, text) for level, text in runs.logs(runs.failed) if "library's warning" in text
    )
    assert warned[0] == 30 and "s3://***@shop/x" in warned[1]
    assert warned[1].startswith(f"film {runs.film} · shot 0002 · segment 0002-0001 · worker ")


def test_the_log_names_workers_that_die(runs: Runs) -> None:
    (death,) = (text for level, text in runs.logs(runs.failed) if "the worker died" in text)
    assert death.startswith(f"film {runs.film} · shot 0003 · segment 0003-0001: ")


def test_an_event_for_each_change_and_none_for_what_is_found(runs: Runs) -> None:
    film = f"kinecolor.film.{runs.film}"
    mended = runs.wait_for_event(runs.mended, ("kinecolor.film.published", film))
    assert sorted(mended) == [
        ("kinecolor.film.published", film),
        ("kinecolor.segment.done", f"{film}.segment.{POISONED}"),
        ("kinecolor.segment.running", f"{film}.segment.{POISONED}"),
    ]
    names = [name for name, _ in runs.events(runs.failed)]
    segments = names.count("kinecolor.segment.running")
    assert segments > 6
    assert names.count("kinecolor.segment.done") == segments - 1
    assert names.count("kinecolor.segment.quarantined") == 1
    assert names.count("kinecolor.film.unfinished") == 1
    assert len(names) == 2 * segments + 1


def test_a_run_that_ends_early_says_why(
    ray_cluster: str, prefect_server: str, tmp_path: Path
) -> None:
    request = film_request(tmp_path)
    poison(request, {24: "full disk"})
    process = program(
        request, "--ray", ray_cluster, module="tests.poison", PREFECT_API_URL=prefect_server
    )
    code, _, err = completed(process)
    assert (code, err.splitlines()[-2:]) == (1, ["Error: There is no room.", "Make room."])
    (run,) = (
        run["id"]
        for run in httpx.post(f"{prefect_server}/flow_runs/filter", json={}, timeout=30).json()
        if run["parameters"].get("request", {}).get("source") == request.source
    )
    (film,) = (each.name for each in Path(request.work, "films").iterdir())
    seen = Runs(request, film, prefect_server, failed=run, mended="")
    artifacts = {
        each["key"]: each["data"]
        for each in seen.ask("artifacts", artifacts={"flow_run_id": {"any_": [run]}})
    }
    said = artifacts[f"{film}-summary"]
    assert said.startswith("# film: failed\nThere is no room.\n")
    assert "Make room." in said and f"kinecolor retry {request.work}" in said
    assert "0003-0001" in artifacts[f"{film}-segments"]
    seen.wait_for_event(run, ("kinecolor.film.failed", f"kinecolor.film.{film}"))
