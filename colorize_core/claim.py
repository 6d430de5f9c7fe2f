"""Which run works on a film, or on an archive: of two at once the first goes on, and the other is
told. Below, a film stands for both.

A claim is an object with a number, created by one run only. The highest number is the film's claim,
and no number is used twice, so a run that lost the film finds out by a number above its own. Only
the run that created a claim writes it again: now and then, to show that it lives, and once more
when it ends. Claims stay, as the film's list of runs.

Whether a run that never ended is dead is asked in two ways. It holds a lock on a file of its
machine, which the system opens when the process ends, however it ends: where that file can be seen,
the answer is exact and at once. Elsewhere its claim is watched, and has expired once it did not
change for `LEASE_S` of the watcher's time. Clocks of two machines are never compared.

A run that lives can still lose its claim: when its store or its machine was away for longer. The
fence for that is the commit of the manifest, where only one of two goes on.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from colorize_core import storage
from colorize_core.errors import CommitLost, FilmClaimed, StorageError, StorageFull
from colorize_core.paths import Claims
from colorize_core.work import Progress

LEASE_S = 60.0
_BEATS = 6  # in a lease: a store may be away for most of it
_LOOKS = 30  # in a lease
_LAST_BEAT_S = 5.0  # how long the end of a run waits for a beat that is on its way

_REMEDY = "Wait for it to end, or stop it; then run the same command again: finished work is kept."


class _Record(BaseModel):
    """`claim-<number>.json`. `since` is for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    token: str = Field(pattern="^[0-9a-f]{32}$")
    holder: str
    since: AwareDatetime
    beat: int = 0
    released: bool = False

    def encoded(self) -> bytes:
        return self.model_dump_json(indent=2).encode()

    @property
    def lock(self) -> Path:
        """The file that the holder keeps locked, on its own machine."""
        return Path(tempfile.gettempdir()) / f"kinecolor-{self.token}.lock"


@dataclass(frozen=True, slots=True)
class _Found:
    """The film's claim as it was read. `number` 0: there was never one. `record` None: it is not
    readable, and counts as one of another machine."""

    number: int = 0
    data: bytes = b""
    record: _Record | None = None

    @property
    def is_free(self) -> bool:
        return self.number == 0 or (self.record is not None and self.record.released)

    @property
    def holder(self) -> str:
        """Who holds the film, since when: for people."""
        if self.record is None:
            return "one whose claim cannot be read"
        return f"{self.record.holder}, since {self.record.since:%Y-%m-%d %H:%M %Z}"


class Claim:
    """A film that this run holds. A thread renews it until its `hold` is left."""

    def __init__(self, paths: Claims, number: int, record: _Record, beat_s: float) -> None:
        self._paths = paths
        self._number = number
        self._record = record
        self._lost = False
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(beat_s,), name=f"claim on {paths.what}", daemon=True
        )
        self._thread.start()

    def check(self) -> None:
        """Makes sure that the film is still this run's. Asks the store.

        Raises:
            CommitLost: another run has taken the film over.
            StorageUnavailable, StorageError.
        """
        if self._is_lost():
            raise CommitLost(
                f"Another run has taken {self._paths.what} over ({_latest(self._paths).holder}).",
                _REMEDY,
            )

    def _is_lost(self) -> bool:
        self._lost = self._lost or max(self._paths.claims(), default=0) > self._number
        return self._lost

    def _beat(self, every_s: float) -> None:
        while not self._ending.wait(every_s):
            # The store may be away for a while: the next beat is the next try.
            with suppress(StorageError):
                if self._is_lost():
                    return
                self._record = self._record.model_copy(update={"beat": self._record.beat + 1})
                self._rewrite(self._record)

    def _release(self) -> bool:
        """Gives the film free. False: the store did not let it; the claim has to expire."""
        self._ending.set()
        self._thread.join(_LAST_BEAT_S)
        if self._thread.is_alive():  # the store hangs, and a late beat would undo the release
            return False
        try:
            self._rewrite(self._record.model_copy(update={"released": True}))
        except StorageError:  # must not hide the error that may be ending the run
            return False
        return True

    def _rewrite(self, record: _Record) -> None:
        storage.replace_atomically(self._paths.claim(self._number), record.encoded())


