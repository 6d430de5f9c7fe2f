"""The figures that say how good colours are where no truth is known, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Name = Literal["grey_leftover", "flicker", "drift", "bleeding", "joint", "confidence"]
NAMES: tuple[Name, ...] = (
    *("grey_leftover", "flicker", "drift", "bleeding", "joint", "confidence"),
)

MEANINGS: dict[Name, str] = {
    "grey_leftover": "share of the picture without colour",
    "flicker": "change of colours from frame to frame that no motion explains (a*b* units)",
    "drift": "distance from the reference's colours at the same lightness (a*b* units)",
    "bleeding": "how much less than in the reference borders of colour follow those of lightness: "
    "0 as there, 1 not at all",
    "joint": "by how much more colours change where segments meet than inside them (a*b* units)",
    "confidence": "1: the colours follow from a reference, 0: they are a guess",
}

# What each figure says of the squared error of the colours (a*b* units squared), and the error at
# which the score is ½. Fitted to the segments of the 135 runs of `tests.benchmarks.watch` (which
# prints a fit to whole runs) in the logarithm of the error, and rounded. Flicker and joint are kept
# a little above what the fit gives (0.1, 0): eyes mind them more than the error does.
_GREY, _FLICKER, _DRIFT, _BLEEDING, _JOINT, _DOUBT = 90.0, 0.2, 1.4, 200.0, 0.05, 40.0
_HALF = 100.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, and the film's frame that shows it at its worst."""

    value: float
    frame: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"colours whose figures are {self.value} are no colours")

    @classmethod
    def mean(
        cls,
        values: Sequence[float],
        frames: Sequence[int],
        worst: Callable[[Sequence[float]], float] = max,
    ) -> Figure:
        """Mean of `values`, one at least, each of one of `frames`."""
        frame = frames[list(values).index(worst(values))]
        return cls(sum(values) / len(values), frame)

    @classmethod
    def root_mean(cls, values: Sequence[float], frames: Sequence[int]) -> Figure:
        """As `mean`, root mean square."""
        squares = cls.mean([value * value for value in values], frames)
        return replace(squares, value=math.sqrt(squares.value))


@dataclass(frozen=True, slots=True)
class Quality:
    """Of the colours of some frames.

    Attributes:
        grey_leftover: share of the picture without colour, in [0, 1].
        flicker: change of colours from frame to frame where the picture's own motion is taken
            out: a*b* units, root mean square.
        drift: distance from the nearest reference's colours at the same lightness: a*b* units,
            root mean square.
        bleeding: how much of what borders of colour and of lightness have in common in the
            reference is lost, in [0, 1]: 0 as there, 1 nothing in common any more.
        joint: by how much more than inside a segment colours change where it meets its anchors:
            a*b* units.
        confidence: mean of the parts' own, in [0, 1].
    """

    grey_leftover: Figure
    flicker: Figure
    drift: Figure
    bleeding: Figure
    joint: Figure
    confidence: Figure

    @property
    def squared_error(self) -> float:
        """What the figures make of the colours' squared error, a*b* units squared."""
        return (
            _GREY * self.grey_leftover.value
            + _FLICKER * self.flicker.value**2
            + _DRIFT * self.drift.value**2
            + _BLEEDING * self.bleeding.value
            + _JOINT * self.joint.value**2
            + _DOUBT * (1 - self.confidence.value)
        )

    @property
    def score(self) -> float:
        """All of it in one number, in [0, 1]: 1 is best, ½ a squared error of `_HALF`."""
        return _HALF / (_HALF + self.squared_error)
