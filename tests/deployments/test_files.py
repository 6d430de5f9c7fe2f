"""The files that are delivered fit the flows; one that is wrong is refused in two lines."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from prefect.flows import load_flow_from_entrypoint

from colorize_core.errors import SettingError
from deployments.files import FOLDER, Deployment, read_files
from tests.deployments.conftest import change


def by_name(folder: Path, variables: dict[str, str]) -> dict[str, Deployment]:
    return {each.name: each for each in read_files(folder, variables).deployments}


def test_each_deployment_fits_its_flow(variables: dict[str, str]) -> None:
    found = by_name(FOLDER, variables)
    assert set(found) == {
        *("colorize-archive/nightly", "colorize-film/on-demand"),
        "evaluate/on-demand",
        *("retry-failed/hourly", "sweep-storage/weekly"),
    }
    for each in found.values():
        flow = load_flow_from_entrypoint(each.asked.entrypoint, use_placeholder_flow=False)
        signature = inspect.signature(flow.fn)
        assert set(each.asked.parameters) <= set(signature.parameters)
        assert set(each.schema["properties"]) == set(signature.parameters)
        if each.asked.parameters:  # as the run will have them
            flow.validate_parameters(each.asked.parameters)
        assert "kinecolor" in each.asked.tags


def test_variables_are_filled_in(variables: dict[str, str]) -> None:
    variables["KINECOLOR_TIMEZONE"] = "Europe/Berlin"
    nightly = by_name(FOLDER, variables)["colorize-archive/nightly"].asked
    assert nightly.parameters["request"] == {
        name: variables[f"KINECOLOR_{name.upper()}"]
        for name in ("sources", "output", "work", "references")
    }
    assert [(each.slug, each.timezone) for each in nightly.schedules] == [
        ("nightly", "Europe/Berlin")
    ]


def test_what_may_be_left_out_is_null(variables: dict[str, str]) -> None:
    del variables["KINECOLOR_REFERENCES"]
    variables["KINECOLOR_TIMEZONE"] = ""
    nightly = by_name(FOLDER, variables)["colorize-archive/nightly"].asked
    assert nightly.parameters["request"]["references"] is None
    assert nightly.schedules[0].timezone is None


def test_what_is_not_set_is_named() -> None:
    with pytest.raises(
        SettingError, match="colorize-archive/nightly: request: sources: "
    ) as caught:
        read_files(FOLDER, {})
    assert "KINECOLOR_SOURCES" in caught.value.remedy


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("prefect.yaml", "films_at_once:", "films_at_onec:", "has no parameter films_at_onec"),
        ("prefect.yaml", "films_at_once: 2", "films_at_once: many", "films_at_once: Input should"),
        ("prefect.yaml", "work: \"{{ $KINECOLOR_WORK }}\" # the work root", "", "request: work: "),
        ("prefect.yaml", "older_than_days: 30", "older_than_days: 0", "older_than_days: Input"),
        ("prefect.yaml", "cron: \"0 20", "cron: \"0 26", "Invalid cron"),
        ("prefect.yaml", "timezone: \"{{ $KINECOLOR_TIMEZONE }}\"", "timezone: Berlin", "timezone"),
        ("prefect.yaml", "slug: hourly", "slugs: hourly", "slugs: Extra inputs"),
        ("prefect.yaml", "CANCEL_NEW", "CANCEL_OLD", "collision_strategy: Input should be"),
        ("prefect.yaml", "retry_failed.retry_failed", "retry_failed.gone", "'gone' not found"),
        ("prefect.yaml", "flows.retry_failed.", "flows.gone.", "No module named"),
        ("prefect.yaml", "work_queue_name: archive", "work_queue_name: a", "has no queue a of"),
        ("prefect.yaml", "deployments:", "\tdeployments:", "cannot start any token"),
        ("limits.yaml", "concurrency_limit: 4", "concurrency_limit: 0", "greater than or equal"),
        ("automations.yaml", "- name", "name", "while parsing a block mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    files: Path, variables: dict[str, str], file: str, old: str, new: str, said: str
) -> None:
    change(files / file, old, new)
    with pytest.raises(SettingError) as caught:
        read_files(files, variables)
    assert caught.value.what.startswith(f"{files / file}: ") and said in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.remedy.startswith("Mend it.")


def test_a_file_that_is_missing_is_said(files: Path, variables: dict[str, str]) -> None:
    (files / "limits.yaml").unlink()
    with pytest.raises(SettingError, match=r"limits\.yaml: No such file or directory"):
        read_files(files, variables)
