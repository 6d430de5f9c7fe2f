"""Which stills give which shot its colours: by the moment they show, or by what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from colorize_core.engines.contract import ColourStill, GreyFrame
from colorize_core.engines.exemplar.raster import resized, size_of
from colorize_core.references.likeness import same_scene, scene_keypoints, structure
from colorize_core.timebase import FrameSpan

SAME_SCENE = 0.5  # score from which a still of another moment or place serves a shot
_MOST_OTHERS = 2  # stills of other moments that a shot takes
_MOST_SAMPLES = 5  # frames of a shot that stills are compared with
_SAMPLE_STEP = 24  # frames between two samples, at least
_OTHER_FRAME = 0.5  # `structure` below which a still does not show the frame it is said to


@dataclass(frozen=True, slots=True)
class Pick:
    """A still that serves a shot. `frame` is the shot's frame that it shows, or None; `score` says
    in [0, 1] how surely it shows what the shot shows (1 for a frame of the shot)."""

    digest: str
    frame: int | None
    score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A shot's stills, best first (frames of the shot in order, then others), and why these."""

    shot: int
    references: tuple[Pick, ...]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ShotView:
    """What the choice sees of a shot. `samples` are the frames of `sample_frames`, iterated once
    and only where no still shows a frame of the shot: a generator spares the reading."""

    shot: int
    span: FrameSpan
    samples: Iterable[GreyFrame]


def sample_frames(span: FrameSpan) -> tuple[int, ...]:
    """Up to five frames of a shot, evenly spread, away from its ends."""
    count = min(_MOST_SAMPLES, max(1, len(span) // _SAMPLE_STEP))
    return tuple(span.start + len(span) * (2 * i + 1) // (2 * count) for i in range(count))


def choose(views: Iterable[ShotView], stills: Sequence[ColourStill]) -> tuple[Choice, ...]:
    """The stills of each shot, in the order of `views`.

    A still with a frame belongs to the shot that holds it. A shot without one takes the stills
    that show its scene, two at most; these may be frames of other shots. A shot that no still
    resembles takes none: grey is better than absurd colours.

    `views` are used one at a time. The result depends on nothing but the arguments.
    """
    by_digest = {still.digest: still for still in stills}
    scene = cache(lambda digest: scene_keypoints(by_digest[digest].lab[..., 0]))
    choices = []
    for view in views:
        own = sorted(
            {
                (still.frame, still.digest)
                for still in stills
                if still.frame is not None and still.frame in view.span
            }
        )
        if own:
            picks = tuple(Pick(digest, frame, 1.0) for frame, digest in own)
            choices.append(Choice(view.shot, picks, _reason_of_own(len(picks))))
            continue
        samples = [scene_keypoints(sample.lstar) for sample in view.samples]
        scores = sorted(
            (-max((same_scene(scene(digest), sample) for sample in samples), default=0.0), digest)
            for digest in by_digest
        )
        picks = tuple(
            Pick(digest, None, -score) for score, digest in scores if -score >= SAME_SCENE
        )[:_MOST_OTHERS]
        best = -scores[0][0] if scores else 0.0
        choices.append(Choice(view.shot, picks, _reason_of_others(len(picks), best)))
    return tuple(choices)


def misplaced(still: ColourStill, frame: GreyFrame) -> str | None:
    """A warning where a still obviously does not show the frame that it was given a time for."""
    alike = structure(resized(still.lab[..., 0], size_of(frame.lstar)), frame.lstar)
    if alike >= _OTHER_FRAME:
        return None
    return (
        f"The still given for frame {frame.frame} does not look like that frame "
        f"(likeness {max(alike, 0):.2f} of 1): check its time."
    )


def _reason_of_own(count: int) -> str:
    return "a still shows one of its frames" if count == 1 else f"{count} stills show its frames"


def _reason_of_others(count: int, best: float) -> str:
    if not count:
        return f"no still shows its scene (best likeness {best:.2f}, needed {SAME_SCENE:.2f})"
    return f"{'a still shows' if count == 1 else f'{count} stills show'} its scene ({best:.2f})"
