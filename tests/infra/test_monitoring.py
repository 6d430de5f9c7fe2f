"""infra/monitoring: rules and dashboard are valid and ask for metrics that are there; a real
Prometheus says by them what a run of a film on a real Ray did."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tasks.metrics import HISTOGRAMS, METRICS
from tests.conftest import ROOT
from tests.film import film_request
from tests.flows.program import completed, end, program
from tests.poison import poison

MONITORING = ROOT / "infra" / "monitoring"
RULES = MONITORING / "rules" / "kinecolor.yml"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "kinecolor.json"
PATIENCE_S = 90.0
# What Ray says of GPUs, where a node has one.
OF_GPUS = {"ray_node_gram_used", "ray_node_gram_available"}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """All that the dashboard asks for."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def names(*expressions: str) -> set[str]:
    """The metrics that PromQL expressions ask Ray for."""
    return {name for each in expressions for name in re.findall(r"\bray_\w+", each)}


def asked_for() -> set[str]:
    return names(*expressions(), *(alert["expr"] for alert in alerts()))


# -- the files -------------------------------------------------------------------------------


def promtool(*arguments: str | Path, cwd: Path = MONITORING) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool here: scripts/install-servers installs it")
    done = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_configuration_and_rules() -> None:
    assert "rule files found" in promtool("check", "config", "prometheus.yml")
    assert f"{len(alerts())} rules found" in promtool("check", "rules", RULES)


def test_alerts_fire_when_they_should_and_only_then() -> None:
    tests = sorted(each.name for each in RULES.parent.glob("*_test.yml"))
    promtool("test", "rules", *tests, cwd=RULES.parent)
    tested = " ".join((RULES.parent / each).read_text() for each in tests)
    missing = {alert["alert"] for alert in alerts()} - set(re.findall(r"alertname: (\w+)", tested))
    assert missing == set()


def test_each_alert_has_a_place_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.split("\n## Alerts\n")[1].split("\n## ")[0]
    written = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert written == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["labels"].keys() == {"severity"}
        anchor = alert["annotations"]["runbook"]
        assert anchor == f"docs/operations.md#{alert['alert'].lower()}"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Source(Strict):
    type: Literal["prometheus"]
    uid: Literal["${datasource}"]


class Target(Strict):
    ref_id: str
    datasource: Source
    expr: str
    legend_format: str
    instant: bool = False


class Place(Strict):
    h: int = Field(ge=1)
    w: int = Field(ge=1, le=24)
    x: int = Field(ge=0, le=23)
    y: int = Field(ge=0)


class Panel(Strict):
    id: int
    type: Literal["timeseries", "stat"]
    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    datasource: Source
    grid_pos: Place
    field_config: dict[str, Any]
    options: dict[str, Any]
    targets: list[Target] = Field(min_length=1)


def test_dashboard() -> None:
    """By the fields that Grafana documents: it publishes no JSON schema of its dashboards."""
    board = json.loads(DASHBOARD.read_text())
    assert (board["uid"], board["schemaVersion"]) == ("kinecolor", 39)
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == (
        *("datasource", "datasource"),
        "prometheus",
    )
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    panels = [Panel.model_validate(each) for each in board["panels"] if each not in rows]
    ids = [each["id"] for each in board["panels"]]
    assert len(set(ids)) == len(ids) and rows
    taken = set()
    for place in (Place.model_validate(each["gridPos"]) for each in board["panels"]):
        assert place.x + place.w <= 24
        cells = {(place.x + i, place.y + j) for i in range(place.w) for j in range(place.h)}
        assert not taken & cells
        taken |= cells
    for panel in panels:
        assert len({target.ref_id for target in panel.targets}) == len(panel.targets)


