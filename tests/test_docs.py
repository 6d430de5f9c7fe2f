"""The documents say what the code does: options, settings, keys, columns, variables, links."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from colorize_core.archive import catalogue
from colorize_core.archive.summary import ArchiveSummary
from colorize_core.config import RunConfig
from colorize_core.estimate import Estimate
from colorize_core.evaluation.measure import Evaluation
from colorize_core.propose import Proposal
from colorize_core.shots.shot_list import COLUMNS
from colorize_core.status import FilmStatusReport
from colorize_core.summary import RunSummary
from colorize_core.sweep import FilmSweep
from colorize_core.verify import Verification
from flows.cli import app
from flows.doctor import Check
from tests.conftest import ROOT

DOCS = ROOT / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "infra" / "README.md", *sorted(DOCS.glob("*.md"))]
RINGS = ("colorize_core", "tasks", "flows", "deployments")

JSON_KEYS = {
    "colorize": set(RunSummary.model_fields),
    "archive": set(ArchiveSummary.model_fields),
    "evaluate": set(Evaluation.model_fields),
    "status": set(FilmStatusReport.model_fields),
    "sweep": set(FilmSweep.model_fields),
    "verify": {field.name for field in dataclasses.fields(Verification)} | {"ok"},
    "estimate": set(Estimate.model_fields),
    "fetch-weights": {"weights"},
    "train-controlnet": {"controlnet", "losses", "skipped"},
    "references export": {"folder", "proposals", *Proposal.model_fields},
    "doctor": {field.name for field in dataclasses.fields(Check)},
}


# -- reading a page --------------------------------------------------------------------------


def section(page: str, heading: str) -> str:
    """What stands under `heading` (with its signs, such as "## Settings"), up to the next heading
    of its level or above."""
    level = heading.index(" ")
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", page, re.MULTILINE | re.DOTALL
    )
    assert found, f"there is no heading “{heading}”"
    return found[1]


def rows(text: str) -> list[str]:
    """The rows of tables whose first cell is code."""
    return [line for line in text.splitlines() if line.startswith("| `")]


def first_cells(text: str) -> set[str]:
    return {re.split(r" \|", row)[0].removeprefix("| ") for row in rows(text)}


def undocumented(text: str, beginnings: Iterable[str]) -> list[str]:
    """Those of `beginnings` with which no row of `text` begins."""
    return [each for each in beginnings if not any(row.startswith(each) for row in rows(text))]


def without_code(page: str) -> str:
    """`page` without its code blocks and code spans."""
    page = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", page)


# -- settings --------------------------------------------------------------------------------

_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def value_range(schema: dict[str, Any]) -> str:
    """The range of a setting in the words of the page, from its JSON schema."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "boolean":
        return "`true`, `false`"
    limits = [f"{sign} {schema[key]}" for key, sign in _LIMITS.items() if key in schema]
    return ", ".join(limits) or {"string": "text"}[schema["type"]]


def settings(values: BaseModel, prefix: str = "") -> Iterator[str]:
    """How the row of each setting begins: name, default, range."""
    schemas = type(values).model_json_schema()["properties"]
    for name in type(values).model_fields:
        value = getattr(values, name)
        if isinstance(value, BaseModel):
            yield from settings(value, f"{prefix}{name}.")
        else:
            default = value if isinstance(value, str) else json.dumps(value)
            yield f"| `{prefix}{name}` | `{default}` | {value_range(schemas[name])} |"


def test_every_setting_is_documented_with_its_default_and_range() -> None:
    assert undocumented(section(CONFIGURATION, "## Settings"), settings(RunConfig())) == []


def test_no_setting_is_documented_that_is_not_there() -> None:
    there = {row.split(" |")[0].removeprefix("| ") for row in settings(RunConfig())}
    assert first_cells(section(CONFIGURATION, "## Settings")) == there


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| `merge` |", "| `merged` |"),
        ("| `anchor_interval` | `24` |", "| `anchor_interval` | `25` |"),
        ("| `match.guess_weight` | `1.0` | ≥ 0, ≤ 100 |", "| `match.guess_weight` | `1.0` | ≥ 0 |"),
    ],
)
def test_a_missing_setting_and_a_wrong_default_or_range_are_seen(old: str, new: str) -> None:
    page = section(CONFIGURATION, "## Settings")
    assert old in page
    (missing,) = undocumented(page.replace(old, new), settings(RunConfig()))
    assert missing.startswith(old)


# -- commands --------------------------------------------------------------------------------


