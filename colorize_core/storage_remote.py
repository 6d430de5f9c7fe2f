"""Objects in remote stores, through fsspec: one try each, whose failure is the driver's."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import fsspec.config  # noqa: TID251  this is the one place

from colorize_core.errors import UnsafeStore
from colorize_core.redact import redact
from colorize_core.storage_failures import http_status
from colorize_core.storage_options import store_options
from colorize_core.uris import protocols, scheme

# Four of them are in memory during an upload. S3 takes 10,000 at most: a longer film has longer
# ones.
PART_BYTES = 16 * 2**20
MOST_PARTS = 10_000

_S3 = {"s3", "s3a"}
# Their PUT shows an object whole or not at all. Any other protocol is for reading.
_OBJECT_STORES = _S3 | {"gs", "gcs", "az", "abfs", "abfss", "memory"}
# As file systems of fsspec call it, in lower case.
_VERSION = (
    *("size", "etag", "lastmodified", "last_modified", "last-modified", "updated"),
    *("mtime", "created"),
)
_memory_lock = threading.Lock()  # fsspec's memory store checks and then writes


def open_store(uri: str, *, to_write: bool = False) -> tuple[Any, str]:
    """fsspec's file system for `uri` and the name it uses there. No listing is kept: other
    processes write to the same folders.

    Raises:
        UnsafeStore: results cannot be written there.
        SettingError: a KINECOLOR_STORAGE__… variable cannot be understood.
    """
    if to_write and scheme(uri) not in _OBJECT_STORES:
        raise UnsafeStore(
            f"Results cannot be written to {redact(uri)}: {scheme(uri)}:// does not show an "
            "object whole or not at all.",
            "Write to a local path, s3://, gs:// or abfs://.",
        )
    options = {each: _options(each) for each in protocols(uri)}
    fs, name = fsspec.core.url_to_fs(uri, use_listings_cache=False, **options)
    if scheme(uri) in _S3:
        fs.retries = 1  # s3fs would do it all again around botocore's own attempts, some twice
    return fs, name


def create(uri: str, data: bytes) -> bool:
    """A new object, by one PUT with If-None-Match. False: the name was taken."""
    fs, name = open_store(uri, to_write=True)
    try:
        with _memory_lock if scheme(uri) == "memory" else nullcontext():
            fs.pipe_file(name, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        if http_status(error) == 412:  # how Ceph's refusal comes through s3fs
            return False
        raise
    return True


def put(source: Path | bytes, uri: str) -> None:
    """Writes the object, and makes sure that the store has all of it."""
    fs, name = open_store(uri, to_write=True)
    if isinstance(source, bytes):
        length = len(source)
        fs.pipe_file(name, source)
    else:
        length = source.stat().st_size
        _put_file(fs, source, name, scheme(uri), length)
    stored = fs.info(name)["size"]
    if stored != length:
        raise HalfStored(f"the store has {stored} bytes of {length}")


def fingerprint(uri: str) -> str:
    """The object's size, and what its store says of its version."""
    fs, name = open_store(uri)
    found = {key.lower(): value for key, value in fs.info(name).items()}
    return " ".join(f"{key}={found[key]}" for key in _VERSION if key in found)


class HalfStored(ConnectionError):
    """The store took an upload for whole that was not."""


def _put_file(fs: Any, source: Path, name: str, protocol: str, length: int) -> None:
    if protocol == "memory":  # its put_file shows parts
        fs.pipe_file(name, source.read_bytes())
    elif protocol in _S3:
        fs.put_file(os.fspath(source), name, chunksize=max(PART_BYTES, -(-length // MOST_PARTS)))
    else:
        fs.put_file(os.fspath(source), name)


def _options(protocol: str) -> dict[str, Any]:
    names = fsspec.get_filesystem_class(protocol).protocol
    return store_options((names,) if isinstance(names, str) else names, fsspec.config.conf)
