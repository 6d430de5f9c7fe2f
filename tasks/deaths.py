"""A worker's death, and what it is called in the end."""

from __future__ import annotations

from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    WorkerCrashedError,
)

from colorize_core.errors import ClusterUnavailable, KinecolorError, OutOfMemory, WorkerLost
from tasks.jobs import Job

# They share no parent: a worker's death comes as any of them.
DEATHS = (
    RayActorError,
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    WorkerCrashedError,
    OutOfMemoryError,
    OwnerDiedError,
)


def no_memory(death: Exception) -> bool:
    """Whether memory ran out: the worker said so, or Ray ended it."""
    return isinstance(death, (OutOfMemory, OutOfMemoryError))


def lost(job: Job, death: Exception) -> KinecolorError:
    """What the last of a job's deaths is called."""
    named: KinecolorError
    if isinstance(death, OutOfMemory):
        named = death
    elif isinstance(death, OutOfMemoryError):
        named = OutOfMemory(
            f"The node ran out of memory on {job.item}: {first_line(death)}",
            "Use a larger machine or fewer workers (--workers).",
        )
    else:
        named = WorkerLost(
            f"The worker died {job.deaths} times on {job.item}: {first_line(death)}",
            "Look at the node's memory and logs.",
        )
    named.attempts = job.deaths
    return named


def first_line(error: Exception) -> str:
    """What it says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def gave_up(why: str) -> ClusterUnavailable:
    """The end of a pool whose workers all died."""
    return ClusterUnavailable(
        f"Workers keep dying, so the run ended: {why}",
        "Look at the cluster's memory and logs, then run the same command again: finished "
        "work is kept.",
    )
