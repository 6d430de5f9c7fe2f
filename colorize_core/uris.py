"""URIs: local paths, and URLs that fsspec knows."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.request import url2pathname

from colorize_core.errors import InputError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)(?:::[A-Za-z][A-Za-z0-9+.\-]*)*://")


def local_path(uri: str) -> Path | None:
    """The local file or folder that `uri` names; None for a remote URL."""
    found = _URL.match(uri)
    if found is None:
        return Path(uri)
    if found[1].lower() in {"file", "local"}:
        return Path(url2pathname(uri[found.end() :]))
    return None


def normalise(uri: str) -> str:
    """`uri` as every process understands it: local paths absolute, with ``~`` and
    symbolic links resolved; URLs kept.

    Raises:
        InputError: an empty path, one with a NUL, the home of a user who does not exist, or a URL
            that names nothing.
    """
    if not uri.strip():
        raise InputError("A path is empty.", "Give a path or a URL.")
    path = local_path(uri)
    if path is None:
        return _normalised_url(uri)
    if "\0" in str(path):
        raise InputError(f"“{uri}” has a NUL in it, as no path can.", "Write the path out.")
    try:
        return os.path.realpath(path.expanduser())
    except RuntimeError as error:  # how pathlib says that a home is unknown
        raise InputError(f"There is no home folder for “{uri}”.", "Write the path out.") from error


def _normalised_url(uri: str) -> str:
    if not uri.endswith("://"):
        return uri.rstrip("/")
    if scheme(uri) == "memory":
        return uri
    raise InputError(f"{uri} names no bucket or server.", "Write it out: s3://bucket/folder.")


def join(uri: str, *names: str) -> str:
    """The object `names` below the folder `uri`."""
    if uri.endswith("://"):
        return uri + "/".join(names)
    return "/".join((uri.rstrip("/"), *names))


def parent(uri: str) -> str:
    """The folder that holds `uri`."""
    path = local_path(uri)
    return str(path.parent) if path is not None else uri.rstrip("/").rpartition("/")[0]


def name_of(uri: str) -> str:
    """The last part of `uri`, without the query of a signed URL."""
    path = local_path(uri)
    return path.name if path is not None else uri.partition("?")[0].rstrip("/").rpartition("/")[2]


def scheme(uri: str) -> str:
    """The protocol that `uri` is opened with; "file" for a local path."""
    found = _URL.match(uri)
    return found[1].lower() if found else "file"


def protocols(uri: str) -> list[str]:
    """The protocols of a URL, more than one where one is reached through another
    (``simplecache::s3://…``); none for a local path."""
    if _URL.match(uri) is None:
        return []
    return [part.partition("://")[0].lower() for part in uri.split("::")]
