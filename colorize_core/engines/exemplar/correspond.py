"""Dense matching between two pictures: colours for a grey picture from another, coloured one.

Several maps from the target's pixels into the reference are tried (held in place, planar motions
of sparse matches, the nearest descriptors), each bent by optical flow; at every pixel the map
wins under which the warped reference looks most like the target, and how much alike the two look
there is the confidence. Where no map explains a pixel, the colours of look-alike places stand in.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import F32, Chroma, ColourStill
from colorize_core.engines.exemplar.features import describe
from colorize_core.engines.exemplar.keypoints import (
    is_plausible,
    keypoints,
    match,
    motions,
)
from colorize_core.engines.exemplar.lookup import (
    certainty,
    describe_cells,
    distances,
    grid_size,
    look_up,
)
from colorize_core.engines.exemplar.raster import (
    positions_in,
    resized,
    sampled,
    size_of,
    to_area,
    to_byte,
)
from colorize_core.engines.exemplar.smooth import guided_smooth

_KEYPOINTS = 1500
_MOST_MOTIONS = 3
_LEAST_OVERLAP = 0.2  # of the target, for tone curves to be compared
_TONE_KNOTS = (2, 10, 25, 50, 75, 90, 98)  # percentiles
_LEAST_INLIERS = 8
_SMALLEST_FLOW_PX = 16  # DIS fails on pictures smaller than its patches
_CELL_PX = 2  # side of the cells on which the warped reference is compared with the target
_HALF = 0.4  # descriptor distance at which half of the colours are right (measured on DAVIS)
_SMOOTH_RADIUS = 1  # cells of the look-up's grid
_SMOOTH_EPS = 20.0  # L*²


def transfer(target_lstar: F32, reference: ColourStill) -> Chroma:
    """Colours for a grey picture from a colour still of the same scene.

    The still may show another moment, another angle or another scale of it.

    Args:
        target_lstar: float32 ``[H, W]``, L* in [0, 100].
        reference: any size; it is brought to the target's number of pixels.

    Returns:
        At the target's size. The confidence is the chance that a colour is right (within about
        8 units of a*b*, measured on DAVIS); it is low where nothing in the still matches, and
        the colours there are those of the places that look most alike.
    """
    target = np.ascontiguousarray(target_lstar)
    lab = to_area(reference.lab, target.size)
    light, colours = np.ascontiguousarray(lab[..., 0]), np.ascontiguousarray(lab[..., 1:])
    planar = _planar(target, light)
    if planar:
        light = _in_tone_of(target, light, planar[0])
    distance = distances(describe_cells(target), describe_cells(light))

    held = positions_in(size_of(target), size_of(light))
    starts = [held, *planar, _nearest(target, light, distance)]
    maps = [_bend(start, target, light) for start in starts]
    aligned = _best_of(target, light, colours, maps)
    return _join(aligned, _look_alike(target, distance, colours, grid_size(light)))


def _look_alike(target: F32, distance: F32, colours: F32, cells: tuple[int, int]) -> Chroma:
    """Colours by likeness alone, smoothed along the edges of the target's cells."""
    columns, rows = grid_size(target)
    flat, sure = look_up(distance, resized(colours, cells).reshape(-1, 2))
    ab, confidence = flat.reshape(rows, columns, 2), sure.reshape(rows, columns)
    light = resized(target, (columns, rows))
    smooth = guided_smooth(ab, confidence, light, _SMOOTH_RADIUS, _SMOOTH_EPS)
    size = size_of(target)
    return Chroma(resized(smooth, size), resized(confidence, size))


def _join(aligned: Chroma, look_alike: Chroma) -> Chroma:
    """Aligned colours first; what they are not sure of is left to the look-alikes."""
    own = aligned.confidence
    other = look_alike.confidence * (1 - own)
    share = own / np.maximum(own + other, np.float32(1e-6))
    ab = look_alike.ab + (aligned.ab - look_alike.ab) * share[..., None]
    return Chroma(np.asarray(ab, np.float32), np.maximum(own, look_alike.confidence))


# -- maps: float32 [H, W, 2], for each pixel of the target x and y in the reference --------------


def _planar(target: F32, light: F32) -> list[F32]:
    ours, theirs = keypoints(target, _KEYPOINTS), keypoints(light, _KEYPOINTS)
    pairs = match(ours, theirs)
    found = motions(
        ours.points[pairs[:, 0]], theirs.points[pairs[:, 1]], _MOST_MOTIONS, _LEAST_INLIERS
    )
    size = size_of(target)
    pixels = positions_in(size, size)
    return [
        np.asarray(cv2.perspectiveTransform(pixels, motion.matrix), np.float32)
        for motion in found
        if is_plausible(motion, size)
    ]


def _in_tone_of(target: F32, light: F32, positions: F32) -> F32:
    """The reference's lightness on the target's tone curve: quantile for quantile where the map
    lets both show the same part of the scene. A coloured still often was graded otherwise."""
    inside = ~_outside(positions, light)
    if int(inside.sum()) < _LEAST_OVERLAP * inside.size:
        return light
    theirs = np.percentile(sampled(light, positions)[inside], _TONE_KNOTS)
    ours = np.percentile(target[inside], _TONE_KNOTS)
    curve = np.interp(light, [0, *theirs, 100], [0, *ours, 100])
    return np.asarray(curve, np.float32)


def _nearest(target: F32, light: F32, distance: F32) -> F32:
    """The nearest cell of the reference, its offset made smooth by a median."""
    columns, rows = grid_size(target)
    theirs = grid_size(light)
    y, x = np.divmod(distance.argmin(axis=1), theirs[0])
    cells = np.stack([x, y], axis=1).reshape(rows, columns, 2).astype(np.float32)
    scale = np.array([light.shape[1] / theirs[0], light.shape[0] / theirs[1]], np.float32)
    offset = (cells + np.float32(0.5)) * scale - np.float32(0.5)
    offset -= positions_in((columns, rows), size_of(light))
    smooth = cv2.merge([cv2.medianBlur(np.ascontiguousarray(offset[..., i]), 5) for i in (0, 1)])
    size = size_of(target)
    return positions_in(size, size_of(light)) + resized(np.asarray(smooth, np.float32), size)


def _bend(start: F32, target: F32, light: F32) -> F32:
    """The map after the optical flow that is left between the target and the warped reference."""
    if min(target.shape) < _SMALLEST_FLOW_PX:
        return start
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*target.shape, 2), np.float32)
    dis.calc(to_byte(target), to_byte(sampled(light, start)), flow)
    size = size_of(target)
    return sampled(start, positions_in(size, size) + flow)


def _best_of(target: F32, light: F32, colours: F32, maps: Sequence[F32]) -> Chroma:
    """At each pixel the colours under the map that explains it best."""
    size = size_of(target)
    grid = max(1, size[0] // _CELL_PX), max(1, size[1] // _CELL_PX)
    wanted = describe(target, *grid)
    least = np.full(target.shape, np.inf, np.float32)
    ab = np.zeros((*target.shape, 2), np.float32)
    for positions in maps:
        difference = describe(sampled(light, positions), *grid) - wanted
        cost = resized(np.einsum("hwd,hwd->hw", difference, difference), size)
        cost[_outside(positions, light)] = np.inf
        better = cost < least
        least[better] = cost[better]
        ab[better] = sampled(colours, positions)[better]
    return Chroma(ab, certainty(least, _HALF))


def _outside(positions: F32, light: F32) -> NDArray[np.bool_]:
    x, y = positions[..., 0], positions[..., 1]
    return (x < -1) | (y < -1) | (x > light.shape[1]) | (y > light.shape[0])