def commands() -> dict[str, list[str]]:
    """For each command how the row of each of its parameters begins: spelling and default."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = {}
    for name, command in group.commands.items():
        inner = command.commands if isinstance(command, TyperGroup) else {}
        named = {f"{name} {each}": one for each, one in inner.items()} or {name: command}
        for full_name, one in named.items():
            found[full_name] = [_row_of(parameter) for parameter in one.params]
    return found


def _row_of(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    spelled = [parameter.metavar or parameter.name.upper()] if is_argument else parameter.opts
    default = "–" if parameter.default in (None, False) else f"`{parameter.default}`"
    return f"| {', '.join(f'`{each}`' for each in spelled)} | {default} |"


@pytest.mark.parametrize(("name", "parameters"), commands().items(), ids=list(commands()))
def test_every_option_is_documented(name: str, parameters: list[str]) -> None:
    page = section(CONFIGURATION, f"### `kinecolor {name}`")
    assert undocumented(page, parameters) == []
    assert len(rows(page)) == len(parameters), "the page has an option that the command has not"


def test_every_documented_command_is_there() -> None:
    assert set(re.findall(r"^### `kinecolor (.+)`$", CONFIGURATION, re.MULTILINE)) == set(
        commands()
    )


def test_a_missing_command_or_option_is_seen() -> None:
    page = section(CONFIGURATION, "### `kinecolor status`").replace("| `--work` |", "| `--wrok` |")
    assert undocumented(page, commands()["status"]) == ["| `--work` | `kinecolor-work` |"]
    with pytest.raises(AssertionError, match="no heading"):
        section(CONFIGURATION, "### `kinecolor paint`")


# -- JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", JSON_KEYS)
def test_every_key_of_json_is_documented(command: str) -> None:
    page = section(CONFIGURATION, f"### JSON of `kinecolor {command}`")
    assert first_cells(page) == {f"`{key}`" for key in JSON_KEYS[command]}


def test_a_missing_key_is_seen() -> None:
    page = section(CONFIGURATION, "### JSON of `kinecolor colorize`").replace(
        "| `seconds`", "| `s`"
    )
    assert {f"`{key}`" for key in JSON_KEYS["colorize"]} - first_cells(page) == {"`seconds`"}


# -- the shot list ---------------------------------------------------------------------------


def test_every_column_of_the_shot_list_is_documented() -> None:
    page = section(CONFIGURATION, "## Shot list")
    assert first_cells(page) == {f"`{column}`" for column in COLUMNS}


def test_every_column_of_a_catalogue_is_documented() -> None:
    page = section(CONFIGURATION, "## Catalogue")
    assert first_cells(page) == {f"`{column}`" for column in catalogue.COLUMNS}


# -- environment variables -------------------------------------------------------------------


def variables(source: str) -> set[str]:
    """Names of environment variables that Python source reads or sets by name."""
    return set(re.findall(r'environ(?:\.get|\.setdefault)?[(\[]"([A-Z_]+)"', source))


def test_every_environment_variable_is_documented() -> None:
    modules = [path for ring in RINGS for path in (ROOT / ring).rglob("*.py")]
    used = set().union(*(variables(path.read_text(encoding="utf-8")) for path in modules))
    page = section(CONFIGURATION, "## Environment variables")
    assert used
    assert {name for name in used if f"`{name}`" not in page} == set()


def test_a_use_of_a_variable_is_seen() -> None:
    source = 'os.environ.get("ONE") or os.environ["TWO"]; os.environ.setdefault("THREE", "3")'
    assert variables(source) == {"ONE", "TWO", "THREE"}


# -- what pages point to ---------------------------------------------------------------------


def broken_links(path: Path) -> list[str]:
    """Relative links and images of a page that point to no file, or to no heading of one."""
    text = without_code(path.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [
        target
        for target in targets
        if not re.match(r"[a-z][a-z0-9+.-]*:", target) and not _leads_somewhere(path, target)
    ]


def _leads_somewhere(page: Path, target: str) -> bool:
    name, _, fragment = target.partition("#")
    file = page.parent / name if name else page
    if not file.exists():
        return False
    return not fragment or fragment in anchors_of(file.read_text(encoding="utf-8"))


def anchors_of(page: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c\n[x](page.md) [y](#a-b-c) [w](https://example.org) `[code](gone.md)`\n"
        '```\n[code](gone.md)\n```\n[z](gone.md) ![p](gone.png) <img src="p.png"> [v](#d)\n',
        encoding="utf-8",
    )
    assert broken_links(page) == ["gone.md", "gone.png", "#d", "p.png"]


def missing_modules(page: str) -> list[str]:
    """Python files that a page names, by their path in the repository, and that are not there."""
    named = sorted(set(re.findall(rf"`((?:{'|'.join((*RINGS, 'tests'))})/[\w/]+\.py)`", page)))
    assert named
    return [name for name in named if not (ROOT / name).is_file()]


def test_the_architecture_names_modules_that_are_there() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert missing_modules(page) == []
    media = first_cells(section(page, "## Where this is not the first design"))
    files = {path.name for path in (ROOT / "colorize_core" / "media").glob("[!_]*.py")}
    assert media == {f"`{name}`" for name in files}


def test_a_missing_module_is_seen() -> None:
    assert missing_modules("`flows/cli.py` `tasks/gone.py`") == ["tasks/gone.py"]
