"""Which shots a person should look at, and why; and which hold their film back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from colorize_core.manifest.schema import ShotRow
from colorize_core.quality.figures import NAMES, Name
from colorize_core.quality.settings import QualitySettings

_WORDS: dict[Name, str] = {
    "grey_leftover": "is left grey in part",
    "flicker": "flickers",
    "drift": "leaves its reference's colours",
    "bleeding": "bleeds over edges",
    "joint": "jumps where segments meet",
    "confidence": "is not sure",
}


@dataclass(frozen=True, slots=True)
class Flag:
    """A figure of a shot that is past its threshold, `limit`, and the frame that shows it."""

    figure: Name
    value: float
    limit: float
    frame: int | None

    @property
    def excess(self) -> float:
        """How many times worse than the threshold it is, more than 1."""
        good, bad = sorted((self.value, self.limit))
        return bad / max(good, 1e-6)

    @property
    def words(self) -> str:
        """What is wrong, as a verb: ``flickers``."""
        return _WORDS[self.figure]

    def __str__(self) -> str:
        """``flickers at frame 121 (7.3, at most 3)``."""
        where = "" if self.frame is None else f" at frame {self.frame}"
        bound = "at least" if self.figure == "confidence" else "at most"
        return f"{self.words}{where} ({self.value:.2g}, {bound} {self.limit:g})"


def flags_of(shot: ShotRow, settings: QualitySettings) -> tuple[Flag, ...]:
    """What is past its threshold in a shot, worst first."""
    found = []
    for name in NAMES:
        value = getattr(shot, name)
        least = name == "confidence"
        limit = getattr(settings, f"least_{name}" if least else f"most_{name}")
        if value is not None and (value < limit if least else value > limit):
            found.append(Flag(name, value, limit, getattr(shot, f"{name}_frame")))
    return tuple(sorted(found, key=lambda flag: -flag.excess))


def held_shots(shots: Iterable[ShotRow], settings: QualitySettings) -> list[ShotRow]:
    """The coloured shots whose score is below what a film is published with, worst first."""
    low = [
        shot
        for shot in shots
        if shot.enabled and shot.score is not None and shot.score < settings.hold_below
    ]
    return sorted(low, key=_goodness)


def flagged_shots(shots: Iterable[ShotRow], settings: QualitySettings) -> list[ShotRow]:
    """The shots with a figure past its threshold, worst score first."""
    return sorted((shot for shot in shots if flags_of(shot, settings)), key=_goodness)


def _goodness(shot: ShotRow) -> tuple[float, int]:
    return 1.0 if shot.score is None else shot.score, shot.shot
