from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from colorize_core.archive.rollup import ArchiveRow
from colorize_core.manifest.schema import TABLES, Row, SegmentRow, ShotRow, arrow_schema
from tests.core.manifest.rows import done, film, segment, shot

DOCS = Path(__file__).resolve().parents[3] / "docs" / "manifest.md"


def documented(row: type[Row]) -> str:
    """The table that `docs/manifest.md` has to hold for a manifest table."""
    lines = ["| column | type | null | meaning |", "|---|---|---|---|"]
    for field in arrow_schema(row):
        is_list = pa.types.is_list(field.type)
        kind = f"list of {field.type.value_type}" if is_list else str(field.type)
        meaning = (field.metadata or {})[b"description"].decode()
        null = "yes" if field.nullable else "no"
        lines.append(f"| `{field.name}` | {kind} | {null} | {meaning} |")
    return "\n".join(lines)


@pytest.mark.parametrize("row", (*TABLES, ArchiveRow), ids=lambda row: row.__name__)
def test_every_column_is_documented(row: type[Row]) -> None:
    assert documented(row) in DOCS.read_text(encoding="utf-8"), (
        f"docs/manifest.md: the table of {row.table} has to read\n{documented(row)}"
    )
    assert all((field.metadata or {}).get(b"description") for field in arrow_schema(row))


def test_every_table_has_its_own_name() -> None:
    assert len({row.table for row in TABLES}) == len(TABLES)


def test_rows_are_frozen() -> None:
    with pytest.raises(ValidationError):
        segment(0, 0).status = "done"
    with pytest.raises(ValidationError):
        film().status = "published"


@pytest.mark.parametrize(
    "change",
    [
        {"end": 0},
        {"status": "done", "uri": None},
        {"status": "done", "frames": 23},
        {"status": "failed"},
        {"status": "quarantined"},
        {"status": "lost"},
        {"confidence": 1.5},
        {"no_such_column": 1},
    ],
)
def test_a_segment_that_cannot_be_true_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SegmentRow.model_validate({**done(segment(0, 0)).model_dump(), **change})


def test_a_segment_that_stays_grey_needs_no_object() -> None:
    row = {**segment(0, 0).model_dump(), "status": "done", "grey": True}
    assert SegmentRow.model_validate(row).uri is None


@pytest.mark.parametrize("status", ["done", "grey"])
def test_a_finished_shot_has_chunks_with_all_its_frames(status: str) -> None:
    chunks = {"chunks": ("chunks/a.mkv", "chunks/b.mkv"), "chunk_digests": ("ab", "cd")}
    row = {**shot(0).model_dump(), **chunks, "status": status, "bytes": 9, "frames": 48}
    assert ShotRow.model_validate(row).frames == 48
    for change in ({"chunks": ()}, {"frames": 47}, {"chunk_digests": ("ab",)}):
        with pytest.raises(ValidationError):
            ShotRow.model_validate({**row, **change})
