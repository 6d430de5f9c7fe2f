"""Which shots show the same place or people, so that stills made for them can agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from colorize_core.engines.contract import GreyFrame
from colorize_core.references.likeness import SceneKeypoints, same_scene, scene_keypoints
from colorize_core.references.select import SAME_SCENE

_LEADERS_LOOKED_AT = 60  # the latest ones: films return to a place soon, and time is limited


@dataclass(frozen=True, slots=True)
class Kin:
    """A shot and its leaders, the most alike first. A shot without leaders is one itself."""

    shot: int
    leaders: tuple[int, ...]


def find_kin(views: Iterable[tuple[int, GreyFrame]], most: int) -> tuple[Kin, ...]:
    """Each shot's leaders, `most` at most: earlier shots that show its scene and have no leader.

    So every still depends on stills of leaders alone: two rounds make all of them.

    Args:
        views: shot numbers with the frame that stands for each, in the film's order.
    """
    leaders: list[tuple[int, SceneKeypoints]] = []
    found = []
    for shot, frame in views:
        ours = scene_keypoints(frame.lstar)
        scores = sorted(
            (-same_scene(theirs, ours), number) for number, theirs in leaders[-_LEADERS_LOOKED_AT:]
        )
        kin = tuple(number for score, number in scores if -score >= SAME_SCENE)[:most]
        if not kin:
            leaders.append((shot, ours))
        found.append(Kin(shot, kin))
    return tuple(found)
