"""How long `kinecolor status` takes on an archive of a thousand films and seven million segments.

``python -m tests.benchmarks.archive_status [--films N] [--segments N] [--folder DIR]``. It makes
the films' manifests, as runs leave them, and the roll-up, as an archive's run leaves it. Then it
starts the command as people do, beside `kinecolor --help` (what starting any command costs), and
reads some of the films one by one, which the roll-up spares.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from colorize_core.archive.rollup import ArchiveRow, RollUp, with_figures
from colorize_core.local import colorize_film
from colorize_core.manifest.commit import encode
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, Row, SegmentRow, ShotRow
from colorize_core.manifest.seal import OPEN_SEAL, seal
from colorize_core.paths import ArchivePaths, FilmPaths, film_id, film_ids
from colorize_core.status import film_status
from tests.film import film_request, quiet

VERSIONS = 50  # of each film's table of segments: the commits of its night
SEGMENTS_IN_SHOT = 7
FRAMES = 24  # of a segment
ONE_BY_ONE = 20
REPEATS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--segments", type=int, default=7000, help="of each film")
    parser.add_argument("--folder", type=Path, help="kept; made where it is not there")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        work = chosen.folder or Path(scratch) / "work"
        if not work.exists():
            _make(work, chosen.films, chosen.segments)
        _measure(work)


def _make(work: Path, films: int, segments: int) -> None:
    """A work root with copies of one small film, each under its own id with its own manifest."""
    with tempfile.TemporaryDirectory() as folder:
        request = film_request(Path(folder))
        colorize_film(request, quiet)
        (known,) = film_ids(request.work)
        model = FilmPaths(request.work, known)
        record = Path(model.film_json).read_bytes()
        tables = [
            _table(FilmRow, latest(model, FilmRow).rows),
            _table(ShotRow, _shots(latest(model, ShotRow).rows[0], segments)),
            _table(SegmentRow, _segments(latest(model, SegmentRow).rows[0], segments)),
        ]
    rollup = RollUp(ArchivePaths(str(work)))
    for number in range(films):
        paths = FilmPaths(str(work), film_id(hashlib.sha256(str(number).encode()).hexdigest()))
        Path(paths.manifest_dir).mkdir(parents=True)
        Path(paths.film_json).write_bytes(record)
        for row, data in tables:
            _store(paths, row, data)
        name = f"reel {number:04d}"
        row = ArchiveRow(name=name, source=f"s3://reels/{name}.mkv", film=paths.film, state="x")
        if number == 0:
            first = with_figures(row, str(work), paths.film)
        rollup.update([first.changed(**row.model_dump(include={"name", "source", "film"}))])
    rollup.flush()


def _table(row: type[Row], rows: Sequence[Row]) -> tuple[type[Row], bytes]:
    data = encode(row, rows, "any", "0" * 32, "a benchmark")
    at = data.rindex(OPEN_SEAL[:-64]) + len(OPEN_SEAL) - 64
    return row, data[:at] + OPEN_SEAL[-64:] + data[at + 64 :]


def _store(paths: FilmPaths, row: type[Row], data: bytes) -> None:
    """The table as the film's last version; older ones are there by name."""
    last = VERSIONS if row is SegmentRow else 1
    file = Path(paths.manifest(row.table, last))
    file.write_bytes(seal(data, paths.sealed_name(row.table, last)))
    for version in range(1, last):
        os.link(file, paths.manifest(row.table, version))


def _shots(shot: ShotRow, segments: int) -> list[ShotRow]:
    length = SEGMENTS_IN_SHOT * FRAMES
    return [
        ShotRow.model_validate(
            shot.model_dump()
            | {"shot": each + 1, "start": each * length, "end": (each + 1) * length}
            | {"frames": length}
        )
        for each in range(segments // SEGMENTS_IN_SHOT)
    ]


def _segments(segment: SegmentRow, segments: int) -> list[SegmentRow]:
    return [
        SegmentRow.model_validate(
            segment.model_dump()
            | {"shot": each // SEGMENTS_IN_SHOT + 1, "segment": each % SEGMENTS_IN_SHOT + 1}
            | {"start": each * FRAMES, "end": (each + 1) * FRAMES, "frames": FRAMES}
            | {"digest": hashlib.sha256(str(each).encode()).hexdigest()}
        )
        for each in range(segments)
    ]


def _measure(work: Path) -> None:
    films = film_ids(str(work))
    began = time.perf_counter()
    read = [film_status(FilmPaths(str(work), each)) for each in films[:ONE_BY_ONE]]
    one_by_one_s = (time.perf_counter() - began) / len(read) * len(films)
    print(f"{len(films):,} films, {sum(read[0].segments.values()) * len(films):,} segments")
    for command in (["--help"], ["status", str(work)]):
        seconds = [_seconds(lambda command=command: _run(command)) for _ in range(REPEATS)]
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        print(f"{'kinecolor ' + command[0]:<20}{middle:8.2f} s ({low:.2f} to {high:.2f})")
    print(f"{'without the roll-up':<20}{one_by_one_s:8.2f} s ({len(read)} films were read so)")
    print(_run(["status", str(work)]))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _run(command: Sequence[str]) -> str:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *command], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()
