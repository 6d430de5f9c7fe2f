"""Which frames of a film a person should colour next, ranked by what their stills would bring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from colorize_core.references.coverage import Pick

_SERVES_DB = 0.5  # gain from which a still is said to serve another shot


@dataclass(frozen=True, slots=True)
class ShotNeeds:
    """What stills would bring to a shot.

    Attributes:
        frames: how many the shot has.
        has_db: mean gain over grey that stills from elsewhere bring already.
        picks: its best frames, each with what it brings beside those before it and the shot's own
            stills.
        is_open: no still shows one of its frames, so that a still of a kindred shot serves it.
        to_kin: by number of a kindred shot, the gain over grey that the first pick brings there.
    """

    shot: int
    frames: int
    has_db: float
    picks: tuple[Pick, ...]
    is_open: bool
    to_kin: Mapping[int, float] = field(default_factory=dict[int, float])


@dataclass(frozen=True, slots=True)
class Ranked:
    """A frame worth colouring.

    Attributes:
        gain_db: what its still brings to its shot, a mean over the shot's frames.
        film_gain_db: what it brings to the film, a mean over all its frames, kindred shots counted.
        serves: numbers of kindred shots that it serves as well.
    """

    shot: int
    frame: int
    gain_db: float
    film_gain_db: float
    serves: tuple[int, ...]


def rank(
    needs: Sequence[ShotNeeds], film_frames: int, count: int, least_db: float = 0.0
) -> tuple[Ranked, ...]:
    """The `count` frames worth most, each valued beside those before it (greedily: what stills
    bring together grows ever slower, so no other order is much better); none that brings less than
    `least_db` to its shot and serves no other.

    A still of a shot serves its kindred shots as long as they have none of their own.
    """
    by_shot = {each.shot: each for each in needs}
    has = {each.shot: each.has_db for each in needs}
    is_open = {each.shot: each.is_open for each in needs}
    # The next still of a shot brings no more than the last one did, whatever a kindred one brought.
    most = {each.shot: math.inf for each in needs}
    left = {each.shot: list(each.picks) for each in needs}
    ranked: list[Ranked] = []

    def value(shot: int) -> Ranked:
        need, pick = by_shot[shot], left[shot][0]
        own = max(0.0, pick.gain_db - has[shot]) if is_open[shot] else pick.gain_db
        own = min(own, most[shot])
        kin = need.to_kin if pick is need.picks[0] else {}
        more = {other: gain - has[other] for other, gain in kin.items() if is_open[other]}
        served = {other: gain for other, gain in more.items() if gain >= _SERVES_DB}
        total = own * need.frames + sum(by_shot[other].frames * served[other] for other in served)
        return Ranked(shot, pick.frame, own, total / film_frames, tuple(sorted(served)))

    while len(ranked) < count:
        values = [value(shot) for shot in left if left[shot]]
        worth = [each for each in values if each.gain_db > least_db or each.serves]
        if not worth:
            break
        best = max(worth, key=lambda each: (each.film_gain_db, -each.shot))
        ranked.append(best)
        left[best.shot].pop(0)
        is_open[best.shot], most[best.shot] = False, best.gain_db
        for other in best.serves:
            has[other] = max(has[other], by_shot[best.shot].to_kin[other])
    return tuple(ranked)
