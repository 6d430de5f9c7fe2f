"""What a store's failure means: which may pass and are tried again, and the words for the others.

Drivers raise whatever their protocol's library raises; nothing of that reaches a person.
"""

from __future__ import annotations

import errno
import io
import os
import random
import time
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from colorize_core.errors import (
    KinecolorError,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
    UnsafeStore,
)
from colorize_core.redact import redact

T = TypeVar("T")

TRIES = 3  # drivers have their own inside: a dead S3 endpoint takes 5 s each time
FIRST_PAUSE_S = 0.25

_TRANSIENT_ERRNO = {
    errno.EBUSY,
    errno.EAGAIN,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ECONNABORTED,
    errno.EPIPE,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ESTALE,
    getattr(errno, "EREMOTEIO", errno.EBUSY),
}
# By name: these classes belong to drivers that are loaded only when their protocol is used.
_TRANSIENT_CLASSES = {
    "ConnectionError",  # botocore's own, besides Python's
    "HTTPClientError",  # botocore
    "ResponseParserError",  # botocore
    "IncompleteRead",
    "ClientConnectionError",  # aiohttp
    "ClientPayloadError",  # aiohttp
}
_CREDENTIAL_CLASSES = {"CredentialRetrievalError", "NoCredentialsError", "PartialCredentialsError"}
# 409: two conditional requests met in S3 (ConditionalRequestConflict), which asks for a new try.
_TRANSIENT_STATUS = {408, 409, 429, 500, 502, 503, 504}

# Not the global generator: retries must not shift seeded draws.
_jitter = random.Random()  # noqa: S311  spreads retries, guards nothing


def tried(action: str, uri: str, work: Callable[[], T]) -> T:
    """The value of `work()`, which is called again while its failure may pass.

    `work` has to be safe to repeat. `action` completes “Could not …”, such as "read".

    Raises:
        ObjectMissing: there is nothing under `uri`.
        StorageUnavailable: the last of `TRIES` tries still failed in a way that may pass.
        UnsafeStore: the store does not know the request that exclusive creation needs.
        StorageError: any other failure.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except KinecolorError:
            raise
        except Exception as error:
            failure = _translated(action, uri, error)
            if attempt == TRIES or not isinstance(failure, StorageUnavailable):
                raise failure from error
            time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1) * _jitter.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


class RetriedFile(io.RawIOBase):
    """A remote file whose reads are tried again and fail in our own words."""

    def __init__(self, uri: str, file: BinaryIO) -> None:
        self._uri = uri
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        start = self._file.tell()

        def fetch() -> bytes:
            self._file.seek(start)
            return self._file.read(len(view))

        data = tried("read", self._uri, fetch)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def http_status(error: BaseException) -> int | None:
    """The HTTP status behind a driver's exception, where there is one."""
    for layer in (error, error.__cause__):
        response = getattr(layer, "response", None)  # botocore
        if isinstance(response, dict):
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        status = getattr(layer, "status", None)  # aiohttp
        if isinstance(status, int):
            return status
    return None


def _translated(action: str, uri: str, error: Exception) -> StorageError:
    where = redact(uri)
    what = f"Could not {action} {where}"
    names = {each.__name__ for each in type(error).__mro__}
    status = http_status(error)
    code = error.errno if isinstance(error, OSError) else None
    if (isinstance(error, FileNotFoundError) or status == 404) and action == "write":
        if "://" in uri:
            return StorageError(f"{what}: its bucket does not exist.", "Create the bucket first.")
        return StorageError(f"{what}: {error}.", "Run again: work done is kept.")
    if isinstance(error, FileNotFoundError) or status == 404:
        return ObjectMissing(f"There is nothing at {where}.", "Check the path or URL.")
    if isinstance(error, ImportError):
        return StorageError(f"{what}: {error}.", "Install the named package and try again.")
    if names & _CREDENTIAL_CLASSES:
        return StorageError(
            f"{what}: no credentials for the store were found.",
            "Set them where the store's own tools look (for S3: AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or a profile).",
        )
    if isinstance(error, PermissionError) or status in {401, 403}:
        return StorageError(
            f"{what}: permission denied.",
            "Check the rights of the folder, or the store's credentials and policy.",
        )
    if status == 501:
        return UnsafeStore(
            f"{what}: the store does not know conditional writes.",
            "Use a store with If-None-Match (AWS S3, Ceph, MinIO, Google Cloud, Azure) or a disk.",
        )
    if code in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(f"{what}: no space is left.", "Free some space and run again.")
    if code == errno.EROFS:
        return StorageError(f"{what}: it is mounted read-only.", "Choose another folder.")
    reason = " ".join(redact(str(error)).split()) or type(error).__name__
    if (
        status in _TRANSIENT_STATUS
        or code in _TRANSIENT_ERRNO
        or isinstance(error, (ConnectionError, TimeoutError))
        or names & _TRANSIENT_CLASSES
    ):
        return StorageUnavailable(
            f"{what}: the store did not answer properly, {TRIES} times ({reason}).",
            "Check the network and the store's address, then run again: work done is kept.",
        )
    return StorageError(f"{what}: {reason}.", "Check the path or URL.")
