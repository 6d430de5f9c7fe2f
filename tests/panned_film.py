"""A grey film of pans over photographs, with something before the lens, and its true colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from colorize_core.evaluation.prepare import grey_of
from tests.benchmarks.propagation import write_grey

U8 = NDArray[np.uint8]
SIZE = (160, 90)
# Shots: a calm one whose middle is black, one that changes half-way, the first one's scene again.
SHOTS = ((0, 24), (24, 64), (64, 76))
SHOTS_CSV = "shot,start,end\n" + "".join(f"{i},{a},{b}\n" for i, (a, b) in enumerate(SHOTS, 1))
BLACK = range(10, 15)


def pan(name: str, start: float, end: float, frames: int) -> list[U8]:
    """A pan over a photograph, uint8 R'G'B'; `start` and `end` are places in [0, 1]."""
    rgb = getattr(data, name)()[..., :3]
    small = cv2.resize(rgb, (300, 200), interpolation=cv2.INTER_AREA)
    places = np.linspace(start, end, frames) * (300 - SIZE[0])
    return [
        np.asarray(cv2.getRectSubPix(small, SIZE, (x + SIZE[0] / 2, 90)), np.uint8) for x in places
    ]


def true_frames() -> list[U8]:
    frames = pan("astronaut", 0.2, 0.4, 24) + pan("coffee", 0, 0.2, 20)
    frames += pan("chelsea", 0.5, 0.7, 20) + pan("astronaut", 0.35, 0.45, 12)
    for i in BLACK:
        frames[i] = np.zeros_like(frames[i])
    return frames


def write_panned_film(folder: Path) -> list[U8]:
    """`film.mkv` and its `shots.csv` in `folder`; returns the true frames."""
    frames = true_frames()
    write_grey(folder / "film.mkv", [grey_of(frame) for frame in frames])
    (folder / "shots.csv").write_text(SHOTS_CSV)
    return frames