def test_provisioning_finds_the_dashboard_and_prometheus() -> None:
    folder = MONITORING / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    (source,) = sources["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    providers = yaml.safe_load((folder / "dashboards" / "kinecolor.yml").read_text())
    (provider,) = providers["providers"]
    compose = (ROOT / "infra" / "compose.yaml").read_text()
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in compose


def test_every_metric_has_a_panel_and_none_is_asked_for_that_is_not_there() -> None:
    own = {metric.exported for metric in METRICS if metric not in HISTOGRAMS}
    parts = ("_bucket", "_sum", "_count")
    own |= {f"{metric.exported}{part}" for metric in HISTOGRAMS for part in parts}
    assert names(*expressions()) >= own
    asked = {each for each in asked_for() if each.startswith("ray_kinecolor_")}
    assert asked == own


def test_ray_still_says_of_gpus_what_is_asked_for() -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    assert asked_for() >= OF_GPUS
    assert {f"ray_{name}" for name in METRICS_GAUGES} >= OF_GPUS


# -- the real thing --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def metrics_port(ray_cluster: str) -> int:
    import ray

    (node,) = ray.nodes()
    return node["MetricsExportPort"]


@pytest.fixture
def prometheus(metrics_port: int, tmp_path: Path) -> Iterator[str]:
    """A real Prometheus with the repository's configuration, which asks the test's Ray each second;
    gives its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus here: scripts/install-servers installs it")
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES)]
    (ray_job,) = (job for job in config["scrape_configs"] if job["job_name"] == "ray")
    del ray_job["dns_sd_configs"]
    ray_job["static_configs"] = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.cluster
@pytest.mark.xdist_group("ray")
def test_a_run_is_seen(
    prometheus: str, ray_cluster: str, prefect_server: str, tmp_path: Path
) -> None:
    """Every metric that the dashboard and the alerts name is there, and what they say is true."""
    began = time.time()
    request = film_request(tmp_path, "anchor_interval=3")
    poison(request, {3: "raise", 24: "segfault once"})
    process = program(
        request,
        *("--ray", ray_cluster, "--set", "anchor_interval=3"),
        module="tests.poison",
        PREFECT_API_URL=prefect_server,
    )
    try:
        code, said, err = completed(process)
    finally:
        end(process)
    assert (code, said["segments"]["quarantined"]) == (2, 1), err
    _until_scraped(prometheus, asked_for() - OF_GPUS, since=began)

    def value(expression: str) -> float:
        (found,) = _ask(prometheus, "query", query=expression)["result"]
        return float(found["value"][1])

    quarantined = 'ray_kinecolor_segments_total{status="quarantined"}'
    assert value(f"sum({quarantined})") >= 1
    assert value('sum(ray_kinecolor_films_total{status="unfinished"})') >= 1
    assert value("sum(ray_kinecolor_worker_deaths_total)") >= 1
    assert value('sum(ray_kinecolor_items_total{stage="interpolation", status="failed"})') >= 2
    assert value('sum(ray_kinecolor_frames_total{stage="finish"})') >= 26
    assert value("sum(ray_kinecolor_written_bytes_total)") > 10_000
    for expression in expressions():
        if not names(expression) & OF_GPUS:
            _until_answered(prometheus, expression, since=began)
    _until_firing(prometheus, {"KinecolorSegmentsFailed", "KinecolorFilmFailed"})


def _until_scraped(prometheus: str, wanted: set[str], since: float) -> None:
    """Return once Prometheus has all these metrics."""
    deadline = time.monotonic() + PATIENCE_S
    while missing := wanted - set(_ask(prometheus, "label/__name__/values", start=since)):
        assert time.monotonic() < deadline, f"not there: {sorted(missing)}"
        time.sleep(0.2)


def _until_answered(prometheus: str, expression: str, since: float) -> None:
    """Return once an expression had a value at some time; a rate has one after two scrapes."""
    deadline = time.monotonic() + PATIENCE_S
    over = {"query": expression, "start": since, "step": 1}
    while not _ask(prometheus, "query_range", end=time.time(), **over)["result"]:
        assert time.monotonic() < deadline, f"nothing is said by: {expression}"
        time.sleep(0.2)


def _until_firing(prometheus: str, wanted: set[str]) -> None:
    """Return once these alerts fire; no rule may be broken."""
    deadline = time.monotonic() + PATIENCE_S
    firing: set[str] = set()
    while not wanted <= firing:
        assert time.monotonic() < deadline, f"not firing: {sorted(wanted - firing)}"
        rules = [rule for group in _ask(prometheus, "rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        firing = {rule["name"] for rule in rules if rule["state"] == "firing"}


def _ask(prometheus: str, what: str, **arguments: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = httpx.get(f"{prometheus}/api/v1/{what}", params=arguments, timeout=30).json()
        except httpx.TransportError:  # it has not started yet
            assert time.monotonic() < deadline
            time.sleep(0.2)
            continue
        assert answer["status"] == "success", answer
        return answer["data"]
