"""JSON objects that show whether they are what was written: a record, and the digest of it."""

from __future__ import annotations

from typing import Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from colorize_core.config import digest_of

Record = TypeVar("Record", bound=BaseModel)


class _File(BaseModel, Generic[Record]):
    model_config = ConfigDict(frozen=True, extra="forbid")

    record: Record
    sha256: str

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.sha256 != digest_of(self.record.model_dump(mode="json")):
            raise ValueError("not the record that was written")
        return self


def encode(record: BaseModel) -> bytes:
    """The object that holds `record`. Same record, same bytes."""
    file = _File(record=record, sha256=digest_of(record.model_dump(mode="json")))
    return file.model_dump_json(indent=2).encode()


def decode(kind: type[Record], data: bytes) -> Record:
    """The record in `data`.

    Raises:
        ValueError: a bit is not as it was written, or it is no record of this kind.
    """
    return _File[kind].model_validate_json(data).record
