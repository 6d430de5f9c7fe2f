"""What runs and kills leave behind: processes, open files, shared memory, claims, files."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import ray

SETTLE_S = 30.0  # until what has ended is gone
_WORKER = "ray::"  # how the processes of Ray's workers are named
_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")  # those that live as long as the node

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rest:
    """What is there while no driver runs. `handles`: open files by long-lived process. `shared`:
    entries in the folder of shared memory that no process outside this soak has open."""

    workers: int
    handles: Counter[str]
    shared: frozenset[str]
    object_store_bytes: int


def rest(server: int) -> Rest:
    """Look, once all is quiet. `server` is the Prefect server's process."""
    settled(workers_alive)
    settled(_object_store_bytes)
    return Rest(len(workers_alive()), _handles(server), _shared(), _object_store_bytes())


def settled(look: Callable[[], T]) -> T:
    """What `look` sees once that is nothing, or after `SETTLE_S`."""
    deadline = time.monotonic() + SETTLE_S
    while (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def workers_alive() -> list[psutil.Process]:
    """The processes of this soak's cluster that work, or did, for a driver."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            name = _called(process)
            if name.startswith(_WORKER) and name not in _AGENTS and "IDLE" not in name:
                found.append(process)
    return found


def listens(pid: int) -> bool:
    """Whether a process is there and handles SIGTERM by now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def session_members(leader: int) -> list[str]:
    """The processes of a session whose leader has ended, by number and name."""

    def look() -> list[str]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline()[:4])}")
        return found

    return settled(look)


def left_by_film(folder: Path) -> list[str]:
    """Temporary files, and a claim that was not given back, where a film was published."""
    files = [each for each in folder.rglob("*") if each.name.startswith(".") or _is_half(each)]
    claims = sorted(folder.glob("work/films/*/claims/claim-*.json"))
    kept = [each for each in claims[-1:] if not json.loads(each.read_text())["released"]]
    return [f"claim {each}" for each in kept] + [f"file {each}" for each in files]


def _is_half(file: Path) -> bool:
    return file.name.endswith((".unfinished", ".lock"))


def grown(rests: Sequence[Rest]) -> dict[str, int]:
    """How many more files each long-lived process has open, at least, in the last third of the
    rests than in the one before. Servers of Ray let go of what they hold in bursts, minutes after
    it was last needed: after a while only a leak lifts the floor."""
    third = len(rests) // 3
    before, after = rests[-2 * third : -third], rests[-third:]
    if not before:
        return {}
    names = before[0].handles.keys() & after[0].handles.keys()
    return {
        name: min(each.handles[name] for each in after) - min(each.handles[name] for each in before)
        for name in sorted(names)
    }


def _handles(server: int) -> Counter[str]:
    own = psutil.Process()
    handles = Counter({"the soak": own.num_fds()})
    for process in own.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            name = "Prefect server" if process.pid == server else _called(process)
            if "IDLE" not in name:
                handles[name] += process.num_fds()
    return handles


def _shared() -> frozenset[str]:
    folder = Path("/dev/shm")  # noqa: S108  where Linux keeps shared memory
    names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    family = {os.getpid(), *(each.pid for each in psutil.Process().children(recursive=True))}
    return frozenset(names - set(_opened_by_others(folder, family)))


def _opened_by_others(folder: Path, family: Iterable[int]) -> Iterable[str]:
    for process in psutil.process_iter():
        if process.pid not in family:
            with suppress(psutil.Error, OSError):
                maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
                files = [each.path for each in process.open_files()]
                paths = [*(line.split(maxsplit=5)[-1] for line in maps), *files]
                yield from (Path(each).name for each in paths if each.startswith(f"{folder}/"))


def _object_store_bytes() -> int:
    name = "object_store_memory"
    return round(ray.cluster_resources()[name] - ray.available_resources().get(name, 0))


def _called(process: psutil.Process) -> str:
    """What a process of Ray calls itself, or its program's or module's file."""
    line = process.cmdline()
    if line and line[0].startswith(_WORKER):
        return line[0]
    scripts = [Path(each).stem for each in line if each.endswith(".py")]
    return scripts[0] if scripts else process.name()
