"""One shot in a run: what is there is used again, what is missing is made, and recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from colorize_core.errors import KinecolorError, WorkError, as_text
from colorize_core.manifest.schema import FAILED, SegmentStatus, ShotRow
from colorize_core.rows import (
    anchored_segment,
    failed_segment,
    found_segment,
    made_segment,
    planned_segment,
    running_segment,
    shot_row,
    still_failed_segment,
    stored_segment,
)
from colorize_core.shot_work import ShotWork, with_grey
from colorize_core.work import ChunkItem, SegmentItem, Stored

if TYPE_CHECKING:
    from colorize_core.run import FilmRun


class ShotRun:
    """The state of a shot's work. `rows` are its segments' rows, by index."""

    def __init__(self, run: FilmRun, work: ShotWork) -> None:
        self._run = run
        self._work = work
        self._grey = run.request.config.on_failure == "grey"
        self.rows = {each.index: planned_segment(run, work, each) for each, _ in work.segments}

    def colorize(self) -> ShotRow:
        """Make what is missing: anchors, then segments, then chunks. Returns the shot's row.

        Raises:
            KinecolorError: one that ends the run.
            CancelledError: the pool was closed.
        """
        missing = self._find_segments()
        self._run.ledger.update_segments(self.rows.values())
        anchors, failed = self._make_anchors(missing.values())
        for index, (_, item) in enumerate(self._work.segments):
            if item is not None:
                start, end = anchors.get(item.start), anchors.get(item.end)
                self.rows[index] = anchored_segment(self.rows[index], start, end)
        for index, item in list(missing.items()):
            if error := failed.get(item.start) or failed.get(item.end):
                self._fail(index, "failed", error)
                del missing[index]
        self._fill_segments(missing)
        self._run.ledger.update_segments(self.rows.values())
        return self._finish_chunks()

    def _find_segments(self) -> dict[int, SegmentItem]:
        """Mark what is there as done; return what has to be made."""
        missing = {}
        for index, (_, item) in enumerate(self._work.segments):
            if item is not None and not self._find_segment(index, item):
                missing[index] = item
        done = [row for row in self.rows.values() if row.status == "done"]
        self._run.advance("colorize", sum(row.end - row.start for row in done))
        return missing

    def _find_segment(self, index: int, item: SegmentItem) -> bool:
        """Whether a segment needs no work: it is there, or out of this run's scope."""
        row, found = self.rows[index], self._run.found
        if found.recorded(item.output):
            if found.whole(item.output):
                self.rows[index] = found_segment(row)
                self._run.count(reused=1)
                return True
        elif stored := found.colours(item.output):
            self.rows[index] = stored_segment(row, stored)
            self._run.count(reused=1)
            return True
        before = found.segment(item.output)
        if self._run.scope.covers(before or row):
            return False
        if before and before.status in FAILED:
            self.rows[index] = still_failed_segment(row, before, grey=self._grey)
        return True

    def _make_anchors(
        self, missing: Iterable[SegmentItem]
    ) -> tuple[Mapping[str, str], Mapping[str, KinecolorError]]:
        """Make the anchors that are not there, of segments that are done or `missing`. Returns each
        one's digest, or its error."""
        wanted = {uri for item in missing for uri in (item.start, item.end)}
        for index, (_, item) in enumerate(self._work.segments):
            if item is not None and self.rows[index].status == "done":
                wanted |= {item.start, item.end}
        digests = {uri: digest for uri in wanted if (digest := self._find_anchor(uri))}
        absent = wanted - digests.keys()
        failed: dict[str, KinecolorError] = {}
        failed_stills = self._run.failed_stills
        for still in self._work.choice.making:
            if error := failed_stills.get(still.output):
                return digests, dict.fromkeys(absent, error)
        items = [each for item in self._work.anchors if (each := item.only(absent))]
        for item, ended in self._run.each_done(items):
            if isinstance(ended, KinecolorError):
                failed |= dict.fromkeys(item.outputs, ended)
            else:
                digests |= {stored.uri: stored.digest for stored in ended.stored}
        return digests, failed

    def _find_anchor(self, uri: str) -> str | None:
        found = self._run.found
        known = found.whole(uri) if found.recorded(uri) else found.colours(uri)
        return known.digest if known else None

    def _fill_segments(self, missing: Mapping[int, SegmentItem]) -> None:
        indices = {item.segment: index for index, item in missing.items()}
        for index in missing:
            self.rows[index] = running_segment(self.rows[index])
        self._run.ledger.update_segments(self.rows.values())
        for item, ended in self._run.each_done(missing.values()):
            index = indices[item.segment]
            if isinstance(ended, KinecolorError):
                own = isinstance(ended, WorkError)  # not its store's, nor its source's
                self._fail(index, "quarantined" if own else "failed", ended)
            else:
                self.rows[index] = made_segment(self.rows[index], self._run, ended)
                self._run.count(recomputed=1)
                self._run.advance("colorize", len(item.owns))
            self._run.ledger.update_segments([self.rows[index]])

    def _fail(self, index: int, status: SegmentStatus, error: KinecolorError) -> None:
        self.rows[index] = failed_segment(self.rows[index], status, error, grey=self._grey)

    def _finish_chunks(self) -> ShotRow:
        rows = list(self.rows.values())
        failed = [row for row in rows if row.status in FAILED]
        note = f"{len(failed)} of {len(rows)} segments failed: {failed[0].error}" if failed else ""
        if failed and not self._grey:
            return shot_row(self._run, self._work, "failed", rows, note=note)
        if any(row.status not in ("done", *FAILED) for row in rows):
            note = "not all of its segments were to be made in this run"
            return shot_row(self._run, self._work, "pending", rows, note=note)
        paths = self._run.film.paths
        lost = {paths.resolve(row.uri) for row in failed if row.uri}
        work = replace(
            self._work, chunks=tuple(with_grey(paths, each, lost) for each in self._work.chunks)
        )
        self._run.change_work(work)
        chunks, seconds, error = self._encode(work.chunks)
        if error is not None:
            return shot_row(self._run, work, "failed", rows, note=as_text(error))
        status = "partial" if failed else "grey" if work.is_grey else "done"
        return shot_row(self._run, work, status, rows, chunks=chunks, seconds=seconds, note=note)

    def _encode(
        self, items: Sequence[ChunkItem]
    ) -> tuple[Sequence[Stored], float, KinecolorError | None]:
        """The chunks of the shot's frames, found or made; the workers' seconds; what failed."""
        run = self._run
        stored: dict[str, Stored] = {}
        missing = []
        for item in items:
            if whole := run.found.whole(item.output):
                # Its frames are counted again when the film is joined.
                stored[item.output] = Stored(
                    item.output, whole.digest, whole.bytes, len(item.span), 1.0
                )
                run.advance("finish", len(item.span))
            else:
                missing.append(item)
        seconds, failed = 0.0, None
        for item, ended in run.each_done(missing):
            if isinstance(ended, KinecolorError):
                failed = ended
                continue
            stored[item.output] = ended.stored[0]
            seconds += ended.seconds
            run.advance("finish", len(item.span))
        return [stored[each.output] for each in items if each.output in stored], seconds, failed