@contextmanager
def hold(paths: Claims, progress: Progress, lease_s: float = LEASE_S) -> Iterator[Claim]:
    """Holds the film for as long as the block lasts, however it ends.

    A film whose last run died on this machine is taken over at once. Where it died on another one,
    or cannot be told, its claim is watched for `lease_s` seconds; `progress("claim", done, total)`
    counts them. All runs on a work root need the same `lease_s`.

    Raises:
        FilmClaimed: another run, of this process or any other, is working on the film.
        StorageUnavailable, StorageError.
    """
    before = _when_free(paths, lease_s, progress)
    record = _Record(
        token=uuid.uuid4().hex,
        holder=f"process {os.getpid()} on {socket.gethostname()}",
        since=datetime.now(UTC),
    )
    with _locked(record.lock):
        try:
            created = _create(paths.claim(before.number + 1), record)
        except StorageFull:
            record.lock.unlink()
            raise
        if not created:
            record.lock.unlink()
            raise _claimed(paths, _latest(paths))
        _tidy(before)
        claim = Claim(paths, before.number + 1, record, lease_s / _BEATS)
        try:
            yield claim
        finally:
            if claim._release():
                record.lock.unlink(missing_ok=True)


def _when_free(paths: Claims, lease_s: float, progress: Progress) -> _Found:
    """The film's last claim, once nobody alive holds it."""
    found = _latest(paths)
    if found.is_free:
        return found
    lives = _lives_here(found.record.lock) if found.record else None
    if lives:
        raise _claimed(paths, found)
    return _when_expired(paths, found, lease_s, progress) if lives is None else found


def _when_expired(paths: Claims, found: _Found, lease_s: float, progress: Progress) -> _Found:
    """The film's last claim, once it is released, or `found` has not changed for `lease_s`."""
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began  # before the look, which has to see all of this time
        now = _latest(paths)
        if now.is_free:
            return now
        if now != found:
            raise _claimed(paths, now)
        progress("claim", min(int(waited), int(lease_s)), int(lease_s))
        if waited >= lease_s:
            return found
        time.sleep(lease_s / _LOOKS)


def _latest(paths: Claims) -> _Found:
    number = max(paths.claims(), default=0)
    if number == 0:
        return _Found()
    data = storage.read(paths.claim(number))
    try:
        return _Found(number, data, _Record.model_validate_json(data))
    except ValidationError:
        return _Found(number, data)


def _create(uri: str, record: _Record) -> bool:
    """Creates a claim. False: another run created it first."""
    data = record.encoded()
    # The second half: ours, although the network lost the answer to a PUT that had worked.
    return storage.put_if_absent(uri, data) or storage.read(uri) == data


def _claimed(paths: Claims, found: _Found) -> FilmClaimed:
    return FilmClaimed(f"Another run is working on {paths.what} ({found.holder}).", _REMEDY)


# -- the lock on this machine ----------------------------------------------------------------


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A new file that is locked until the block, or this process, ends. It stays: while it does,
    this machine can tell that its claim is a dead one."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except OSError as error:
        raise _no_lock(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            path.unlink()
            raise _no_lock(path, error) from error
        yield
    finally:
        os.close(descriptor)


def _no_lock(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"No file can be locked in {path.parent}: {error.strerror}.",
        "Set TMPDIR to a folder on a local disk that can be written.",
    )


def _lives_here(lock: Path) -> bool | None:
    """Whether the process that made the lock is alive. None: this machine cannot tell."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return None
    try:
        # Shared, so that of two that ask at once neither takes the other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _tidy(before: _Found) -> None:
    """Removes what a dead run left on this machine."""
    if before.record is not None:
        with suppress(OSError):  # another user's
            before.record.lock.unlink(missing_ok=True)
