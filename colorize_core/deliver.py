"""The end of a film: join, verify, publish under the final name in one step, and report."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from colorize_core import storage
from colorize_core.errors import Held, StorageError, Unfinished, VerificationFailed, as_text
from colorize_core.frame_list import Colour, list_name
from colorize_core.manifest.schema import FAILED, FilmRow, FilmStatus, SegmentRow
from colorize_core.media.encode import encode_access_copy
from colorize_core.media.join import Chunk, join_master
from colorize_core.media.master import master_format
from colorize_core.media.probe import Scan
from colorize_core.names import master_name
from colorize_core.quality.flags import flagged_shots, held_shots
from colorize_core.report.film import write_report
from colorize_core.request import MASTER_SUFFIX
from colorize_core.room import room_for
from colorize_core.run import FilmRun, retry_command
from colorize_core.same_source import unchanged
from colorize_core.scope import failed_rows
from colorize_core.summary import RunSummary
from colorize_core.verify import Verification, verify_film

_NAMED = 10  # of what failed, in a message: the manifest has them all


def deliver(run: FilmRun) -> RunSummary:
    """Publish the run's film, or say why not. The report and the manifest are written either way.

    Raises:
        Unfinished: segments failed; nothing is published.
        Held: all is made, and a person has to look first; nothing is published.
        SourceChanged: the source is not what was scanned; nothing is published.
        VerificationFailed: the joined film is not what it has to be; nothing is published.
    """
    run.claim.check()
    storage.sweep(run.film.paths.folder)  # no worker is writing there any more
    try:
        run.check_finished()
    except Unfinished as unfinished:
        held = isinstance(unfinished, Held)
        error = as_text(unfinished) if held else None
        summary = _close(run, "held" if held else "unfinished", 0, False, error)
        unfinished.summary = summary.model_dump(mode="json")
        raise
    _say_not_watched(run)
    frames_out, luma_exact = _published(run) or _publish(run)
    return _close(run, "published", frames_out, luma_exact)


@contextmanager
def recorded(run: FilmRun) -> Iterator[None]:
    """Whatever ends the run in this block, its workers are stopped and the manifest says so."""
    try:
        yield
    except Unfinished:  # `deliver` has
        raise
    except BaseException as error:
        run.pool.close()
        failed = isinstance(error, Exception) and not isinstance(error, CancelledError)
        # The store itself may be what failed, or the film another run's by now.
        with suppress(StorageError):
            _record(run, "failed" if failed else "stopped", 0, False, error=as_text(error))
        raise


def _published(run: FilmRun) -> tuple[int, bool] | None:
    """What an earlier run published, where it is still there and would come out the same."""
    before, output = run.previous, run.request.output
    if before is None or before.status != "published" or before.made_from != _made_from(run):
        return None
    if before.output != storage.redact(output):
        return None
    for uri, digest in (
        (output, before.output_digest),
        (list_name(output), before.frame_list_digest),
    ):
        if not storage.exists(uri):
            run.warnings.append(f"{storage.redact(uri)} was missing and is made again.")
            return None
        if storage.sha256(uri) != digest:
            run.warnings.append(f"{storage.redact(uri)} was not as published and is made again.")
            return None
    run.output_digest, run.frame_list_digest = before.output_digest, before.frame_list_digest
    return before.frames_out or 0, bool(before.luma_exact)


def _publish(run: FilmRun) -> tuple[int, bool]:
    """Make the film and its frame list; both appear whole. Returns frames out and luma exact."""
    film, output = run.film, run.request.output
    chunks = [Chunk(item.output, item.span) for work in run.shots for item in work.chunks]
    form = master_format(film.info, run.request.config.merge)
    with _beside(output) as folder:
        made, frame_list = folder / "master.mkv", folder / "frames.csv"
        with unchanged(film.info.uri, film.stamp), room_for(folder):
            run.warnings += join_master(
                chunks, film.info, film.timeline, form, made, run.stage("deliver")
            )
            checked = _verified(run, made, frame_list)
            if not output.lower().endswith(MASTER_SUFFIX):
                copy = folder / storage.name_of(output)
                run.warnings += encode_access_copy(
                    made, copy, film.info, film.timeline, form, run.stage("copy")
                )
                made = copy
        run.output_digest = storage.sha256(str(made))
        run.frame_list_digest = storage.sha256(str(frame_list))
        run.claim.check()
        storage.publish(frame_list, list_name(output))
        storage.publish(made, output)
    return checked.frames_out, checked.luma_exact and output.lower().endswith(MASTER_SUFFIX)


def _verified(run: FilmRun, master: Path, frame_list: Path) -> Verification:
    """The master against the source, frame by frame; writes the list of frames."""
    colours: list[Colour] = ["made"] * len(run.film.timeline)
    for row in run.ledger.segments():
        if row.grey:
            for frame in range(row.start, row.end):
                colours[frame] = "failed" if row.status in FAILED else "grey"
    found = verify_film(
        str(master),
        run.film.info.uri,
        scanned=Scan(run.film.info, run.film.timeline),
        write_list=frame_list,
        colour_of=colours.__getitem__,
        progress=run.stage("verify"),
    )
    if not found.ok:
        raise VerificationFailed(
            f"The joined film is not what it has to be: {' '.join(found.problems)}",
            "Nothing was published. Run the same command again; if it stays so, report it.",
        )
    return found


@contextmanager
def _beside(output: str) -> Iterator[Path]:
    """A folder for unfinished files: beside a local output, so that publishing is a rename."""
    path = storage.local_path(output)
    if path is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    folder = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made_from(run: FilmRun) -> str:
    return master_name(
        run.film.info.digest,
        [run.film.paths.relative(item.output) for work in run.shots for item in work.chunks],
    )


def _failed_grey(row: SegmentRow) -> bool:
    return row.grey and row.status in FAILED


def _record(
    run: FilmRun, status: FilmStatus, frames_out: int, luma_exact: bool, error: str | None = None
) -> None:
    row = run.ledger.film()
    assert row is not None  # noqa: S101  FilmRun began with it
    published = status == "published"
    failed = sum(each.end - each.start for each in run.ledger.segments() if _failed_grey(each))
    run.ledger.update_film(
        FilmRow.model_validate(
            row.model_dump()
            | {
                "status": status,
                "output": storage.redact(run.request.output) if published else None,
                "output_digest": run.output_digest if published else None,
                "made_from": _made_from(run) if published else None,
                "frame_list_digest": run.frame_list_digest if published else None,
                "frames_out": frames_out,
                "failed_frames": failed if published else 0,
                "failures_in_a_row": _failures(row, status, failed),
                "luma_exact": luma_exact if run.request.config.merge == "exact_luma" else None,
                "weights": tuple(sorted(run.weights)),
                "warnings": tuple(run.warnings),
                "error": error,
                "finished": datetime.now(UTC),
                "seconds": run.seconds,
            }
        )
    )
    run.ledger.flush()
    run.timings.save(run.request.work)


def _failures(row: FilmRow, status: FilmStatus, failed_frames: int) -> int:
    """`FilmRow.failures_in_a_row` after a run that began with `row`."""
    if status == "held" or (status == "published" and failed_frames == 0):
        return 0
    return row.failures_in_a_row + (status != "stopped")


def _say_not_watched(run: FilmRun) -> None:
    """That shots of an earlier kinecolor could not hold their film."""
    rows = [row for row in run.ledger.shots() if row.confidence is not None and row.score is None]
    if rows and run.request.config.quality.hold_below:
        run.warnings.append(
            f"{len(rows)} shots have no score, since an earlier kinecolor made them: they were not "
            "asked when it was decided to publish."
        )


def _close(
    run: FilmRun,
    status: Literal["published", "held", "unfinished"],
    frames_out: int,
    luma_exact: bool,
    error: str | None = None,
) -> RunSummary:
    output = run.request.output if status == "published" else None
    rows, shots = run.ledger.segments(), run.ledger.shots()
    settings = run.request.config.quality
    if status == "published" and (grey := [row.id for row in rows if _failed_grey(row)]):
        more = f" and {len(grey) - _NAMED} more" if len(grey) > _NAMED else ""
        run.warnings.append(
            f"Published with grey frames where segments failed: {', '.join(grey[:_NAMED])}{more}. "
            f"To try them again: {retry_command(run.request.work)}"
        )
    summary = RunSummary(
        status=status,
        output=output,
        work=run.request.work,
        film=run.film.paths.folder,
        report=run.film.paths.report_index,
        frames_list=list_name(output) if output else None,
        frames_in=run.film.info.frames,
        frames_out=frames_out,
        shots=len(run.shots),
        grey_shots=tuple(work.shot.number for work in run.shots if work.is_grey),
        segments={"done": 0, "failed": 0} | Counter(row.status for row in rows),
        recomputed_segments=run.recomputed,
        reused_segments=run.reused,
        failed_segments=tuple(row.id for row in failed_rows(rows)),
        flagged_shots=tuple(row.shot for row in flagged_shots(shots, settings)),
        held_shots=tuple(row.shot for row in held_shots(shots, settings)),
        seconds=run.seconds,
        luma_exact=luma_exact,
        warnings=tuple(run.warnings),
    )
    run.shown = write_report(run, summary)
    _record(run, status, frames_out, luma_exact, error)
    return summary
