"""What can be told of a segment's colours without the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, Chroma, ColourStill, GreyFrame
from colorize_core.engines.exemplar.dense_flow import DenseFlow
from colorize_core.engines.exemplar.raster import resized, sampled, size_of, to_byte
from colorize_core.engines.exemplar.settings import CarrySettings
from colorize_core.quality.figures import Figure, Quality
from colorize_core.quality.palette import Palette
from colorize_core.quality.warp_error import followed, squared_change, squared_length

_PIXELS = 25_600  # 213 × 120: the figures need no more, and cost by the pixel
_SAME_LIGHT = 6.0  # L* by which a place may change from frame to frame and count as followed
_COLOURLESS = 3.0  # a*b* units from the grey axis: less is not seen as a colour
_SHOWS_COLOUR = 5.0, 97.0  # L* between which a colour can be seen
_FLAT = 0.05  # a*b* a pixel: where borders of colour vary less than this there are none


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """What a still shows of how its shot should look. `bleeding`: its own, which is the content's
    and no fault."""

    palette: Palette
    bleeding: float

    @classmethod
    def of(cls, still: ColourStill) -> Standard:
        lab = resized(still.lab, _small(np.asarray(still.lab[..., 0])))
        lstar, ab = np.ascontiguousarray(lab[..., 0]), np.ascontiguousarray(lab[..., 1:])
        return cls(_palette(lstar, ab), _bleeding(lstar, ab))


def watch(
    frames: Sequence[GreyFrame],
    colours: Sequence[Chroma],
    owned: int,
    references: Sequence[Standard],
) -> Quality:
    """The figures of a segment.

    Args:
        frames: its grey frames, both anchors included. colours: of each of them, at their size.
        owned: how many of them, from the first on, are the segment's own.
        references: of the stills that its colours come from, one at least.
    """
    views = [_View.of(frame, chroma) for frame, chroma in zip(frames, colours, strict=True)]
    own = views[:owned]
    numbers = [view.number for view in own]
    drifts, bleeds = zip(*(_against(references, view) for view in own), strict=True)
    dis = DenseFlow(CarrySettings(flow_preset="fast"))
    changes = [_change(dis, before, after) for before, after in pairwise(views)]
    return Quality(
        grey_leftover=Figure.mean([_grey(view) for view in own], numbers),
        flicker=_flicker(changes, views),
        drift=Figure.root_mean(drifts, numbers),
        bleeding=Figure.mean(bleeds, numbers),
        joint=_joint(changes, views),
        confidence=Figure.mean([view.confidence for view in own], numbers, worst=min),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A frame and its colours, small. `byte`: its L* as uint8 [0, 255]."""

    number: int
    lstar: F32
    byte: NDArray[np.uint8]
    ab: F32
    confidence: float

    @classmethod
    def of(cls, frame: GreyFrame, chroma: Chroma) -> _View:
        size = _small(frame.lstar)
        lstar = resized(frame.lstar, size)
        ab = resized(chroma.ab, size)
        return cls(frame.frame, lstar, to_byte(lstar), ab, float(chroma.confidence.mean()))


def _small(plane: F32) -> tuple[int, int]:
    """The size at which a picture is looked at, never larger than its own."""
    width, height = size_of(plane)
    scale = min(1.0, math.sqrt(_PIXELS / (width * height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _palette(lstar: F32, ab: F32) -> Palette:
    return Palette.of(lstar[::2, ::2], ab[::2, ::2])


def _against(references: Sequence[Standard], view: _View) -> tuple[float, float]:
    """How far the colours are from the nearest reference's, and how much of what its borders of
    colour and of lightness have in common is lost."""
    palette = _palette(view.lstar, view.ab)
    drift, nearest = min(
        ((palette.drift_from(each.palette), each) for each in references),
        key=lambda found: found[0],
    )
    more = max(0.0, _bleeding(view.lstar, view.ab) - nearest.bleeding)
    return drift, more / max(1e-6, 1 - nearest.bleeding)


def _grey(view: _View) -> float:
    """Share without colour of what is neither black nor white."""
    dark, bright = _SHOWS_COLOUR
    shows = (view.lstar > dark) & (view.lstar < bright)
    grey = squared_length(view.ab) < _COLOURLESS**2
    return float((grey & shows).sum() / max(1, shows.sum()))


def _change(dis: DenseFlow, before: _View, after: _View) -> float:
    """Root mean square change of colours along the motion, where it can be followed."""
    there, seen = followed(dis, before.byte, after.byte)
    same = np.abs(before.lstar - sampled(after.lstar, there)) < _SAME_LIGHT
    return math.sqrt(squared_change(before.ab, after.ab, there, seen & same))


def _flicker(changes: Sequence[float], views: Sequence[_View]) -> Figure:
    """Of the changes inside the segment; where there are none, of those beside its anchors."""
    if not changes:
        return Figure(0.0, views[0].number)
    inner = slice(1, -1) if len(changes) > 2 else slice(None)
    return Figure.root_mean(changes[inner], [view.number for view in views[1:][inner]])


def _joint(changes: Sequence[float], views: Sequence[_View]) -> Figure:
    """By how much more than is usual inside the segment colours change beside an anchor."""
    if len(changes) < 3:
        return Figure(0.0, views[0].number)
    usual = float(np.median(changes[1:-1]))
    sides = [(changes[0], views[1].number), (changes[-1], views[-1].number)]
    change, number = max(sides)
    return Figure(max(0.0, change - usual), number)


def _bleeding(lstar: F32, ab: F32) -> float:
    """1 minus the correlation of how strong the borders of colours and of lightness are."""
    colour = np.sqrt(_border(ab[..., 0]) + _border(ab[..., 1]))
    light = np.sqrt(_border(lstar))
    spread = float(colour.std()), float(light.std())
    if min(spread) < _FLAT:
        return 0.0
    covariance = float((colour * light).mean() - colour.mean() * light.mean())
    return min(1.0, max(0.0, 1 - covariance / (spread[0] * spread[1])))


def _border(plane: NDArray[np.floating]) -> F32:
    """Length of the gradient for a pixel, float32 ``[H, W]``."""
    across, down = (cv2.Sobel(plane, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(cv2.magnitude(across, down), np.float32)
