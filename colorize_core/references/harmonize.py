"""One tone over the film: which stills of a scene are moved to which white balance.

Of a scene's tones the one counts that most of its shots agree on; stills that differ from it
visibly are moved there, the others are left as they are, to the bit. Nothing is averaged: a wrong
still does not move those that are right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colorize_core.references.tone import SEEN, SceneColours, Tone, tone_between

_LOOKED_AT = 60  # stills, the latest ones: films return to a place soon, and time is limited
_LINKS = 8  # differences that a still needs: each costs a hundredth of a second
_ROUNDS = 12  # of reweighting, after which tones move by less than a hundredth of what is seen
_LEAST_MISFIT = 0.01  # log2 of a gain: below it one difference is as good as another

F64 = NDArray[np.float64]
Differences = Mapping[tuple[int, int], Tone]
"""For pairs of stills (their indices, the smaller first) that show one scene, the tone that the
second has beside the first."""


@dataclass(frozen=True, slots=True)
class Served:
    """A still, by its digest, and the numbers of the shots that it serves. `fixed`: it sets the
    tone, and is not changed."""

    digest: str
    shots: tuple[int, ...]
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What brings a still to its scene's tone.

    Attributes:
        tone: what its white balance is changed by.
        wanted: the shift that would bring it all the way, in units of a*b* (`Tone.shift`).
        towards: the shots whose tone it comes to, ascending.
    """

    tone: Tone
    wanted: float
    towards: tuple[int, ...]


def find_differences(stills: Iterable[SceneColours]) -> Differences:
    """How the tones of stills of one scene differ. `stills`, in the order of the film, are used one
    at a time, and the latest sixty held."""
    found: dict[tuple[int, int], Tone] = {}
    latest: deque[tuple[int, SceneColours]] = deque(maxlen=_LOOKED_AT)
    for index, colours in enumerate(stills):
        links = 0
        for earlier, known in reversed(latest):
            if links < _LINKS and (tone := tone_between(known, colours)):
                found[earlier, index] = tone
                links += 1
        latest.append((index, colours))
    return found


def harmonize(stills: Sequence[Served], differences: Differences, most: float) -> dict[str, Move]:
    """The stills that are moved, by digest.

    Where a scene has fixed stills, each other one comes to the fixed one that is nearest in the
    film. Elsewhere the tone of the most shots counts: that from which the shots' tones are
    the least far away, all summed up; of two shots that differ, the earlier one's.

    Args:
        stills: in the order of the film.
        most: the largest shift that a still may be moved by, in units of a*b*.
    """
    moves: dict[str, Move] = {}
    for scene in _scenes(len(stills), differences):
        tones = _tones(scene, differences)
        members = [stills[i] for i in scene]
        for i, (target, towards) in _targets(members, tones):
            step = Tone(*(target - tones[i]).tolist())
            if (wanted := step.shift) >= SEEN:
                moves[members[i].digest] = Move(step.limited(most), wanted, towards)
    return moves


def _scenes(count: int, pairs: Differences) -> list[list[int]]:
    """Stills that hang together, of two and more."""
    leader = list(range(count))

    def lead(still: int) -> int:
        while leader[still] != still:
            still = leader[still]
        return still

    for pair in sorted(pairs):
        first, second = sorted(map(lead, pair))
        leader[second] = first
    found: dict[int, list[int]] = {}
    for still in range(count):
        found.setdefault(lead(still), []).append(still)
    return [members for members in found.values() if len(members) > 1]


def _tones(scene: Sequence[int], differences: Differences) -> F64:
    """Each still's tone beside the scene's first, ``[N, 2]``, that fits the differences best: with
    the least sum of misfits, not of their squares, so that a wrong one of them counts little."""
    place = {still: i for i, still in enumerate(scene)}
    pairs = [pair for pair in sorted(differences) if pair[0] in place]
    first = np.array([place[a] for a, _ in pairs])
    second = np.array([place[b] for _, b in pairs])
    step = np.array([[differences[pair].red, differences[pair].blue] for pair in pairs])
    tones = np.zeros((len(scene), 2))
    weight = np.ones(len(pairs))
    for _ in range(_ROUNDS):
        system = np.zeros((len(scene), len(scene)))
        wanted = np.zeros_like(tones)
        for here, there, sign in ((first, second, -1), (second, first, 1)):
            np.add.at(system, (here, here), weight)
            np.add.at(system, (here, there), -weight)
            np.add.at(wanted, here, sign * weight[:, None] * step)
        tones[1:] = np.linalg.solve(system[1:, 1:], wanted[1:])
        misfit = np.hypot(*(tones[second] - tones[first] - step).T)
        weight = 1 / np.maximum(misfit, _LEAST_MISFIT)
    return tones


def _targets(
    members: Sequence[Served], tones: F64
) -> Iterator[tuple[int, tuple[F64, tuple[int, ...]]]]:
    """Each member that may have to move, the tone that it comes to, and the shots that have it."""
    fixed = [i for i, member in enumerate(members) if member.fixed]
    if fixed:
        for i, member in enumerate(members):
            if not member.fixed:
                nearest = min(fixed, key=lambda each: _shots_between(member, members[each]))
                yield i, (tones[nearest], members[nearest].shots)
        return
    agreed = _agreed(members, tones)
    target = np.average(tones[agreed], axis=0, weights=[len(members[i].shots) for i in agreed])
    towards = tuple(sorted({shot for i in agreed for shot in members[i].shots}))
    for i in sorted(set(range(len(members))) - set(agreed)):
        yield i, (target, towards)


def _agreed(members: Sequence[Served], tones: F64) -> list[int]:
    """The stills whose tone is that of the most shots, to the eye."""
    middle = np.median(tones, axis=0)
    greys = np.array([Tone(*tone).grey for tone in (tones - middle).tolist()])
    apart = np.hypot(*np.moveaxis(greys[:, None] - greys[None], 2, 0))
    shots = np.array([len(member.shots) for member in members])
    best = int(np.argmin(np.round(apart @ shots, 6)))  # the earliest of equals
    return [i for i in range(len(members)) if apart[i, best] < SEEN]


def _shots_between(first: Served, second: Served) -> int:
    return min(abs(a - b) for a in first.shots for b in second.shots)
