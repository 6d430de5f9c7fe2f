"""One run over one film: what is there is used again, what is missing is made and recorded.

The order is the caller's (`local.colorize_film`, or the Prefect flow); the steps are here.
"""

from __future__ import annotations

import importlib.metadata
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from colorize_core import storage
from colorize_core.colorize import describe_colours
from colorize_core.dispatch import Item, each_done
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.diffusion.licences import licences
from colorize_core.errors import ObjectDamaged, Unfinished, as_text
from colorize_core.film import Film
from colorize_core.made_stills import make_stills, missing_stills
from colorize_core.manifest.commit import Ledger
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.plan import Segment
from colorize_core.request import FilmRequest
from colorize_core.rows import (
    failed_segment,
    film_row,
    found_segment,
    known_segment,
    made_segment,
    planned_segment,
    shot_row,
)
from colorize_core.shot_work import ShotChoice, ShotWork, work_of_shot
from colorize_core.shots.shot_list import ShotList
from colorize_core.timings import Timings
from colorize_core.work import (
    FilmRef,
    Outcome,
    Pool,
    Progress,
    SegmentItem,
    StillRef,
    Stored,
)


class FilmRun:
    """A run's plan and state. `colorize_shot` may be called for several shots at the same time.

    `began` is when its planning began, on `time.monotonic`'s clock.
    """

    def __init__(
        self,
        film: Film,
        request: FilmRequest,
        shots: ShotList,
        choices: Sequence[ShotChoice],
        facts: PartFacts,
        pool: Pool,
        progress: Progress,
        began: float,
    ) -> None:
        config = request.config
        ref = FilmRef(film.info, film.paths.timeline)
        self.id = uuid.uuid4().hex[:12]
        self.began = began
        self.output_digest: str | None = None
        self.version = importlib.metadata.version("kinecolor")
        self.facts = facts
        self.timings = Timings.load(request.work)
        self.config_digest = config.digest
        self.film = film
        self.request = request
        self.pool = pool
        self.shots: tuple[ShotWork, ...] = tuple(
            work_of_shot(film.paths, ref, shot, choice, config, facts)
            for shot, choice in zip(shots, choices, strict=True)
        )
        self.ledger = Ledger(film.paths)
        self.warnings: list[str] = [
            f"{uri} was damaged; an earlier version was read." for uri in self.ledger.damaged
        ]
        if self.timings.warning:
            self.warnings.append(self.timings.warning)
        self.recomputed = 0
        self.reused = 0
        self._known_segments = {row.uri: row for row in self.ledger.segments() if row.uri}
        self._known_chunks = {
            name: digest
            for row in self.ledger.shots()
            for name, digest in zip(row.chunks, row.chunk_digests, strict=True)
        }
        self._progress = progress
        self._frames_done = {"colorize": 0, "finish": 0}
        self._lock = threading.Lock()
        self.previous = self.ledger.film()
        self.accepted_licences = tuple(
            str(each) for each in licences(config) if request.accept_licence
        )
        self.weights = set(self.previous.weights) if self.previous else set[str]()
        self._failed_stills: Mapping[str, Exception] = {}
        self.ledger.begin(
            film_row(self, "running"),
            [shot_row(self, work, "pending") for work in self.shots],
            [planned_segment(self, work, each) for work in self.shots for each, _ in work.segments],
        )
        for stage in self._frames_done:
            self._advance(stage, 0)

    @property
    def seconds(self) -> float:
        """Wall clock of the work so far: the scan, and all since the plan; no start-up."""
        return self.film.opened_in_s + time.monotonic() - self.began

    def stage(self, name: str) -> Callable[[int, int], None]:
        """A progress callback for one stage."""
        return lambda done, total: self._progress(name, done, total)

    def work(self, number: int) -> ShotWork:
        """The work of the shot with this number."""
        return next(work for work in self.shots if work.shot.number == number)

    # -- stills ------------------------------------------------------------------------------

    def make_references(self) -> None:
        """Make the stills that are missing. One that could not be made fails its shot.

        Raises:
            CancelledError: the pool was closed.
        """
        planned = [work.choice.making for work in self.shots if work.choice.making]
        missing, damaged = missing_stills(planned)
        self.warnings += damaged
        there = len(planned) - len(missing)
        self._failed_stills = make_stills(
            missing,
            self._each_done,
            lambda done: self._progress("make-references", there + done, len(planned)),
        )
        self.pool.release("reference")

    def stills_of(self, work: ShotWork) -> tuple[StillRef, ...]:
        """The stills of a shot that are there."""
        return tuple(each for each in work.choice.stills if each.uri not in self._failed_stills)

    # -- one shot ----------------------------------------------------------------------------

    def colorize_shot(self, work: ShotWork) -> ShotRow:
        """Make what is missing of a shot: anchors, then segments, then chunks. Returns its row.

        A failed segment is in the manifest with its error and the shot ends as failed; nothing is
        raised for it, since the other shots go on.

        Raises:
            CommitLost: another run has taken this film over.
            CancelledError: the pool was closed.
        """
        rows = {each.index: planned_segment(self, work, each) for each, _ in work.segments}
        missing = self._find_segments(work, rows)
        self.ledger.update_segments(rows.values())
        errors = self._make_anchors(work, [item for _, item in missing])
        self._fill_segments(work, missing, rows, errors)
        row = self._finish_chunks(work, rows)
        self.ledger.update_shots([row])
        return row

    def _find_segments(
        self, work: ShotWork, rows: dict[int, SegmentRow]
    ) -> list[tuple[Segment, SegmentItem]]:
        """Mark what is there as done, in `rows`; return what has to be made."""
        missing = []
        for segment, item in work.segments:
            if item is None:
                continue
            if found := self._find_segment(rows[segment.index], item):
                rows[segment.index] = found
                with self._lock:
                    self.reused += 1
            else:
                missing.append((segment, item))
        self._advance("colorize", sum(r.end - r.start for r in rows.values() if r.status == "done"))
        return missing

    def _find_segment(self, row: SegmentRow, item: SegmentItem) -> SegmentRow | None:
        size = storage.size(item.output)
        if size is None:
            return None
        known = self._known_segments.get(self.film.paths.relative(item.output))
        if known and known.status == "done":
            if (size, storage.sha256(item.output)) == (known.bytes, known.digest):
                return known_segment(row, known)
            self._remake(item.output)
            return None
        stored = self._read_colours(item.output)
        return found_segment(row, stored) if stored else None

    def _read_colours(self, uri: str) -> Stored | None:
        """What is stored there, where it can be read; damaged colours are removed."""
        try:
            return describe_colours(storage.read(uri), uri)
        except ObjectDamaged:
            self._remake(uri)
            return None

    def _remake(self, uri: str) -> None:
        storage.delete(uri)
        with self._lock:
            self.warnings.append(f"{self.film.paths.relative(uri)} was damaged and is made again.")

    def _make_anchors(
        self, work: ShotWork, segments: Sequence[SegmentItem]
    ) -> dict[str, Exception]:
        """Make the anchors that `segments` need. Returns the error for each that could not be."""
        needed = {uri for item in segments for uri in (item.start, item.end)}
        absent = {uri for uri in needed if not (storage.exists(uri) and self._read_colours(uri))}
        items = [item for item in work.anchors if absent.intersection(item.outputs)]
        making = work.choice.making
        if making and (error := self._failed_stills.get(making.output)):
            return dict.fromkeys(absent, error)
        errors: dict[str, Exception] = {}
        for item, ended in self._each_done(items):
            if isinstance(ended, Exception):
                errors |= dict.fromkeys(item.outputs, ended)
        return errors

    def _fill_segments(
        self,
        work: ShotWork,
        missing: Sequence[tuple[Segment, SegmentItem]],
        rows: dict[int, SegmentRow],
        errors: dict[str, Exception],
    ) -> None:
        ready = []
        for segment, item in missing:
            if error := errors.get(item.start) or errors.get(item.end):
                rows[segment.index] = failed_segment(rows[segment.index], "failed", error)
            else:
                ready.append(item)
        by_id = {segment.id: segment for segment, _ in missing}
        for item, ended in self._each_done(ready):
            segment = by_id[item.segment]
            row = rows[segment.index]
            row = (
                failed_segment(row, "quarantined", ended)
                if isinstance(ended, Exception)
                else made_segment(row, self, ended)
            )
            rows[segment.index] = row
            self.ledger.update_segments([row])
            if row.status == "done":
                with self._lock:
                    self.recomputed += 1
                self._advance("colorize", len(segment.span))
        self.ledger.update_segments(rows.values())

    def _finish_chunks(self, work: ShotWork, rows: dict[int, SegmentRow]) -> ShotRow:
        failed = [row for row in rows.values() if row.status in ("failed", "quarantined")]
        if failed:
            note = f"{len(failed)} of {len(rows)} segments failed: {failed[0].error}"
            return shot_row(self, work, "failed", rows.values(), note=note)
        stored: dict[str, Stored] = {}
        items = []
        for item in work.chunks:
            if found := self._find_chunk(item.output, len(item.span)):
                stored[item.output] = found
                self._advance("finish", len(item.span))
            else:
                items.append(item)
        seconds = 0.0
        for item, ended in self._each_done(items):
            if isinstance(ended, Exception):
                note = as_text(ended)
                return shot_row(self, work, "failed", rows.values(), note=note)
            stored[item.output] = ended.stored[0]
            seconds += ended.seconds
            self._advance("finish", len(item.span))
        chunks = tuple(stored[item.output] for item in work.chunks)
        status = "grey" if work.is_grey else "done"
        return shot_row(self, work, status, rows.values(), chunks=chunks, seconds=seconds)

    def _find_chunk(self, uri: str, frames: int) -> Stored | None:
        """A chunk that is there and whole. Its frames are counted again when the film is joined."""
        size = storage.size(uri)
        if size is None:
            return None
        digest = storage.sha256(uri)
        known = self._known_chunks.get(self.film.paths.relative(uri))
        if known is not None and known != digest:
            self._remake(uri)
            return None
        return Stored(uri, digest, size, frames, 1.0)

    def _each_done(self, items: Sequence[Item]) -> Iterator[tuple[Item, Outcome | Exception]]:
        """Each item with its outcome or its error, as they end; what it took is noted."""
        for item, ended in each_done(self.pool, items):
            if isinstance(ended, Outcome):
                if ended.weights:
                    self.weights.add(ended.weights)
                self.timings.add_outcome(item, ended, self.facts)
            yield item, ended

    def _advance(self, stage: str, frames: int) -> None:
        with self._lock:
            self._frames_done[stage] += frames
            self._progress(stage, self._frames_done[stage], len(self.film.timeline))

    # -- the end -----------------------------------------------------------------------------

    def check_finished(self) -> None:
        """Refuse to go on to the film unless every shot has all its frames.

        Raises:
            Unfinished: names the failed segments; the manifest says so too.
        """
        failed = [
            f"{row.shot:04d}-{row.segment:04d} (frames {row.start}-{row.end - 1}: {row.error})"
            for row in self.ledger.segments()
            if row.status in ("failed", "quarantined")
        ]
        lost = [row for row in self.ledger.shots() if row.status == "failed"]
        if failed or lost:
            raise Unfinished(
                f"Nothing was published, since {len(failed) or len(lost)} "
                f"{'segments' if failed else 'shots'} failed: "
                + "; ".join(failed[:10] or [row.note for row in lost[:10]]),
                "Run the same command again: only what failed is done again.",
            )
