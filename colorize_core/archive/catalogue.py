"""A catalogue: a CSV or Parquet file with a row a film.

| column | meaning |
|---|---|
| `source` | the film: a path or URL; a relative one begins at the catalogue's folder |
| `film` | what it is called, `/` between folders: names its result; default: the source's name |
| `prompt` | what it shows, for parts that make stills from words |
| `references` | a folder of stills, or stills (IMAGE[@TIME]) with `;` between them; as `source` |
| `shots` | a shot list (CSV) that takes the place of the film's; as `source` |
| `preset` | its preset |
| `priority` | a whole number; the highest is done first; default 0 |
| `enabled` | `no`, `false` or `0`: it is left alone; default: yes |

Other columns are the archive's own, and are passed over.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from colorize_core import storage
from colorize_core.errors import InputError, ObjectMissing

SUFFIXES = (".csv", ".parquet")
MOST_BYTES = 256 * 2**20
COLUMNS = (
    *("source", "film", "prompt", "references", "shots"),
    *("preset", "priority", "enabled"),
)
_MOST_PRIORITY = 2**31
_YES, _NO = {"", "1", "yes", "true", "y"}, {"0", "no", "false", "n"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row. Texts are stripped, and empty where there is none; `error` says what is wrong."""

    source: str
    film: str = ""
    prompt: str = ""
    references: str = ""
    shots: str = ""
    preset: str = ""
    priority: int = 0
    enabled: bool = True
    error: str = ""


def read_catalogue(uri: str) -> list[Entry]:
    """The rows of the catalogue at `uri`, in order. A row that is wrong concerns its film only; one
    without anything is passed over.

    Raises:
        InputError: there is none, it is no table, or it has no column `source`.
        StorageUnavailable, StorageError.
    """
    size = storage.size(uri)
    if size is None:
        raise InputError(
            f"There is no catalogue at {storage.redact(uri)}.", "Check the path or URL."
        )
    if size > MOST_BYTES:
        raise _no_table(uri, f"it has {size} bytes, and {MOST_BYTES} are the most")
    try:
        data = storage.read(uri)
    except ObjectMissing as error:  # gone meanwhile
        raise InputError(error.what, error.remedy) from error
    rows = _parquet(data, uri) if uri.lower().endswith(".parquet") else _csv(data, uri)
    return [_entry(row) for row in rows if any(row.values())]


def _csv(data: bytes, uri: str) -> list[dict[str, str]]:
    try:
        text = data.decode("utf-8-sig")  # spreadsheets put a mark before it
        if "\0" in text:
            raise ValueError("it has NUL bytes")
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header, *rows = list(lines) or [[]]
    except (ValueError, csv.Error) as error:
        raise _no_table(uri, str(error)) from error
    names = _names(header, uri)
    # A row may be shorter or longer than the header: spreadsheets leave out empty cells.
    return [dict(zip(names, (each.strip() for each in row), strict=False)) for row in rows]


def _parquet(data: bytes, uri: str) -> list[dict[str, str]]:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names = _names(file.schema_arrow.names, uri)
        wanted = [
            name
            for name, known in zip(file.schema_arrow.names, names, strict=True)
            if known in COLUMNS
        ]
        rows = file.read(columns=wanted, use_threads=False).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_table(uri, str(error)) from error
    return [{name.strip().lower(): _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return str(value).strip()


def _names(header: list[str], uri: str) -> list[str]:
    names = [name.strip().lower() for name in header]
    if "source" not in names:
        raise InputError(
            f"The catalogue {storage.redact(uri)} has no column “source”.",
            f"Its columns are {', '.join(COLUMNS)}; all but the first may be left out.",
        )
    if twice := {name for name in names if name in COLUMNS and names.count(name) > 1}:
        raise _no_table(uri, f"it has the column {min(twice)} twice")
    return names


def _entry(row: Mapping[str, str]) -> Entry:
    known = {name: row.get(name, "") for name in COLUMNS}
    problems = [] if known["source"] else ["it names no source"]
    try:
        priority = int(known["priority"] or 0)
        if abs(priority) > _MOST_PRIORITY:
            raise ValueError
    except ValueError:
        priority = 0
        problems.append(f"its priority is “{known['priority'][:40]}”, no whole number")
    said = known["enabled"].lower()
    if said not in _YES | _NO:
        problems.append(f"enabled is “{known['enabled'][:40]}”, neither yes nor no")
    return Entry(
        known["source"],
        known["film"],
        known["prompt"],
        known["references"],
        known["shots"],
        known["preset"],
        priority,
        said not in _NO,
        "; ".join(problems),
    )


def _no_table(uri: str, why: str) -> InputError:
    return InputError(
        f"The catalogue {storage.redact(uri)} cannot be read: {' '.join(why.split())[:300]}.",
        "Save it as CSV (UTF-8) or Parquet.",
    )
