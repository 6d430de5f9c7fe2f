"""Whether a source is still the file that was scanned.

Its digest is read once, by the driver; reading it again before each piece of work would take longer
than the work. So a stamp is compared (`storage.fingerprint`): what was made while it changed is
never stored, since names of objects say which source they were made from, and are believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from colorize_core import storage
from colorize_core.errors import KinecolorError, ObjectMissing, SourceChanged


def identify(uri: str, stamp: str, digest: str) -> str:
    """The stamp of the source on this machine, before anything is read from it.

    File systems do not show a file's times alike on every machine: where the stamp is not `stamp`,
    which another machine took, the source is read once, and its `digest` decides.

    Raises:
        SourceChanged: it is not the file with this digest, or is gone.
        StorageUnavailable, StorageError.
    """
    now = _stamp(uri)
    if now != stamp and storage.sha256(uri) != digest:
        raise _changed(uri)
    return now


def check(uri: str, stamp: str) -> None:
    """Makes sure that the source still has its stamp of this machine.

    Raises:
        SourceChanged, StorageUnavailable, StorageError.
    """
    if _stamp(uri) != stamp:
        raise _changed(uri)


@contextmanager
def unchanged(uri: str, stamp: str) -> Iterator[None]:
    """What the block makes from the source, it makes from the file with this stamp.

    Raises:
        SourceChanged: at the block's end, or in place of the error that the change caused.
        StorageUnavailable, StorageError.
    """
    try:
        yield
    except KinecolorError:
        check(uri, stamp)
        raise
    check(uri, stamp)


def _stamp(uri: str) -> str:
    try:
        return storage.fingerprint(uri)
    except ObjectMissing as error:
        raise _changed(uri) from error


def _changed(uri: str) -> SourceChanged:
    return SourceChanged(
        f"{uri} is not the file that was scanned: it was changed, replaced or removed meanwhile.",
        "Put the film back if that was a mistake, then run again: finished work is kept.",
    )
