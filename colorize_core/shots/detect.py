"""Finds the shots of a black-and-white film on luma alone, in one pass, with bounded memory.

A shot begins where no picture after is explained by a picture before, although pictures on either
side explain each other (`likeness.dissimilarity`). The parts of that sentence are the tests:

- *no picture after by a picture before*: not only neighbours are strangers, but pairs `SOON` apart.
  After a flash, a splice or a damaged frame the earlier picture is back, so some pair is alike;
- *although on either side*: fast motion makes every frame a little strange to its neighbour, so a
  boundary has to stand out from the strangeness that is usual around it;
- a boundary is no context for another: the strongest is decided first, and what is usual is then
  measured inside the shots that are left. One-frame and two-frame shots are found that way.

In a calm shot much less stands out, such as a cut to a closer view of the same thing. Less evidence
has to last longer: there pairs `LATE` apart are compared as well.

Frames without a picture of their own are passed over (`pictures`). A fade through black or white is
a boundary at the first frame that shows the next picture, a dissolve in its middle, and a flash to
white is none. Blank frames that begin at once and last `LASTING` frames are a shot of their own.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from colorize_core.shots.likeness import correlation, dissimilarity, shrink
from colorize_core.shots.pictures import BLANK, Picture, Pictures
from colorize_core.timebase import FrameSpan

CONTEXT = 3  # pictures on either side that tell how much strangeness is usual
SOON = tuple((b, a) for b in range(3) for a in range(3) if b + a < 3)
LATE = tuple((b, a) for b in (0, 1, 2, 5, 8) for a in (0, 1, 2, 5, 8) if b + a <= 8)
HORIZON = 8  # farthest picture from the boundary in `SOON` and `LATE`, which are pairs of distances
SURELY_ALIKE = 0.85  # correlation in place above which neighbours need no matching (cuts: < 0.65)
FADING = 0.6  # a fade takes its picture below this share of contrast within `CONTEXT` pictures
REPEATED = 0.005  # dissimilarity below which a frame repeats the one before
LASTING = 12  # blank frames that may be a shot

# A boundary is at least this strange, and stranger by this share of what is usual around it.
# Pictures of different things are 0.45 to 0.75, a fast dance 0.2, whip pan and battle up to 0.45.
STRANGE, STRANGE_SHARE = 0.34, 0.4  # for pairs of `SOON`
LASTING_STRANGE, LASTING_SHARE = 0.21, 0.7  # for pairs of `LATE`: less, and only in a calm shot

Kind = Literal["cut", "fade", "dissolve"]


@dataclass(frozen=True, slots=True, order=True)
class Boundary:
    """A shot begins at `frame`; `kind` says how."""

    frame: int
    kind: Kind


class _Candidate(NamedTuple):
    boundary: Boundary
    soon: float  # dissimilarity of the most alike pair of `SOON`
    late: float  # and of `LATE`; 0 where `soon` is enough or the shot is not calm


class ShotDetector:
    """Fed with every frame in order (`watch`); answers with the boundaries (`finish`).

    Attributes:
        frames: how many were watched.
        boundaries: those decided so far, ascending; each is decided about a second after it.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.boundaries: list[Boundary] = []
        self._blank_from: int | None = None
        self._contrasts: deque[float] = deque(maxlen=CONTEXT + 1)
        self._pictures = Pictures()
        # Pictures are known by their serial number since the last boundary that was certain.
        self._recent: deque[Picture] = deque(maxlen=2 * HORIZON + CONTEXT + 2)
        self._count = 0
        self._steps: dict[int, float] = {}  # serial → dissimilarity to the picture before
        self._candidates: dict[int, _Candidate] = {}

    def watch(self, frame: int, luma: NDArray[np.uint8]) -> None:
        """Takes frame number `frame`'s luma, uint8 ``[H, W]``. Frames come in order from 0.

        Raises:
            ValueError: another frame was due.
        """
        if frame != self.frames:
            raise ValueError(f"frame {frame} came where {self.frames} was due")
        self.frames += 1
        small = shrink(frame, luma)
        if small.contrast < BLANK:
            if self._blank_from is None:
                self._blank_from = frame
            return
        self._end_blank(frame)
        self._contrasts.append(small.contrast)
        if picture := self._pictures.push(small):
            self._take(picture)

    def finish(self) -> tuple[Boundary, ...]:
        """Every boundary of the film, ascending. Frame 0 is none."""
        self._end_blank(self.frames)
        self._start_afresh()
        return tuple(self.boundaries)

    def shots(self) -> tuple[FrameSpan, ...]:
        """The shots, which tile the film. Call it after `finish`.

        Raises:
            ValueError: no frame was watched.
        """
        edges = (0, *(boundary.frame for boundary in self.boundaries), self.frames)
        return tuple(FrameSpan(start, end) for start, end in pairwise(edges))

    def _end_blank(self, frame: int) -> None:
        """`frame` is not blank any more: were those before it a shot?"""
        start, self._blank_from = self._blank_from, None
        if start is None or frame - start < LASTING:
            return
        if self._contrasts and self._contrasts[-1] < FADING * self._contrasts[0]:
            return  # faded out
        self._start_afresh()
        self.boundaries += [Boundary(at, "cut") for at in (start, frame) if 0 < at < self.frames]

    def _start_afresh(self) -> None:
        """Decides what is open and forgets the pictures: the next one begins a shot anyway."""
        for picture in self._pictures.flush():
            self._take(picture)
        for serial in range(self._count - HORIZON, self._count):
            self._judge(serial)
        self._decide()
        self._recent.clear()
        self._contrasts.clear()
        self._steps.clear()
        self._count = 0

    # -- candidates --------------------------------------------------------------------------

    def _take(self, picture: Picture) -> None:
        self._recent.append(picture)
        self._count += 1
        self._judge(self._count - 1 - HORIZON)

    def _has(self, serial: int) -> bool:
        return max(0, self._count - len(self._recent)) <= serial < self._count

    def _picture(self, serial: int) -> Picture:
        return self._recent[serial - self._count + len(self._recent)]

    def _step(self, serial: int) -> float:
        if serial not in self._steps:
            self._steps[serial] = self._pair(serial - 1, serial)
        return self._steps[serial]

    def _pair(self, before: int, after: int) -> float:
        return dissimilarity(self._picture(before).small, self._picture(after).small)

    def _judge(self, serial: int) -> None:
        """Makes `serial`, all of whose surroundings are known by now, a candidate if it is one."""
        if not (self._has(serial - 1) and self._has(serial)):
            return
        alike = correlation(self._picture(serial - 1).small, self._picture(serial).small)
        if alike < SURELY_ALIKE and self._is_strange(serial):
            boundary = Boundary(self._picture(serial).turn, self._kind(serial))
            soon = self._across(serial, SOON, STRANGE)
            usual = self._usual(serial, 0, self._count)
            unclear = soon <= STRANGE + STRANGE_SHARE * usual and self._is_strange_for_calm(serial)
            late = self._across(serial, LATE, LASTING_STRANGE) if unclear else 0.0
            self._candidates[serial] = _Candidate(boundary, soon, late)
        elif not self._candidates or serial - max(self._candidates) > HORIZON:
            self._decide()
            self._steps.pop(serial - HORIZON, None)

    def _is_strange(self, serial: int) -> bool:
        """Whether the step to `serial` alone could be a boundary, by either of the two measures."""
        if self._step(serial) <= STRANGE:
            return self._is_strange_for_calm(serial)
        for near in self._around(serial, 2 * CONTEXT):
            self._step(near)  # to be known when it is decided
        return True

    def _is_strange_for_calm(self, serial: int) -> bool:
        room = self._step(serial) - LASTING_STRANGE
        return room > 0.0 and all(
            room > LASTING_SHARE * self._step(near) for near in self._around(serial, CONTEXT)
        )

    def _around(self, serial: int, reach: int) -> list[int]:
        """The steps around `serial` that can be known, nearest first."""
        around = (serial + sign * distance for distance in range(1, reach + 1) for sign in (-1, 1))
        return [near for near in around if self._has(near - 1) and self._has(near)]

    def _across(self, serial: int, pairs: tuple[tuple[int, int], ...], enough: float) -> float:
        """Dissimilarity of the most alike pair, or of the first that is not strange `enough`."""
        least = self._step(serial)
        for back, on in pairs:
            before, after = serial - 1 - back, serial + on
            if least > enough and self._has(before) and self._has(after):
                least = min(least, self._pair(before, after))
        return least

    def _kind(self, serial: int) -> Kind:
        def fades(near: int, far: int) -> bool:
            return self._has(far) and (
                self._picture(near).small.contrast < FADING * self._picture(far).small.contrast
            )

        if fades(serial - 1, serial - 1 - CONTEXT) or fades(serial, serial + CONTEXT):
            return "fade"
        return "dissolve" if self._picture(serial).dissolved else "cut"

    # -- decisions ---------------------------------------------------------------------------

    def _decide(self) -> None:
        """Accepts candidates, the strongest first, as long as they stand out."""
        accepted: set[int] = set()
        while left := sorted(self._candidates.keys() - accepted):
            strongest = max(left, key=lambda serial: self._excess(serial, accepted))
            if self._excess(strongest, accepted) <= 0.0:
                break
            accepted.add(strongest)
        self.boundaries += [self._candidates[serial].boundary for serial in sorted(accepted)]
        if self._candidates:
            self._candidates.clear()
            self._steps = {s: step for s, step in self._steps.items() if self._has(s)}

    def _excess(self, serial: int, accepted: set[int]) -> float:
        """How much stranger the pictures across `serial` are than a boundary has to be."""
        first = max((cut + 1 for cut in accepted if cut < serial), default=0)
        end = min((cut for cut in accepted if cut > serial), default=serial + 2 * CONTEXT + 1)
        usual = self._usual(serial, first, end)
        found = self._candidates[serial]
        soon = found.soon - STRANGE - STRANGE_SHARE * usual
        if any(abs(cut - serial) <= HORIZON for cut in accepted):
            return soon  # pairs `LATE` apart would reach over the other boundary
        return max(soon, found.late - LASTING_STRANGE - LASTING_SHARE * usual)

    def _usual(self, serial: int, first: int, end: int) -> float:
        """The strangeness of motion around `serial`, from the steps ``[first, end)``. Motion goes
        on, so a step counts no more than the stranger of the two next to it; repeated frames lie
        between them where a film was stretched to another rate."""
        steps = {
            near: self._steps.get(near, 0.0)
            for near in range(max(first, serial - 2 * CONTEXT), min(end, serial + 2 * CONTEXT + 1))
            if near != serial and self._steps.get(near, 0.0) > REPEATED
        }
        known = sorted(steps)
        usual = 0.0
        for at, near in enumerate(known):
            if abs(near - serial) <= CONTEXT:
                beside = [steps[other] for other in known[max(0, at - 1) : at + 2] if other != near]
                usual = max(usual, min(steps[near], max(beside, default=0.0)))
        return usual
