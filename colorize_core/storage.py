"""Whole objects under URIs, on a disk or in an object store.

A URI is a local path or a URL that fsspec knows. What every function here keeps, everywhere:
an object is seen whole or not at all, and it is created by one writer only where that is asked.

- Local disk: a temporary file in the same folder, fsync, then a hard link (which fails where the
  name is taken) or a rename. A file system without hard links (exFAT, some network shares) is
  refused for exclusive creation: every emulation leaves locks behind when a process is killed.
- Object stores: one PUT with If-None-Match. Never a multipart upload: with the same condition
  some stores overwrite silently.

A call whose failure may pass is repeated here (storage_failures.py says how often, and how long it
takes); above, only a whole piece of work is, once (dispatch.py). Endpoint and credentials:
storage_options.py. An upload that is killed in the middle shows nothing, but its parts stay in an
S3 bucket until a lifecycle rule (AbortIncompleteMultipartUpload) takes them away: give a bucket for
films such a rule.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from colorize_core import storage_local, storage_remote
from colorize_core.errors import ObjectMissing, UnsafeStore
from colorize_core.redact import redact
from colorize_core.storage_failures import is_missing, tried
from colorize_core.storage_listing import (
    Listed,
    find,
    list_folders,
    list_names,
    list_objects,
)
from colorize_core.storage_local import TEMPORARY
from colorize_core.storage_reader import BLOCK_BYTES, BlockReader
from colorize_core.storage_remote import HalfStored, open_store
from colorize_core.uris import join, local_path, name_of, normalise, parent, scheme

__all__ = [
    "TEMPORARY",
    "Listed",
    "check_exclusive",
    "check_writable",
    "delete",
    "exists",
    "find",
    "fingerprint",
    "join",
    "list_folders",
    "list_names",
    "list_objects",
    "local_path",
    "name_of",
    "normalise",
    "open_read",
    "parent",
    "publish",
    "put_if_absent",
    "read",
    "redact",
    "replace_atomically",
    "sha256",
    "size",
    "sweep",
    "upload_if_absent",
]

SMALL_OBJECT_BYTES = 64 * 2**20  # s3fs sends a single PUT below 100 MiB
HASH_BLOCK_BYTES = 4 * 2**20


# -- reading ---------------------------------------------------------------------------------


def exists(uri: str) -> bool:
    """Whether there is an object (a file, not a folder) under `uri`."""
    return size(uri) is not None


def size(uri: str) -> int | None:
    """Bytes of the object under `uri`; None where there is none."""
    path = local_path(uri)

    def ask() -> int | None:
        try:
            if path is not None:
                return path.stat().st_size if path.is_file() else None
            fs, name = open_store(uri)
            info = fs.info(name)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not is_missing(error):
                raise
            return None
        return info["size"] if info["type"] == "file" else None

    return tried("look at", uri, ask)


def read(uri: str) -> bytes:
    """The whole object.

    Raises:
        ObjectMissing, StorageUnavailable, StorageError.
    """
    path = local_path(uri)

    def fetch() -> bytes:
        if path is not None:
            return path.read_bytes()
        fs, name = open_store(uri)
        return bytes(fs.cat_file(name))

    return tried("read", uri, fetch)


@contextmanager
def open_read(uri: str) -> Iterator[BinaryIO]:
    """A seekable binary file that reads the object; remote ones in blocks of 4 MiB, 8 of which
    are kept.

    Raises:
        ObjectMissing, StorageUnavailable, StorageError: here, and for remote objects from the
            file's own methods.
    """
    path = local_path(uri)

    def open_file() -> BinaryIO:
        if path is not None:
            return path.open("rb")
        if scheme(uri) == "memory":  # its files share one position
            return io.BytesIO(read(uri))
        fs, name = open_store(uri)
        remote = fs.open(name, "rb", block_size=BLOCK_BYTES, cache_type="none")
        return cast(BinaryIO, BlockReader(uri, cast(BinaryIO, remote)))

    with tried("read", uri, open_file) as file:
        yield file


def sha256(uri: str, progress: Callable[[int, int], None] | None = None) -> str:
    """Hex digest of the object's bytes, read in blocks. `progress(done, total)` counts bytes.

    Raises:
        ObjectMissing, StorageUnavailable, StorageError.
    """
    total = size(uri)
    if total is None:
        raise ObjectMissing(f"There is nothing at {redact(uri)}.", "Check the path or URL.")
    digest = hashlib.sha256()
    done = 0
    with open_read(uri) as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
    return digest.hexdigest()


def fingerprint(uri: str) -> str:
    """What changes when the object is written anew, found out without reading it: equal texts on
    one machine mean the same content, but for one that was changed within a tick of the clock.

    Raises:
        ObjectMissing, StorageUnavailable, StorageError.
    """
    path = local_path(uri)

    def ask() -> str:
        if path is not None:
            found = path.stat()
            # Not its inode, which some network file systems number anew while a run lasts.
            return f"{found.st_size} {found.st_mtime_ns}"
        return storage_remote.fingerprint(uri)

    return tried("look at", uri, ask)


# -- writing ---------------------------------------------------------------------------------


def put_if_absent(uri: str, data: bytes) -> bool:
    """Creates the object, unless there is one already. True: it is there, with exactly `data`.

    Of any number of writers at once, with data that differ, exactly one hears True. Writers with
    the same data may all hear it: an answer can get lost, and the client library then asks again
    by itself, so that “there is one already” may be said of the very object that this call made.
    Where only one may win, put something unique in `data`.

    Raises:
        UnsafeStore: the store cannot create exclusively.
        StorageUnavailable: the object may have been created all the same.
        StorageError.
    """
    if len(data) > SMALL_OBJECT_BYTES:
        raise ValueError(f"{len(data)} bytes are too many for one PUT: use upload_if_absent")
    path = local_path(uri)

    def create() -> bool:
        if path is not None:
            return storage_local.create(path, data)
        return storage_remote.create(uri, data)

    if tried("write", uri, create):
        return True
    try:
        return read(uri) == data
    except ObjectMissing:  # another writer's, and gone again
        return False


def upload_if_absent(source: Path | bytes, uri: str) -> bool:
    """A file or bytes of any size as a new object, unless there is one already. True: this call
    wrote it.

    For objects whose name says their content: two writers at once may both hear True, and one
    whose answer was lost hears False. A file on the same file system is not copied (a hard link),
    so it must not be written to again.

    Raises:
        UnsafeStore, StorageUnavailable, StorageError.
    """
    target = local_path(uri)

    def upload() -> bool:
        if target is not None:
            if isinstance(source, bytes):
                return storage_local.create(target, source)
            return storage_local.create_from(source, target)
        if exists(uri):
            return False
        try:
            storage_remote.put(source, uri)
        except HalfStored:
            delete(uri)  # or the next try would take it for the object
            raise
        return True

    return tried("write", uri, upload)


def replace_atomically(uri: str, data: bytes) -> None:
    """Writes the object, in place of one that may be there. Readers see the old or the new one.

    Raises:
        StorageUnavailable, StorageError.
    """
    path = local_path(uri)

    def replace() -> None:
        if path is not None:
            storage_local.replace(path, data)
        else:
            storage_remote.put(data, uri)

    tried("write", uri, replace)


def publish(path: Path, uri: str) -> None:
    """Moves the finished file `path` to its final name, where it appears whole, in one step, in
    place of one that may be there. `path` is gone afterwards.

    Raises:
        StorageUnavailable, StorageError.
    """
    target = local_path(uri)

    def move() -> None:
        if target is not None:
            storage_local.move(path, target)
        else:
            storage_remote.put(path, uri)
            path.unlink()

    tried("write", uri, move)


def delete(uri: str) -> None:
    """Removes the object, if there is one."""
    path = local_path(uri)

    def remove() -> None:
        try:
            if path is not None:
                path.unlink()
            else:
                fs, name = open_store(uri, to_write=True)
                fs.rm_file(name)
        except FileNotFoundError:
            pass

    tried("delete", uri, remove)


def sweep(uri: str) -> None:
    """Removes what killed writers left unfinished in the folder `uri` and below. For a folder that
    nobody else is writing to.

    Raises:
        StorageError.
    """
    path = local_path(uri)
    if path is None:  # an object store shows nothing of an upload that did not end
        return

    def remove() -> None:
        for left in path.rglob(f"{TEMPORARY}*"):
            left.unlink(missing_ok=True)

    tried("tidy up", uri, remove)


# -- what a place can do ---------------------------------------------------------------------


def check_writable(uri: str) -> None:
    """Writes and removes a small object in the folder `uri` (made where it is missing).

    Raises:
        StorageError, UnsafeStore, StorageUnavailable: nothing can be written there.
    """
    probe = join(uri, f"{TEMPORARY}{uuid.uuid4().hex}")
    replace_atomically(probe, b"probe")
    delete(probe)


def check_exclusive(uri: str) -> None:
    """Makes sure that the folder `uri` keeps the promise of `put_if_absent`.

    Raises:
        UnsafeStore: a second writer overwrote the first.
        StorageError, StorageUnavailable: nothing can be written there.
    """
    probe = join(uri, f"{TEMPORARY}{uuid.uuid4().hex}")
    first = uuid.uuid4().bytes
    try:
        put_if_absent(probe, first)
        if put_if_absent(probe, b"second") or read(probe) != first:
            raise UnsafeStore(
                f"The store of {redact(uri)} lets a second writer overwrite the first.",
                "Use a store with If-None-Match (AWS S3, Ceph, MinIO, Google Cloud, Azure) "
                "or a disk.",
            )
    finally:
        delete(probe)
