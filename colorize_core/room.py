"""Local files that are written for a while, and what is said where there is no room for them."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colorize_core.errors import StorageFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """The block writes the local file `path`, or files in the folder `path`, and no others.

    Raises:
        StorageFull: there is no space for them.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise no_room(path) from error


def no_room(path: Path) -> StorageFull:
    """That there is no space left for `path`, and what to do about it."""
    remedy = "Free some space there and run again: finished work is kept."
    if path.is_relative_to(tempfile.gettempdir()):
        remedy = f"{remedy} Or let TMPDIR name another folder for temporary files."
    return StorageFull(f"Could not write {path}: no space is left.", remedy)
