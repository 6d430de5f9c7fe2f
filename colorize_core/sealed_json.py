"""JSON objects that show whether they are what was written: a record, and the digest of it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from colorize_core.config import digest_of

Record = TypeVar("Record", bound=BaseModel)


class _File(BaseModel):
    """The record as it was written: a later version of its class may have more fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record: JsonValue
    sha256: str


def encode(record: BaseModel) -> bytes:
    """The object that holds `record`. Same record, same bytes."""
    values = record.model_dump(mode="json")
    return _File(record=values, sha256=digest_of(values)).model_dump_json(indent=2).encode()


def decode(kind: type[Record], data: bytes) -> Record:
    """The record in `data`.

    Raises:
        ValueError: it is not what was written, or no record of this kind.
    """
    file = _File.model_validate_json(data)
    if file.sha256 != digest_of(file.record):
        raise ValueError("not the record that was written")
    return kind.model_validate(file.record)
