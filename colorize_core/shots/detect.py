"""Finds the shots of a black-and-white film on luma alone, in one pass, with bounded memory.

A cut is where no frame after is explained by a frame before, although frames on either side explain
each other (`likeness.dissimilarity`). The parts of that sentence are the three tests:

- *no frame after by a frame before*: pairs up to `SPAN` frames apart are all strangers. After a
  flash, a splice or a damaged frame the earlier picture is back, so some pair is alike;
- *on either side*: fast motion makes every frame a little strange to its neighbour, so a cut has to
  stand out from the strangeness around it;
- a neighbouring cut is no context: the strongest boundary is decided first, and strangeness is
  measured inside the shots that are left. One-frame and two-frame shots are found that way.

Frames without a picture (black, white) are passed over: the pictures before and after them are
compared as if they touched. That makes a fade through black a boundary, at the first frame that shows the
next picture, and a flash to white none. Blank frames that begin at once and last are a shot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode, SceneDetector

from colorize_core.shots.likeness import Small, correlation, dissimilarity, shrink
from colorize_core.timebase import FrameSpan

SOON = 3  # pairs this many frames apart must be strangers too: a flash of two frames is no cut
LATE = (0, 1, 2, 5, 8)
CONTEXT = 3  # frames on either side that tell how much strangeness is usual here
STRANGE = 0.325  # dissimilarity of a cut in a still shot: 0.2 is a fast dance, 0.55 chance
MOTION = 0.35  # share of the usual strangeness that comes on top of it
SURELY_ALIKE = 0.9  # correlation in place above which a pair need not be matched (cuts: < 0.65)
CALM=.23
CM=.6
BLANK = 2.0  # contrast, in grey levels, below which a frame shows no picture
FADING = 0.6  # share of its contrast that a picture loses or gains in `CONTEXT` frames of a fade
LASTING = 12  # blank frames that may be a shot

Kind = Literal["cut", "fade"]


@dataclass(frozen=True, slots=True, order=True)
class Boundary:
    """A shot begins at `frame`; `kind` says how."""

    frame: int
    kind: Kind


class _Candidate(NamedTuple):
    """`soon`, `late`: dissimilarity of the most alike pair, one picture before and one after, at most
    `SOON` or `LATE` pictures apart."""

    boundary: Boundary
    soon: float
    late: float


class ShotDetector:
    """Fed with every frame in order (`watch`); answers with the boundaries (`finish`).

    Attributes:
        boundaries: those decided so far, ascending. A boundary is decided some frames after it.
    """

    def __init__(self) -> None:
        self.boundaries: list[Boundary] = []
        self.frames = 0
        self._blank_from: int | None = None
        # Frames that show a picture, known by their serial number since the last certain boundary.
        self._recent: deque[Small] = deque(maxlen=CONTEXT + 2*LATE[-1]+2)
        self._count = 0
        self._steps: dict[int, float] = {}  # serial → dissimilarity to the picture before it
        self._candidates: dict[int, _Candidate] = {}

    def watch(self, frame: int, luma: NDArray[np.uint8]) -> None:
        """Takes frame number `frame`'s luma, uint8 ``[H, W]``. Frames come in order from 0."""
        if frame != self.frames:
            raise ValueError(f"frame {frame} came where {self.frames} was due")
        self.frames += 1
        small = shrink(frame, luma)
        if small.contrast < BLANK:
            if self._blank_from is None:
                self._blank_from = frame
            return
        self._end_blank(frame)
        self._recent.append(small)
        self._count += 1
        self._judge(self._count - 1 - LATE[-1])

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
        start, self._blank_from = self._blank_from, None
        if start is None or frame - start < LASTING or self._fades_out(self._count - 1):
            return
        self._start_afresh()
        self.boundaries += [Boundary(at, "cut") for at in (start, frame) if 0 < at < self.frames]

    def _start_afresh(self) -> None:
        """Decides what is open and forgets the pictures: the next one begins a shot anyway."""
        for serial in range(self._count - LATE[-1], self._count):
            self._judge(serial)
        self._decide()
        self._recent.clear()
        self._steps.clear()
        self._count = 0

    # -- pictures, by serial number ----------------------------------------------------------

    def _has(self, serial: int) -> bool:
        return max(0, self._count - len(self._recent)) <= serial < self._count

    def _picture(self, serial: int) -> Small:
        return self._recent[serial - self._count + len(self._recent)]

    def _step(self, serial: int) -> float:
        if serial not in self._steps:
            a, b = self._picture(serial - 1), self._picture(serial)
            self._steps[serial] = dissimilarity(a, b)
        return self._steps[serial]

    def _judge(self, serial: int) -> None:
        """Makes `serial` a candidate if it is one, once `CONTEXT` pictures after it are known."""
        if not (self._has(serial - 1) and self._has(serial)):
            return
        alike = correlation(self._picture(serial - 1), self._picture(serial)) > SURELY_ALIKE
        if not alike and self._step(serial) > CALM:
            for near in range(serial - CONTEXT, serial + CONTEXT + 1):
                if self._has(near - 1) and self._has(near):
                    self._step(near)
            kind = "fade" if self._fades_out(serial - 1) or self._fades_in(serial) else "cut"
            boundary = Boundary(self._picture(serial).frame, kind)
            self._candidates[serial] = _Candidate(boundary, self._across(serial,[(x,y) for x in range(3) for y in range(3) if 0<x+y<3],STRANGE), self._across(serial,[(x,y) for x in LATE for y in LATE if 0<x+y<=8],CALM))
        elif not self._candidates or serial - max(self._candidates) > LATE[-1]:
            self._decide()
            self._steps.pop(serial - 2 * CONTEXT, None)

    def _across(self, serial: int, pairs, limit) -> float:
        """Dissimilarity of the most alike pair, one picture before and one after; once it is no
        cut's the rest is not looked at."""
        least = self._step(serial)
        for x,y in pairs:
                before,after = serial-1-x,serial+y
                if least > limit and self._has(before) and self._has(after):
                    pair = dissimilarity(self._picture(before), self._picture(after))
                    least = min(least, pair)
        return least

    def _fades_out(self, serial: int) -> bool:
        earlier = serial - CONTEXT
        return self._has(earlier) and (
            self._picture(serial).contrast < FADING * self._picture(earlier).contrast
        )

    def _fades_in(self, serial: int) -> bool:
        later = serial + CONTEXT
        return self._has(later) and (
            self._picture(serial).contrast < FADING * self._picture(later).contrast
        )

    # -- decisions ---------------------------------------------------------------------------

    def _decide(self) -> None:
        """Accepts candidates, the strongest first, while they stand out."""
        if not self._candidates:
            return
        accepted: set[int] = set()
        while open_ := self._candidates.keys() - accepted:
            strongest = max(open_, key=lambda serial: (self._excess(serial, accepted), -serial))
            if self._excess(strongest, accepted) < STRANGE:
                break
            accepted.add(strongest)
        self.boundaries += [self._candidates[serial].boundary for serial in sorted(accepted)]
        self._candidates.clear()
        self._steps = {s: step for s, step in self._steps.items() if self._has(s)}

    def _excess(self, serial: int, accepted: set[int]) -> float:
        """Dissimilarity across `serial`, less what motion in its own two shots accounts for."""
        start = max((cut for cut in accepted if cut < serial), default=0)
        end = min((cut for cut in accepted if cut > serial), default=serial + CONTEXT + 1)
        around = range(max(start + 1, serial - CONTEXT), min(end, serial + CONTEXT + 1))
        usual = max((self._steps.get(s, 0.0) for s in around if s != serial), default=0.0)
        c=self._candidates[serial]
        if any(abs(serial-q)<=LATE[-1] for q in accepted): return c.soon-MOTION*usual
        return max(c.soon - MOTION * usual, c.late-CM*usual+STRANGE-CALM)


class LumaDetector(SceneDetector):
    """`ShotDetector` behind PySceneDetect's interface, for use in its `SceneManager`."""

    def __init__(self) -> None:
        super().__init__()
        self._detector = ShotDetector()
        self._given = 0

    def process_frame(
        self, timecode: FrameTimecode, frame_img: NDArray[np.uint8]
    ) -> list[FrameTimecode]:
        """The cuts decided by now. `frame_img` is BGR ``[H, W, 3]`` or grey ``[H, W]``, uint8."""
        grey = frame_img if frame_img.ndim == 2 else cv2.cvtColor(frame_img, cv2.COLOR_BGR2GRAY)
        self._detector.watch(self._detector.frames, grey)  # pyright: ignore[reportArgumentType]
        return self._news(timecode)

    def post_process(self, timecode: FrameTimecode) -> list[FrameTimecode]:
        self._detector.finish()
        return self._news(timecode)

    def _news(self, now: FrameTimecode) -> list[FrameTimecode]:
        """`now` is the time of the latest frame; boundaries lie a known number of frames before."""
        fresh = self._detector.boundaries[self._given :]
        self._given += len(fresh)
        return [now - (self._detector.frames - 1 - boundary.frame) for boundary in fresh]
