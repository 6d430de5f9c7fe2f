"""The tone of a colour still: a white balance, told from what another still shows of one scene.

A white balance is a gain of red and of blue light beside green's (von Kries). Ratios of channels at
places that both stills show give it, whatever lies there and however bright it is. On frames of
DAVIS under eight casts (gains, Bradford adaptation, 4000 to 9000 K, channel gammas, offsets of
a*b*) gains took 80 to 97 % of what a change of light did, an offset of a*b* 50 to 80 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from colorize_core.engines.contract import F32, ColourStill
from colorize_core.engines.exemplar.raster import outside, positions_in, sampled, size_of, to_area
from colorize_core.media.color import lab_of_light, light_of_lab
from colorize_core.references.likeness import (
    SceneKeypoints,
    local_structure,
    scene_keypoints,
    shared_motion,
    sureness,
)
from colorize_core.references.select import SAME_SCENE

VERSION = 1  # a change of what `in_tone` gives

_GREY = 60.0  # L* of the grey that a tone's shift is told by
_LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750], np.float32)  # Y of linear sRGB
_PIXELS = 25_600  # of the pictures whose colours are compared
_SAME_PLACE = 0.7  # `local_structure` from which two pixels show the same
# L*: places that differ by more are lit otherwise, and may differ in colour. So are scenes that do
# as a whole (median): 2.3 at most in DAVIS, 5.6 where a red lamp comes on in Tears of Steel.
_SAME_LIGHT, _SAME_LIGHT_ON_THE_WHOLE = 10.0, 4.0
_DARK, _BRIGHT = 0.01, 0.95  # of linear light: beyond, a channel is noise, or clipped
_LEAST_PIXELS = 300  # that two stills have to share
_LEAST_SHARE = 0.5  # of what a white balance moves, that has to bring two stills together
SEEN = 2.0  # a*b*, a shift that eyes notice (2.3 is a just noticeable difference of colours)


@dataclass(frozen=True, slots=True)
class Tone:
    """A white balance, or the step from one to another: log2 of the gains of linear red and blue
    light beside green's."""

    red: float
    blue: float

    @property
    def grey(self) -> tuple[float, float]:
        """a* and b* of a middle grey (L* 60) in this tone."""
        a, b = in_tone(np.array([[[_GREY, 0, 0]]], np.float32), self)[0, 0, 1:].tolist()
        return a, b

    @property
    def shift(self) -> float:
        """How far it moves a middle grey, in units of a*b*."""
        return math.hypot(*self.grey)

    def __neg__(self) -> Tone:
        return Tone(-self.red, -self.blue)

    def limited(self, most: float) -> Tone:
        """The same direction, with a shift of `most` at most; rounded, so that every machine finds
        the same."""
        share = 1.0
        while (shift := Tone(self.red * share, self.blue * share).shift) > most:
            share *= 0.999 * most / shift
        return Tone(round(self.red * share, 3), round(self.blue * share, 3))


def in_tone(lab: F32, tone: Tone) -> F32:
    """A picture with its white balance changed by `tone`: ``[H, W, 3]``, L*, a*, b*. Every pixel
    keeps its L*."""
    light = light_of_lab(lab)
    gains = np.array([2**tone.red, 1, 2**tone.blue], np.float32)
    balanced = light * gains
    luminance = np.maximum(balanced @ _LUMINANCE, np.float32(1e-6))
    balanced *= (light @ _LUMINANCE / luminance)[..., None]
    changed = lab_of_light(balanced)
    changed[..., 0] = lab[..., 0]
    return changed


@dataclass(frozen=True, slots=True, eq=False)
class SceneColours:
    """What tones are told from: a still's keypoints, and the still in small, L*a*b*."""

    keypoints: SceneKeypoints
    lab: F32

    @classmethod
    def of(cls, still: ColourStill) -> SceneColours:
        lstar = np.ascontiguousarray(still.lab[..., 0])
        return cls(scene_keypoints(lstar), to_area(still.lab, _PIXELS))


def tone_between(first: SceneColours, second: SceneColours) -> Tone | None:
    """The tone that `second` has beside `first`; None where they do not show the same scene in the
    same light, or differ in their colours otherwise than by a white balance."""
    motion = shared_motion(first.keypoints, second.keypoints)
    if motion is None or sureness(motion) < SAME_SCENE:
        return None
    ours, theirs = _shared(first, second, motion.matrix)
    lighter = theirs[:, 0] - ours[:, 0]
    lit_alike = np.abs(lighter) < _SAME_LIGHT
    if int(lit_alike.sum()) < _LEAST_PIXELS or abs(np.median(lighter)) > _SAME_LIGHT_ON_THE_WHOLE:
        return None
    ours, theirs = ours[lit_alike], theirs[lit_alike]
    red, blue = np.median(_ratios(theirs) - _ratios(ours), axis=0)
    tone = Tone(float(red), float(blue))
    return tone if tone.shift < SEEN or _explains(tone, ours, theirs) else None


def _shared(first: SceneColours, second: SceneColours, matrix: np.ndarray) -> tuple[F32, F32]:
    """The colours ``[N, 3]``, L*a*b*, of the places that both show, exposed well enough."""
    size, other = size_of(first.lab), size_of(second.lab)
    (_, large), (_, other_large) = first.keypoints, second.keypoints
    places = cv2.perspectiveTransform(positions_in(size, large), matrix)
    scale = np.array([other[0] / other_large[0], other[1] / other_large[1]])
    places = np.asarray((places + 0.5) * scale - 0.5, np.float32)
    seen = sampled(second.lab, places)
    both = ~outside(places, other)
    lstar, theirs = np.ascontiguousarray(first.lab[..., 0]), np.ascontiguousarray(seen[..., 0])
    both &= local_structure(lstar, theirs) > _SAME_PLACE
    both &= _is_exposed(first.lab) & _is_exposed(seen)
    return first.lab[both], seen[both]


def _is_exposed(lab: F32) -> np.ndarray:
    light = light_of_lab(lab)
    return (light.min(axis=2) > _DARK) & (light.max(axis=2) < _BRIGHT)


def _ratios(colours: F32) -> F32:
    """log2 of red and of blue beside green, ``[N, 2]``, of colours ``[N, 3]``."""
    light = np.log2(np.maximum(light_of_lab(colours[None])[0], np.float32(1e-4)))
    return light[:, [0, 2]] - light[:, 1:2]


def _explains(tone: Tone, ours: F32, theirs: F32) -> bool:
    """Whether taking `tone` out of `theirs` brings them nearer to `ours` by a good part of the way
    that it moves them: other paint on one thing moves much, and brings little together."""
    balanced = in_tone(theirs[None], -tone)[0]
    gained = _distance(theirs, ours) - _distance(balanced, ours)
    return gained >= _LEAST_SHARE * _distance(theirs, balanced)


def _distance(first: F32, second: F32) -> float:
    """Mean distance of a*b* of colours ``[N, 3]``."""
    return float(np.hypot(*(first - second)[:, 1:].T).mean())
