"""What a store's failure means: which may pass and are tried again, and the words for the others.

Drivers raise whatever their protocol's library raises; it reaches a person only as part of a
message of ours, without secrets.

How long a call takes that fails at last, with the limits of storage_options.py: about 15 s where
the store refuses at once; half a minute (2 requests × 15 s) where it takes a request and says
nothing, since then `PATIENCE_S` are over after the first try.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from colorize_core.errors import (
    KinecolorError,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
    UnsafeStore,
)
from colorize_core.redact import redact

T = TypeVar("T")

# Pauses of 1, 2, 4 and 8 s, give or take a half: a store may be away for about 15 s, and many
# workers that lost it together do not come back together.
TRIES = 5
FIRST_PAUSE_S = 1.0
PATIENCE_S = 20.0  # after which there is no further try: a store that hangs must not hang a run

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
# Answers of S3 to a request that went wrong on its way, or whose first answer was lost.
_TRANSIENT_CODES = {
    "BadDigest",
    "IncompleteBody",
    "InvalidPart",
    "NoSuchUpload",
    "RequestTimeout",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_SETTINGS_CLASSES = {"BotoCoreError", "TypeError"}  # a file system was given a wrong option
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
        StorageUnavailable: the last of `TRIES` tries, or the first to end after `PATIENCE_S`,
            still failed in a way that may pass.
        UnsafeStore: the store does not know the request that exclusive creation needs.
        StorageError: any other failure.
    """
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except KinecolorError:
            raise
        except Exception as error:
            failure = _translated(action, uri, error)
            last = attempt == TRIES or time.monotonic() - began > PATIENCE_S
            if last or not isinstance(failure, StorageUnavailable):
                # Loggers print causes, and a library's words may hold a signed URL.
                raise failure from None
            time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1) * _jitter.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


def http_status(error: BaseException) -> int | None:
    """The HTTP status behind a driver's exception, where there is one."""
    for layer in _layers(error):
        status = _response(layer).get("ResponseMetadata", {}).get("HTTPStatusCode")
        status = status or getattr(layer, "status", None)  # aiohttp
        if isinstance(status, int):
            return status
    return None


def _layers(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _response(error: BaseException) -> Mapping[str, Any]:
    """What S3 answered; empty where `error` is not botocore's."""
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}


def _code(error: BaseException) -> str:
    """S3's word for the failure, such as "NoSuchBucket"; empty where there is none."""
    codes = (_response(each).get("Error", {}).get("Code") for each in _layers(error))
    return next((code for code in codes if code), "")


def is_missing(error: Exception) -> bool:
    """Whether a driver's FileNotFoundError says that there is nothing: fsspec's HTTP raises it
    whatever went wrong."""
    return http_status(error) in {None, 404, 410} and not _may_pass(error)


def _translated(action: str, uri: str, error: Exception) -> StorageError:
    what = f"Could not {action} {redact(uri)}"
    reason = _reason(error)
    if _may_pass(error):
        return StorageUnavailable(
            f"{what}: the store did not answer properly ({reason}).",
            "Check the network and the store's address, then run again: work done is kept.",
        )
    if refusal := _refused(what, reason, error):
        return refusal
    if isinstance(error, FileNotFoundError) or http_status(error) == 404:
        return _missing(action, uri, what, reason)
    return StorageError(f"{what}: {reason}.", "Check the path or URL.")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _may_pass(error: Exception) -> bool:
    return (
        http_status(error) in _TRANSIENT_STATUS
        or _code(error) in _TRANSIENT_CODES
        or any(_is_transient(layer) for layer in _layers(error))
    )


def _is_transient(error: BaseException) -> bool:
    return (
        isinstance(error, (ConnectionError, TimeoutError))
        or (isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO)
        or not _TRANSIENT_CLASSES.isdisjoint(_class_names(error))
    )


def _missing(action: str, uri: str, what: str, reason: str) -> StorageError:
    if action != "write":
        return ObjectMissing(f"There is nothing at {redact(uri)}.", "Check the path or URL.")
    if "://" in uri:
        return StorageError(f"{what}: its bucket does not exist.", "Create the bucket first.")
    return StorageError(f"{what}: {reason}.", "Run again: work done is kept.")


def _refused(what: str, reason: str, error: Exception) -> StorageError | None:
    """A refusal that has words of its own; None for any other failure."""
    status = http_status(error)
    number = error.errno if isinstance(error, OSError) else None
    names = _class_names(error)
    if isinstance(error, ImportError):
        return StorageError(f"{what}: {reason}.", "Install the named package and try again.")
    if names & _CREDENTIAL_CLASSES:
        return StorageError(
            f"{what}: no credentials for the store were found.",
            "Set them where the store's own tools look (for S3: AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or a profile), or as KINECOLOR_STORAGE__….",
        )
    if isinstance(error, PermissionError) or status in {401, 403}:
        code = f" ({_code(error)})" if _code(error) else ""
        return StorageError(
            f"{what}: permission denied{code}.",
            "Check the rights of the folder, or the store's credentials and policy.",
        )
    if status == 412:
        return StorageError(
            f"{what}: it was replaced meanwhile.", "Let nobody write to it, then run again."
        )
    if status == 501:
        return UnsafeStore(
            f"{what}: the store does not know conditional writes.",
            "Use a store with If-None-Match (AWS S3, Ceph, MinIO, Google Cloud, Azure) or a disk.",
        )
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(f"{what}: no space is left.", "Free some space and run again.")
    if number == errno.EROFS:
        return StorageError(f"{what}: it is mounted read-only.", "Choose another folder.")
    if names & _SETTINGS_CLASSES:
        return StorageError(
            f"{what}: {reason}.",
            "Check how the store is set up: KINECOLOR_STORAGE__…, and the variables and files of "
            "its own tools.",
        )
    return None


def _class_names(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}
