"""One run over one film: what is there is used again, what is missing is made and recorded.

The order is the caller's (`local.colorize_film`, or the Prefect flow); the steps are here.
"""

from __future__ import annotations

import importlib.metadata
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from colorize_core import storage
from colorize_core.claim import Claim
from colorize_core.dispatch import Item, each_done
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.diffusion.licences import licences
from colorize_core.errors import Held, KinecolorError, Unfinished
from colorize_core.film import Film
from colorize_core.found import Found
from colorize_core.made_stills import make_stills, missing_stills
from colorize_core.manifest.commit import Ledger
from colorize_core.manifest.schema import FAILED, ShotRow
from colorize_core.quality.flags import flags_of, held_shots
from colorize_core.report.summary import ShotSummary
from colorize_core.request import FilmRequest, keep_request
from colorize_core.rows import film_row, planned_segment, shot_row
from colorize_core.scope import ALL, Scope
from colorize_core.shot_run import ShotRun
from colorize_core.shot_work import ShotChoice, ShotWork, work_of_shot
from colorize_core.shots.shot_list import Shot, ShotList
from colorize_core.timings import Timings
from colorize_core.toned_stills import bring_together, stills_of_finished
from colorize_core.work import Outcome, Pool, Progress, StillRef

_NAMED = 10  # of what failed, in a message: the manifest has them all


def retry_command(work: str) -> str:
    """What a person types to have failed work done again."""
    return f"kinecolor retry {shlex.quote(storage.redact(work))}"


