"""Whole files on a local disk: written under a temporary name, synced, then named in one step."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colorize_core.errors import UnsafeStore

TEMPORARY = ".kinecolor-"  # how temporary names begin


def create(path: Path, data: bytes) -> bool:
    """A new file with `data`. False: the name was taken."""
    with _temporary(path.parent) as temporary:
        _write_whole(temporary, data)
        return _link(temporary, path)


def create_from(source: Path, path: Path) -> bool:
    """`source` under a new name, without a copy where one file system holds both. False: taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return False
    if source.stat().st_dev == path.parent.stat().st_dev:
        _sync(source)
        try:
            return _link(source, path)
        except OSError as error:  # two mounts of one file system, as a container's volumes are
            if error.errno != errno.EXDEV:
                raise
    with _temporary(path.parent) as temporary:
        _copy(source, temporary)
        return _link(temporary, path)


def replace(path: Path, data: bytes) -> None:
    """`data` as the file `path`, in place of one that may be there."""
    with _temporary(path.parent) as temporary:
        _write_whole(temporary, data)
        temporary.replace(path)
    _sync(path.parent)


def move(source: Path, path: Path) -> None:
    """`source` as the file `path`, in place of one that may be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sync(source)
    try:
        source.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with _temporary(path.parent) as temporary:
            _copy(source, temporary)
            temporary.replace(path)
        source.unlink()
    _sync(path.parent)


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A new name in `folder` (made where it is missing); removed at the end if still there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write_whole(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    _sync(target)


def _sync(path: Path) -> None:
    """Brings a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(source: Path, target: Path) -> bool:
    """Gives `source` the further name `target`. False: the name was taken."""
    try:
        os.link(source, target)
    except FileExistsError:
        # NFS can lose the answer to a link that it made: two names then, where one is expected.
        return source.stat().st_nlink == 2 and source.samefile(target)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise UnsafeStore(
                f"The file system of {target.parent} has no hard links.",
                "Put the work folder (--work) on a disk formatted as ext4, XFS, APFS or NTFS.",
            ) from error
        raise
    _sync(target.parent)
    return True
