from __future__ import annotations

import pytest
from pydantic import BaseModel

from colorize_core.config import RunConfig, load_config
from colorize_core.errors import SettingError


def test_assignments_reach_nested_settings() -> None:
    config = load_config("exemplar", ["merge=lab", "anchor_interval=12"])
    assert (config.merge, config.anchor_interval) == ("lab", 12)


@pytest.mark.parametrize(
    "assignment",
    [
        "merge=best",
        "anchor_interval=0",
        "anchor_interval=many",
        "no_such=1",
        "flow.no_such=1",
        "parts.anchors=magic",
        "merge.inner=1",
        "merge",
        "=1",
        "seed=-1",
        'parts={"anchors": 3}',
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(assignment: str) -> None:
    with pytest.raises(SettingError) as caught:
        load_config("exemplar", [assignment])
    assert caught.value.remedy


def test_unknown_preset() -> None:
    with pytest.raises(SettingError, match="no preset"):
        load_config("best")


def test_digest_is_stable_and_sees_every_setting() -> None:
    base = load_config("exemplar")
    assert base.digest == RunConfig.model_validate_json(base.model_dump_json()).digest
    assert base.digest != load_config("exemplar", ["seed=7"]).digest
    assert hash(base) == hash(load_config("exemplar"))


def test_every_setting_says_what_it_does() -> None:
    def undocumented(model: type[BaseModel], path: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if not field.description and name not in ("reference", "anchors", "interpolation"):
                found.append(path + name)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += undocumented(field.annotation, f"{path}{name}.")
        return found

    assert undocumented(RunConfig, "") == []


def test_budgets_hold_their_relation() -> None:
    """One piece of poison must not use up a worker's place."""
    tight = ("budgets.deaths_per_item=7", "budgets.deaths_per_worker=8")
    assert load_config("exemplar", tight).budgets.deaths_per_item == 7
    for item, worker in ((8, 8), (5, 3)):
        with pytest.raises(SettingError, match="must be more than deaths_per_item"):
            load_config(
                "exemplar",
                [f"budgets.deaths_per_item={item}", f"budgets.deaths_per_worker={worker}"],
            )


def test_budgets_change_no_result() -> None:
    assert load_config("exemplar", ("budgets.deaths_per_item=2",)).digest == RunConfig().digest
    assert load_config("exemplar", ("on_failure=grey",)).digest != RunConfig().digest
