"""The command; see the package."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.servers import own_ray, prefect_server

WARM_UP = 4  # films
BETWEEN_RESTS = 12  # films
KILL_EVERY_S = 5.0
# Of open files that come and go. A third of 20 minutes has more than 100 runs.
HANDLES_SLACK = 12


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for."""

    films: int
    minutes: float
    seed: int
    workers: int
    kills: float
    json: Path | None


def main(arguments: Sequence[str]) -> int:
    """Run the soak, print its report. Returns the exit code."""
    settings = _parsed(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:  # short: sockets lie in it
        report = _soak(settings, Path(folder))
    if settings.json:
        settings.json.write_text(json.dumps(report, indent=2))
    for key, value in report.items():
        print(f"{key:>24}  {json.dumps(value)}")
    return 0 if report["ok"] else 1


def _soak(settings: Settings, folder: Path) -> dict[str, Any]:
    temporary = folder / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)  # of all that is started from here on
    tempfile.tempdir = None
    from tests.benchmarks.soak.films import make_films
    from tests.benchmarks.soak.leaks import rest
    from tests.benchmarks.soak.night import AT_ONCE, Night

    films = make_films(folder / "films", settings.films, settings.seed)
    draw = random.Random(settings.seed)
    with (
        _ray(folder / "ray", settings.workers * AT_ONCE) as address,
        prefect_server(folder / "prefect") as server,
    ):
        night = Night(address, server.url, settings.workers, temporary, draw)
        began = time.monotonic()
        night_ends = began + settings.minutes * 60
        rests = [rest(server.pid)]
        for number, batch in enumerate(_batches(films, draw)):
            with night.killing(KILL_EVERY_S, settings.kills):
                deadline = night_ends if number else math.inf
                night.make(batch, folder / "runs" / str(number), deadline)
            rests.append(rest(server.pid))
            _say(time.monotonic() - began, night.found)
            shutil.rmtree(folder / "runs" / str(number), ignore_errors=True)
            if time.monotonic() >= night_ends:
                break
        return _report(settings, night.found, rests, temporary, time.monotonic() - began)


def _say(seconds: float, found: Any) -> None:
    print(
        f"{seconds:.0f} s: {found.published} films, {found.runs} runs, "
        f"{sum(found.kills.values())} kills",
        file=sys.stderr,
        flush=True,
    )


def _batches(films: Sequence[Any], draw: random.Random) -> Iterator[Sequence[Any]]:
    """A few films to warm up, then all of them again and again, in ever another order."""
    yield films[:WARM_UP]
    while True:
        order = draw.sample(films, len(films))
        for start in range(0, len(order), BETWEEN_RESTS):
            yield order[start : start + BETWEEN_RESTS]


def _report(
    settings: Settings, found: Any, rests: Sequence[Any], temporary: Path, seconds: float
) -> dict[str, Any]:
    from tests.benchmarks.soak.leaks import grown

    cold, last = rests[0], rests[-1]
    handles = grown(rests)
    leaked = [
        *found.leaked,
        *([f"{last.workers} workers"] if last.workers else []),
        *(f"{count} handles of {name}" for name, count in handles.items() if count > HANDLES_SLACK),
        *(f"shared memory {name}" for name in sorted(last.shared - cold.shared)),
        *([f"{last.object_store_bytes} bytes of objects"] if last.object_store_bytes else []),
        *(f"file {each}" for each in sorted(temporary.glob("*.lock"))),
    ]
    wrong = [*found.wrong, *found.unexplained, *leaked]
    return {
        "films": settings.films,
        "seconds": round(seconds),
        "published": found.published,
        "runs": found.runs,
        "kills": dict(found.kills),
        "segments computed": found.computed,
        "cut off by a kill": found.cut_off,
        "again after a kill": found.again_after_kill,
        "repeated": found.repeated,
        "wrong films": found.wrong,
        "unexplained ends": found.unexplained,
        "leaked": leaked,
        "handles grown": handles,
        "handles by rest": [dict(each.handles) for each in rests],
        "left by killed processes": sorted(each.name for each in temporary.iterdir()),
        "ok": not wrong and not found.repeated,
    }


@contextmanager
def _ray(folder: Path, cpus: int) -> Iterator[str]:
    """A Ray of this machine, of this process; gives its address."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = str(ROOT)  # so that workers find their class
    with own_ray(cpus, folder=folder) as address:
        yield address


def _parsed(arguments: Sequence[str]) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak")
    parser.add_argument("--films", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="of each driver")
    parser.add_argument("--kills", type=int, default=math.inf, help="at most (default: no limit)")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    return Settings(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
