"""A real Prefect server is brought to the files' state; what is others' on it does not change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from colorize_core.errors import SettingError
from deployments.apply import INCOMPLETE, apply
from deployments.changes import Difference, difference
from deployments.files import read_files
from tests.deployments.conftest import change

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

OURS = {
    *("colorize-archive/nightly", "colorize-film/on-demand", "evaluate/on-demand"),
    *("retry-failed/hourly", "sweep-storage/weekly"),
}


def found(
    prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> tuple[Difference, list[str]]:
    """What is different, and its names."""
    there = difference(prefect, read_files(files, variables))
    return there, [each.what for each in there.changes]


def make(prefect: SyncPrefectClient, files: Path, variables: dict[str, str]) -> list[str]:
    """Brings the server to the files' state. Returns the names of what was changed."""
    there, names = found(prefect, files, variables)
    for each in there.changes:
        each.make()
    assert found(prefect, files, variables)[1] == [], "a second time changes nothing"
    return names


def program(
    server: str, variables: dict[str, str], *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """`python -m deployments.apply`, elsewhere than in the repository."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "deployments.apply", *map(str, arguments)],
        cwd="/",
        env={**os.environ, "PREFECT_API_URL": server, **variables},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_server_is_brought_to_the_files(
    site: str,
    prefect: SyncPrefectClient,
    files: Path,
    variables: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    apply(prefect, read_files(files, variables), dry_run=True)
    shown = capsys.readouterr().out
    for name in OURS:
        assert f"+++ files: deployment {name}\n" in shown
    done = program(site, variables, "--files", files)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")
    apply(prefect, read_files(files, variables))
    again = capsys.readouterr().out.splitlines()
    assert again[0] == "Nothing to change."
    assert again[1].startswith("Left out, since no notification block is named: ")
    for name in OURS:
        deployment = prefect.read_deployment_by_name(name)
        assert deployment.parameter_openapi_schema is not None
        assert deployment.enforce_parameter_schema
        assert deployment.work_pool_name == "kinecolor"
        assert deployment.pull_steps == []
    queues = {each.name: each for each in prefect.read_work_queues("kinecolor")}
    assert queues["on-demand"].priority == 1 and queues["archive"].concurrency_limit == 3


def test_what_somebody_changed_is_mended(
    prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    make(prefect, files, variables)
    there = prefect.read_deployment_by_name("sweep-storage/weekly")
    wrong = there.parameters | {"delete": True}
    prefect.update_deployment(there.id, DeploymentUpdate(parameters=wrong, tags=there.tags))
    seen, names = found(prefect, files, variables)
    assert names == ["deployment sweep-storage/weekly"]
    assert "-  delete: true\n+  delete: false\n" in str(seen.changes[0])
    make(prefect, files, variables)
    assert not prefect.read_deployment_by_name("sweep-storage/weekly").parameters["delete"]


def test_a_schedule_that_is_no_more_in_the_file_goes(
    prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    make(prefect, files, variables)
    weekly = files / "prefect.yaml"
    change(weekly, "slug: weekly", "slug: monthly")
    assert make(prefect, files, variables) == ["deployment sweep-storage/weekly"]
    there = prefect.read_deployment_by_name("sweep-storage/weekly")
    assert [each.slug for each in there.schedules] == ["monthly"]


def test_what_is_paused_stays_so(
    prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    make(prefect, files, variables)
    there = prefect.read_deployment_by_name("retry-failed/hourly")
    (schedule,) = there.schedules
    prefect.update_deployment_schedule(there.id, schedule.id, active=False)
    prefect.pause_deployment(there.id)
    assert found(prefect, files, variables)[1] == []
    change(files / "prefect.yaml", "most_failures: 3", "most_failures: 4")
    make(prefect, files, variables)
    after = prefect.read_deployment_by_name("retry-failed/hourly")
    assert after.parameters["most_failures"] == 4
    assert after.paused and [each.active for each in after.schedules] == [False]
    prefect.resume_deployment(there.id)


def test_only_what_is_ours_is_removed(
    prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    make(prefect, files, variables)
    flow = prefect.create_flow_from_name("theirs")
    theirs = prefect.create_deployment(flow, "theirs", tags=["site"])
    ours = prefect.create_deployment(flow, "ours", tags=["kinecolor"])
    trigger = EventTrigger(expect={"never"})
    automation = prefect.create_automation(
        AutomationCore(name="site: theirs", trigger=trigger, actions=[DoNothing()])
    )
    stale = prefect.create_automation(
        AutomationCore(name="kinecolor: of old", trigger=trigger, actions=[DoNothing()])
    )
    assert make(prefect, files, variables) == [
        "deployment theirs/ours",
        "automation “kinecolor: of old”",
    ]
    assert prefect.read_deployment(theirs).name == "theirs"
    there = {each.id for each in prefect.read_automations()}
    assert automation in there and stale not in there
    with pytest.raises(ObjectNotFound):
        prefect.read_deployment(ours)


def test_a_deployment_of_that_name_that_is_not_ours_is_refused(
    prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    make(prefect, files, variables)
    there = prefect.read_deployment_by_name("colorize-film/on-demand")
    prefect.update_deployment(there.id, DeploymentUpdate(tags=["site"]))
    with pytest.raises(SettingError, match="somebody else's"):
        found(prefect, files, variables)
    prefect.update_deployment(there.id, DeploymentUpdate(tags=there.tags))


# -- automations -----------------------------------------------------------------------------


def test_automations_without_their_block_are_left_out_and_the_rest_is_made(
    site: str, prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    variables["KINECOLOR_NOTIFY"] = "slack-webhook/gone"
    done = program(site, variables, "--files", files)
    assert done.returncode == INCOMPLETE
    assert (
        "Left out, since there is no block slack-webhook/gone: “kinecolor: a film failed”."
    ) in done.stdout
    names = {each.name for each in prefect.read_automations()}
    assert "kinecolor: a run is gone" in names and "kinecolor: a film failed" not in names


def test_automations_notify_by_the_block_that_is_named(
    site: str, prefect: SyncPrefectClient, files: Path, variables: dict[str, str]
) -> None:
    make(prefect, files, variables)
    with temporary_settings({PREFECT_API_URL: site}):
        block = CustomWebhookNotificationBlock.model_validate(
            {"name": "n", "url": "http://127.0.0.1:9/"}
        )
        block.save("kinecolor", overwrite=True)
    variables["KINECOLOR_NOTIFY"] = "custom-webhook/kinecolor"
    assert make(prefect, files, variables) == [
        "automation “kinecolor: a film failed”",
        "automation “kinecolor: a run is late”",
    ]
    change(files / "automations.yaml", "within: 600", "within: 700")
    (failed,) = prefect.read_automations_by_name("kinecolor: a run is gone")
    prefect.pause_automation(failed.id)
    assert make(prefect, files, variables) == ["automation “kinecolor: a run is gone”"]
    (failed,) = prefect.read_automations_by_name("kinecolor: a run is gone")
    assert not failed.enabled, "what is switched off stays so"
    prefect.resume_automation(failed.id)  # the server is other tests', too
    del variables["KINECOLOR_NOTIFY"]
    assert make(prefect, files, variables) == [
        "automation “kinecolor: a film failed”",
        "automation “kinecolor: a run is late”",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("type: cancel-flow-run", "type: cancel-the-run", "a run takes too long”: "),
        ("\n    expect:\n      [", "\n    expects:\n      [", "Prefect knows no expects."),
        ('"kinecolor: a run is gone"', '"a run is gone"', "does not begin with kinecolor"),
    ],
)  # fmt: skip
def test_an_automation_that_is_wrong_is_refused(
    prefect: SyncPrefectClient,
    files: Path,
    variables: dict[str, str],
    old: str,
    new: str,
    said: str,
) -> None:
    change(files / "automations.yaml", old, new)
    with pytest.raises(SettingError) as caught:
        found(prefect, files, variables)
    assert said in caught.value.what and "\n" not in caught.value.what


# -- the server ------------------------------------------------------------------------------


def test_a_server_has_to_be_named(variables: dict[str, str], tmp_path: Path) -> None:
    done = program("", {**variables, "PREFECT_HOME": str(tmp_path)}, "--dry-run")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "Error: No Prefect server is named.",
        "Set PREFECT_API_URL=http://SERVER:4200/api.",
    ]
