"""Leaves out the frames that show no picture of their own, so that the pictures around them touch.

Blank frames (black, white) are left out, and so are frames of a dissolve, which are mixtures of the
pictures before and after it: from one frame (a change of frame rate blends frames across cuts) to a
second of them. What is left out decides nothing: whether the pictures on either side are one shot
is for their comparison to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from colorize_core.shots.likeness import Mixture, Small, correlation, mixture

BLANK = 2.0  # contrast in grey levels below which a frame shows no picture
LENGTHS = (1, 2, 3, 5, 8, 12, 17, 24)  # of dissolves, in frames; each catches those up to the next
ENDS = 0.7  # correlation in place above which two pictures have nothing to dissolve between
EXPLAINED = 0.9  # R² of a mixture of two pictures; what moves in a dissolve lowers it
GRADUAL = 0.8  # most that the share of the new picture may grow from one quarter to the next
WHOLE = (0.85, 1.2)  # both weights together


class Picture(NamedTuple):
    """A frame that shows a picture.

    Attributes:
        small: it.
        turn: the frame at which it takes over from the picture before: its own, or the middle of
            the dissolve that leads to it.
        dissolved: whether a dissolve of two frames or more leads to it.
    """

    small: Small
    turn: int
    dissolved: bool = False


class Pictures:
    """Takes frames one at a time, gives pictures back `LENGTHS[-1] + 1` pictures later."""

    def __init__(self) -> None:
        self._held: deque[Picture] = deque()

    def push(self, small: Small) -> Picture | None:
        """Takes the next frame that is not blank; the oldest picture comes out when it is due."""
        self._held.append(Picture(small, small.frame))
        for length in LENGTHS:
            if len(self._held) < length + 2:
                break
            self._leave_out(length)
        return self._held.popleft() if len(self._held) > LENGTHS[-1] + 1 else None

    def flush(self) -> list[Picture]:
        """The pictures still held."""
        held = list(self._held)
        self._held.clear()
        return held

    def _leave_out(self, length: int) -> None:
        before, after = self._held[-length - 2].small, self._held[-1].small
        if correlation(before, after) > ENDS:
            return
        quarters = sorted({round((length - 1) * part) for part in (0.25, 0.5, 0.75)})
        fits: list[Mixture] = []
        for index in quarters:
            fits.append(mixture(before, self._held[index - length - 1].small, after))
            if fits[-1].explained < EXPLAINED:
                return
        if not _is_dissolve(fits):
            return
        for _ in range(length + 1):
            self._held.pop()
        middle = (before.frame + after.frame + 1) // 2
        self._held.append(Picture(after, middle, after.frame - before.frame > 2))


def _is_dissolve(fits: Sequence[Mixture]) -> bool:
    """Whether mixtures in film order lead from one picture to another."""
    shares = [0.0, *(fit.share for fit in fits), 1.0]
    gradual = all(0.0 < later - share < GRADUAL for share, later in pairwise(shares))
    return gradual and all(WHOLE[0] < fit.total < WHOLE[1] for fit in fits)
