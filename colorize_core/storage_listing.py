"""What a folder holds: every object with its size and the time it was written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from colorize_core.errors import StorageError
from colorize_core.storage_remote import open_store

# What file systems of fsspec call the time of writing.
_WRITTEN = ("LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True, slots=True)
class Listed:
    """An object. `name` is relative to the folder that was listed, with ``/``; `modified` is the
    store's or the disk's time."""

    name: str
    bytes: int
    modified: datetime


def on_disk(folder: Path) -> list[Listed]:
    """The files below `folder`. Links are no files, and are not followed."""
    found = []
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names):
            try:
                info = path.lstat()
            except FileNotFoundError:  # gone since: other processes write here
                continue
            if not path.is_symlink():
                name = path.relative_to(folder).as_posix()
                found.append(Listed(name, info.st_size, _utc(info.st_mtime)))
    return found


def in_store(uri: str) -> list[Listed]:
    """The objects below the folder `uri`."""
    fs, folder = open_store(uri)
    prefix = folder.rstrip("/") + "/"
    return [
        Listed(key.removeprefix(prefix), info["size"], _written(key, info))
        for key, info in fs.find(folder, detail=True).items()
        # some stores list an empty object for a folder itself
        if info["type"] == "file" and not key.endswith("/")
    ]


def _written(key: str, info: Mapping[str, Any]) -> datetime:
    for name in _WRITTEN:
        match info.get(name):
            case datetime() as time:
                return time.astimezone(UTC)
            case int() | float() as seconds:
                return _utc(seconds)
            case str() as text:
                return datetime.fromisoformat(text).astimezone(UTC)
    raise StorageError(
        f"The store does not say when {key} was written.",
        "Use a store that does (S3, Google Cloud, Azure) or a disk.",
    )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
