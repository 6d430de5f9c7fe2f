"""What folders hold, on a disk or in a store. `storage` has these names, too: call them there."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from colorize_core.errors import StorageError
from colorize_core.storage_failures import tried
from colorize_core.storage_local import TEMPORARY
from colorize_core.storage_remote import open_store
from colorize_core.uris import local_path

# What file systems of fsspec call the time of writing.
_WRITTEN = ("LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True, slots=True)
class Listed:
    """An object. `name` is relative to the folder that was listed, with ``/``; `modified` is the
    store's or the disk's time."""

    name: str
    bytes: int
    modified: datetime


def list_names(uri: str) -> list[str]:
    """Names of the objects directly in the folder `uri`, sorted. Empty where there is no folder."""
    return _directly_in(uri, folders=False)


def list_folders(uri: str) -> list[str]:
    """Names of the folders directly in the folder `uri`, sorted."""
    return _directly_in(uri, folders=True)


def list_objects(uri: str) -> list[Listed]:
    """Every object in the folder `uri` and below, sorted by name, with size and time; what killed
    writers left unfinished, too. Empty where there is no folder. Links on a disk are no objects.

    Raises:
        StorageUnavailable, StorageError: also where the store does not say when an object was
            written.
    """
    path = local_path(uri)
    found = tried("list", uri, lambda: _on_disk(path) if path is not None else _in_store(uri))
    return sorted(found, key=lambda each: each.name)


def find(pattern: str) -> list[str]:
    """The URIs of all objects in a folder and the folders in it, or of those that fit a glob
    (``*``, ``?``, ``[…]``, and ``**`` for any folders), sorted. Empty where there is none. Links to
    folders are not followed, but for those that a glob fits."""
    path = local_path(pattern)

    def ask() -> list[str]:
        return _found_on_disk(path) if path is not None else _found_in_store(pattern)

    return sorted(each for each in tried("list", pattern, ask) if TEMPORARY not in each)


def _directly_in(uri: str, *, folders: bool) -> list[str]:
    path = local_path(uri)
    kind = "directory" if folders else "file"

    def ask() -> list[str]:
        try:
            if path is not None:
                found = [each.name for each in path.iterdir() if each.is_dir() == folders]
            else:
                fs, name = open_store(uri)
                found = [
                    each["name"].rstrip("/").rpartition("/")[2]
                    for each in fs.ls(name, detail=True)
                    # some stores list an empty object for the folder itself
                    if each["type"] == kind and each["name"].strip("/") != name.strip("/")
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(each for each in found if not each.startswith(TEMPORARY))

    return tried("list", uri, ask)


def _on_disk(folder: Path) -> list[Listed]:
    found = []
    for path in _walked(folder):
        try:
            info = path.lstat()
        except FileNotFoundError:  # gone since: other processes write here
            continue
        if not path.is_symlink():
            name = path.relative_to(folder).as_posix()
            found.append(Listed(name, info.st_size, _utc(info.st_mtime)))
    return found


def _found_on_disk(pattern: Path) -> list[str]:
    is_glob = glob.has_magic(str(pattern)) and not pattern.is_dir()
    # Path.glob takes no absolute pattern.
    found = glob.iglob(str(pattern), recursive=True) if is_glob else _walked(pattern)  # noqa: PTH207
    return [str(each) for each in map(Path, found) if each.is_file()]


def _walked(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        for name in names:
            yield Path(where, name)


def _in_store(uri: str) -> list[Listed]:
    fs, folder = open_store(uri)
    prefix = folder.rstrip("/") + "/"
    return [
        Listed(key.removeprefix(prefix), info["size"], _written(key, info))
        for key, info in _files(fs.find(folder, detail=True))
    ]


def _found_in_store(pattern: str) -> list[str]:
    fs, name = open_store(pattern)
    ask = fs.glob if glob.has_magic(name) else fs.find
    protocol = pattern.partition("://")[0]
    return [
        key if "://" in key else f"{protocol}://{key.lstrip('/')}"
        for key, _ in _files(ask(name, detail=True))
    ]


def _files(found: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a listing: some stores list an empty one for a folder itself."""
    for key, info in found.items():
        if info["type"] == "file" and not key.endswith("/"):
            yield key, info


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
