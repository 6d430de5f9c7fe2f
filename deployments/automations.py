"""The automations of a server: those of the file, with the blocks that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from colorize_core.errors import SettingError
from deployments.change import Change
from deployments.files import OWNED


def with_blocks(
    client: SyncPrefectClient, wanted: Iterable[dict[str, Any]]
) -> tuple[list[AutomationCore], list[str], list[str]]:
    """The automations with the ids of the blocks that they name; those that name none, and those
    whose block is not there."""
    automations: list[AutomationCore] = []
    unnamed: list[str] = []
    missing: list[str] = []
    for each in wanted:
        name, actions = str(each.get("name")), each.get("actions", ())
        blocks = [action["block"] for action in actions if "block" in action]
        ids = {block: _block_id(client, block) for block in blocks if block}
        if None in blocks:
            unnamed.append(f"Left out, since no notification block is named: “{name}”.")
        elif absent := sorted(block for block, found in ids.items() if found is None):
            missing.append(f"Left out, since there is no block {', '.join(absent)}: “{name}”.")
        else:
            automations.append(_automation(each | {"actions": [_act(a, ids) for a in actions]}))
    return automations, unnamed, missing


def _block_id(client: SyncPrefectClient, block: str) -> str | None:
    """The id of the block document that is called TYPE/NAME."""
    kind, _, name = block.partition("/")
    try:
        return str(client.read_block_document_by_name(name, kind, include_secrets=False).id)
    except ObjectNotFound:
        return None


def _act(action: dict[str, Any], ids: Mapping[str, str | None]) -> dict[str, Any]:
    if "block" not in action:
        return action
    others = {key: value for key, value in action.items() if key != "block"}
    return others | {"block_document_id": ids[action["block"]]}


def _automation(values: dict[str, Any]) -> AutomationCore:
    name = values.get("name")
    try:
        automation = AutomationCore.model_validate(values)
    except ValidationError as error:
        raise SettingError(
            f"automations.yaml: “{name}”: {' '.join(str(error).split())}", "Mend the file."
        ) from error
    # Prefect's models pass over keys that they do not know, such as a misspelt “expect”, without
    # which a trigger answers to every event.
    if ignored := list(_ignored(values, automation.model_dump(mode="json"))):
        raise SettingError(
            f"automations.yaml: “{name}”: Prefect knows no {', '.join(ignored)}.", "Mend the file."
        )
    if not automation.name.startswith(OWNED):
        raise SettingError(
            f"automations.yaml: the name “{name}” does not begin with {OWNED}.",
            "Rename it: only such automations are touched on the server.",
        )
    return automation


def _ignored(given: Any, taken: Any) -> Iterator[str]:
    """The keys of `given` that are not in `taken`, which was made from it."""
    match given, taken:
        case dict(), dict():
            for key, value in given.items():
                if key in taken:
                    yield from _ignored(value, taken[key])
                else:
                    yield key
        case list(), list():
            for one, other in zip(given, taken, strict=False):
                yield from _ignored(one, other)


def automation_changes(
    client: SyncPrefectClient, wanted: Iterable[AutomationCore]
) -> Iterator[Change]:
    there = {each.name: each for each in client.read_automations() if each.name.startswith(OWNED)}
    for each in wanted:
        what, old = f"automation “{each.name}”", there.pop(each.name, None)
        if old is None:
            make = partial(client.create_automation, each)
            yield Change(what, None, _json(each), make)
        else:
            new = each.model_copy(update={"enabled": old.enabled})
            make = partial(client.update_automation, old.id, new)
            yield Change(what, _json(old), _json(each), make)
    for old in there.values():
        yield Change(
            f"automation “{old.name}”", _json(old), None, partial(client.delete_automation, old.id)
        )


def _json(automation: AutomationCore) -> Any:
    """What two automations that do the same have in common. One that somebody has switched off
    stays so."""
    core = AutomationCore.model_validate(automation.model_dump())
    return _sorted(core.model_dump(mode="json", exclude={"enabled", "owner_resource"}))


def _sorted(value: Any) -> Any:
    """JSON with the order of lists of texts, which are sets here, taken out."""
    match value:
        case dict():
            return {key: _sorted(each) for key, each in value.items()}
        case [str(), *_]:
            return sorted(value)
        case list():
            return [_sorted(each) for each in value]
    return value
