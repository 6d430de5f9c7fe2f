"""The one exception tree. Each class says who may try again, whether the others of a film can go
on, and how the program ends.

Every error is two lines for a person: ``what`` happened, and ``remedy``, what to do about it. They
go to logs, manifests and servers, so secrets in URLs are taken out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from colorize_core.redact import redact

if TYPE_CHECKING:
    from colorize_core.work import LogLine


class Retry(Enum):
    """Who may try the same work again (design: one owner for each kind of failure)."""

    NEVER = "never"  # the input or the request has to change first
    CALL = "call"  # the storage call itself, with back-off; then the stage, once more
    ITEM = "item"  # the pool: the same item on a fresh worker, within its budget
    STAGE = "stage"  # the stage: once more; then the item is given up


class KinecolorError(Exception):
    """Base of every error that kinecolor raises on purpose.

    Attributes:
        ends_run: the other work of the film would fail, too, so that the run ends at once.
        attempts: tries that the work had when it was given up.
        log: what was logged in the worker that raised it.
    """

    retry: ClassVar[Retry] = Retry.NEVER
    ends_run: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    attempts: int = 1
    log: tuple[LogLine, ...] = ()

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = redact(what)
        self.remedy = redact(remedy)
        super().__init__(self.what, self.remedy)

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


# -- what a person gave us -------------------------------------------------------------------


class InputError(KinecolorError):
    """Something that the caller gave is wrong: nothing was made, exit code 1."""


class SettingError(InputError):
    """A setting or command line option has no such name or value."""

    ends_run = True


class ShotListError(InputError):
    """A line of a shot list is wrong (the message names the line)."""


class ReferenceUnusable(InputError):
    """A colour still is missing, is no picture, or points outside the film."""


class WeightsMissing(InputError):
    """Weights or a library that a part needs are not on the machine that does the work."""

    ends_run = True


class LicenceNotAccepted(InputError):
    """Weights whose licence limits their use, and nobody has accepted it."""

    ends_run = True


class DeviceMissing(InputError):
    """A part needs a GPU, or more memory, that is not there."""

    ends_run = True


class SourceError(InputError):
    """The source cannot be colorized as it is."""


class SourceUnreadable(SourceError):
    """There is nothing readable under this path or URL."""


class NotAVideo(SourceError):
    """The bytes are not a media file that FFmpeg knows."""


class NoVideoStream(SourceError):
    """A media file without moving pictures (sound only, cover art only)."""


class EmptyVideo(SourceError):
    """A video stream without one decodable frame."""


class InterlacedSource(SourceError):
    """Fields, not frames: colorizing them as frames would damage the film."""


class UnsupportedSource(SourceError):
    """A pixel format or a stream layout without a Y' plane that can be kept."""


class DamagedSource(SourceError):
    """The source stops decoding before its end."""

    def __init__(self, what: str, remedy: str, frame: int) -> None:
        super().__init__(what, remedy)
        self.frame = frame

    def __reduce__(self) -> tuple[type, tuple[str, str, int], dict[str, Any]]:
        return type(self), (self.what, self.remedy, self.frame), self.__dict__


class SourceChanged(SourceError):
    """The source is no longer the file that was scanned."""

    ends_run = True


# -- storage ---------------------------------------------------------------------------------


class StorageError(KinecolorError):
    """A store refused or failed."""

    ends_run = True


class StorageUnavailable(StorageError):
    """A call that may pass later (timeout, 5xx, lost connection) failed after its tries."""

    retry = Retry.CALL
    ends_run = False


class UnsafeStore(StorageError):
    """A store without exclusive creation or whole objects: two runs could destroy each other."""


class ObjectMissing(StorageError):
    """An object that the manifest names is not there."""

    retry = Retry.STAGE
    ends_run = False


class ObjectDamaged(StorageError):
    """An object is there and is not what was written (size, digest or structure)."""

    retry = Retry.STAGE
    ends_run = False


class StorageFull(StorageError):
    """No space is left where something has to be written."""


class FilmClaimed(StorageError):
    """Another run, which is alive, is working on this film."""


class CommitLost(StorageError):
    """Another run has taken this film over: it committed the next manifest version first."""


class ManifestUnreadable(StorageError):
    """A manifest version was written by a newer kinecolor."""


# -- work ------------------------------------------------------------------------------------


class WorkError(KinecolorError):
    """A piece of work failed; the others go on."""

    exit_code = 2


class EngineFailed(WorkError):
    """An engine part raised or broke its contract."""

    retry = Retry.STAGE


class ReferenceRejected(WorkError):
    """No attempt at a shot's still kept the frame's structure and had colour."""


class FramesLost(WorkError):
    """Frames produced are not the frames planned."""

    retry = Retry.STAGE


class OutOfMemory(WorkError):
    """The work needed more memory than its worker has."""

    retry = Retry.ITEM


class WorkerLost(WorkError):
    """The process or node that did the work died, more often than its budget allows."""

    retry = Retry.ITEM


class ClusterUnavailable(KinecolorError):
    """The Ray cluster or Prefect server that was asked for is not there."""

    ends_run = True


class Unfinished(WorkError):
    """Segments are missing, so the film was not published. `summary`: the run's, as JSON values."""

    ends_run = True
    summary: Mapping[str, object] | None = None


class Held(Unfinished):
    """Every frame is made, and a person has to look before the film is published."""


class VerificationFailed(KinecolorError):
    """A finished file is not what it has to be."""


def as_text(error: BaseException) -> str:
    """One line for a manifest: the class and what happened, at most 500 characters."""
    what = error.what if isinstance(error, KinecolorError) else redact(str(error))
    return f"{type(error).__name__}: {' '.join(what.split())}"[:500]