class FilmRun:
    """A run's plan and state. `colorize_shot` may be called for several shots at the same time.

    `claim` is the film's, held by the caller. `scope`: which unfinished work is done; the rest
    stays as it is. `began` is when its planning began, on `time.monotonic`'s clock.
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
        claim: Claim,
        scope: Scope = ALL,
    ) -> None:
        config = request.config
        self.claim = claim
        self.scope = scope
        self.id = uuid.uuid4().hex[:12]
        self.began = began
        self.output_digest: str | None = None
        self.frame_list_digest: str | None = None
        self.shown: tuple[ShotSummary, ...] = ()  # the report's rows, once it is written
        self.version = importlib.metadata.version("kinecolor")
        self.facts = facts
        self.timings = Timings.load(request.work)
        self.config_digest = config.digest
        self.film = film
        self.request = request
        self.pool = pool
        self._change = film.change(config)
        works = [self._plan_work(shot, choice) for shot, choice in zip(shots, choices, strict=True)]
        self._works = {work.shot.number: work for work in works}
        self.ledger = Ledger(film.paths)
        self.warnings: list[str] = [
            *(f"{uri} was damaged; an earlier version was read." for uri in self.ledger.damaged),
            *(f"{uri} is missing." for uri in self.ledger.missing),
        ]
        if self.timings.warning:
            self.warnings.append(self.timings.warning)
        self.recomputed = 0
        self.reused = 0
        self.found = Found(
            film.paths, self.ledger.segments(), self.ledger.shots(), self.warnings.append
        )
        self._progress = progress
        self._frames_done = {"colorize": 0, "finish": 0}
        self._lock = threading.Lock()
        self.previous = self.ledger.film()
        self._finished = stills_of_finished(self.ledger.shots())
        self.accepted_licences = tuple(
            str(each) for each in licences(config) if request.accept_licence
        )
        self.weights = set(self.previous.weights) if self.previous else set[str]()
        self.failed_stills: Mapping[str, KinecolorError] = {}
        keep_request(film.paths, request)
        self.ledger.begin(
            film_row(self, "running"),
            [shot_row(self, work, "pending") for work in self.shots],
            [planned_segment(self, work, each) for work in self.shots for each, _ in work.segments],
        )
        for stage in self._frames_done:
            self.advance(stage, 0)

    @property
    def seconds(self) -> float:
        """Wall clock of the work so far: the scan, and all since the plan; no start-up."""
        return self.film.opened_in_s + time.monotonic() - self.began

    def stage(self, name: str) -> Callable[[int, int], None]:
        """A progress callback for one stage."""
        return lambda done, total: self._progress(name, done, total)

    @property
    def shots(self) -> tuple[ShotWork, ...]:
        """The shots' work, in order."""
        return tuple(self._works.values())

    def work(self, number: int) -> ShotWork:
        """The work of the shot with this number."""
        return self._works[number]

    def change_work(self, work: ShotWork) -> None:
        """Take `work` for its shot: its stills changed in tone, or some of its frames stay grey."""
        self._works[work.shot.number] = work

    def _plan_work(self, shot: Shot, choice: ShotChoice) -> ShotWork:
        film, config = self.film, self.request.config
        return work_of_shot(film.paths, film.ref, shot, choice, config, self.facts, self._change)

    # -- stills ------------------------------------------------------------------------------

    def make_references(self) -> None:
        """Make the stills that are missing, and bring all to one tone. One that could not be made
        fails its shot.

        Raises:
            CancelledError: the pool was closed.
        """
        planned = [item for work in self.shots for item in work.choice.making]
        missing, damaged = missing_stills(planned)
        self.warnings += damaged
        there = len(planned) - len(missing)
        self.failed_stills = make_stills(
            missing,
            self.each_done,
            lambda done: self._progress("make-references", there + done, len(planned)),
        )
        self.pool.release("reference")
        if planned:  # else tone was brought together before the work was named
            self._bring_tone_together()

    def _bring_tone_together(self) -> None:
        """Shots whose stills change in tone get other work: only now is it known which."""
        choices = {
            work.shot.number: work.choice
            for work in self.shots
            if len(self.stills_of(work)) == len(work.choice.stills)
        }
        config = self.request.config
        toned = bring_together(
            self.film.paths, choices, config.tone, self._finished, self._progress
        )
        self.warnings += toned.warnings
        for number, choice in toned.choices.items():
            work = self._plan_work(self.work(number).shot, choice)
            self.change_work(work)
            self.ledger.update_segments([planned_segment(self, work, s) for s, _ in work.segments])
            self.ledger.update_shots([shot_row(self, work, "pending")])

    def stills_of(self, work: ShotWork) -> tuple[StillRef, ...]:
        """The stills of a shot that are there."""
        return tuple(each for each in work.choice.stills if each.uri not in self.failed_stills)

    # -- one shot ----------------------------------------------------------------------------

    def colorize_shot(self, work: ShotWork) -> ShotRow:
        """Make what is missing of a shot: anchors, then segments, then chunks. Returns its row.

        A failed segment is in the manifest with its error and the shot ends as failed; nothing is
        raised for it, since the other shots go on.

        Raises:
            KinecolorError: one that ends the run, such as CommitLost or a full disk.
            CancelledError: the pool was closed.
        """
        row = ShotRun(self, work).colorize()
        self.ledger.update_shots([row])
        return row

    def each_done(self, items: Iterable[Item]) -> Iterator[tuple[Item, Outcome | KinecolorError]]:
        """Each item with its outcome or its error, as they end; what it took is noted."""
        for item, ended in each_done(self.pool, items):
            if isinstance(ended, Outcome):
                if ended.weights:
                    self.weights.add(ended.weights)
                self.timings.add_outcome(item, ended, self.facts)
            yield item, ended

    def count(self, *, reused: int = 0, recomputed: int = 0) -> None:
        """Count segments that were found or made."""
        with self._lock:
            self.reused += reused
            self.recomputed += recomputed

    def advance(self, stage: str, frames: int) -> None:
        """So many more frames are through the stage."""
        with self._lock:
            self._frames_done[stage] += frames
            self._progress(stage, self._frames_done[stage], len(self.film.timeline))

    # -- the end -----------------------------------------------------------------------------

    def check_finished(self) -> None:
        """Refuse to go on to the film unless every shot has all its frames, and none is so bad
        that it holds the film back.

        Raises:
            Unfinished: names the failed segments; the manifest says so too.
            Held: names the shots.
        """
        rows, shots = self.ledger.segments(), self.ledger.shots()
        failed = [] if self._goes_grey else [row for row in rows if row.status in FAILED]
        open_ = [row for row in shots if row.status in ("failed", "pending")]
        if not failed and not open_:
            self._check_held(shots)
            return
        what = f"{len(failed)} segments failed" if failed else f"{len(open_)} shots are not made"
        named = [f"{row.id} (frames {row.start}-{row.end - 1}: {row.error})" for row in failed] or [
            f"shot {row.shot}: {row.note}" for row in open_
        ]
        more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
        raise Unfinished(
            f"Nothing was published, since {what}: " + "; ".join([*named[:_NAMED], *more]),
            f"Only what failed is done again by: {retry_command(self.request.work)}",
        )

    def _check_held(self, shots: Sequence[ShotRow]) -> None:
        settings = self.request.config.quality
        held = held_shots(shots, settings)
        if not held:
            return
        named = [
            f"shot {row.shot} (score {row.score:.2f}"
            + "".join(f"; {flag}" for flag in flags_of(row, settings)[:1])
            + ")"
            for row in held[:_NAMED]
        ]
        more = [f"and {len(held) - _NAMED} more"] if len(held) > _NAMED else []
        raise Held(
            f"The film is made and held, since shots score below {settings.hold_below:g}: "
            + "; ".join([*named, *more]),
            f"Look at them in the report, {self.film.paths.report_index}. To publish the film as "
            "it is, run the same command with --hold-below 0: nothing is made again.",
        )

    @property
    def _goes_grey(self) -> bool:
        return self.request.config.on_failure == "grey"
