"""Anchors spaced by what happens in a shot, against the same number of anchors every K frames.

    python -m tests.benchmarks.anchors --sequences ../shared/footage/davis

Shots as in `tests.benchmarks.coverage`. Anchors have their true colours, as good as any part could
colour them one by one; part `flow` fills the segments. K of the even plan is chosen so that both
have about as many anchors over all shots. PSNR in R'G'B', float, range 255, mean over the frames
that are anchors in neither plan.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from colorize_core.anchor_spacing import change_of, density_of
from colorize_core.config import RunConfig
from colorize_core.engines.contract import F32
from colorize_core.film import THUMBNAIL_SIZE
from colorize_core.plan import plan_shot
from colorize_core.timebase import FrameSpan
from tests.benchmarks.coverage import Measured, Shot, shots_in


def adaptive(shot: Shot, config: RunConfig) -> tuple[tuple[int, ...], float]:
    """Anchors by the shot's change, and its mean."""
    span = FrameSpan(0, len(shot.frames))
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in shot.frames]
    small = [cv2.resize(grey, THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA) for grey in greys]
    change: F32 = change_of([np.asarray(small, np.uint8)])
    density = density_of(change, span, config)
    plan = plan_shot(1, span, config.anchor_interval, density=density)
    return plan.anchors, float(change[1:].mean())


def even(shots: Sequence[Shot], anchors: int) -> list[tuple[int, ...]]:
    """Anchors every K frames, for the K that gives as many as `anchors`, as nearly as one does."""
    plans = [
        [plan_shot(1, FrameSpan(0, len(shot.frames)), interval).anchors for shot in shots]
        for interval in range(4, 100)
    ]
    return min(plans, key=lambda plan: abs(sum(map(len, plan)) - anchors))


def errors(measured: Measured, anchors: Sequence[int]) -> dict[int, float]:
    colours = {anchor: measured.true_chroma(anchor) for anchor in anchors}
    return {
        frame: error
        for pair in pairwise(anchors)
        for frame, error in measured.filled(*pair, colours).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Anchors spaced by what happens.")
    parser.add_argument("--sequences", type=Path, required=True, help="folder of shots")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    shots = list(shots_in(arguments.sequences))
    found = [adaptive(shot, RunConfig()) for shot in shots]
    plans = even(shots, sum(len(anchors) for anchors, _ in found))
    print(f"{'':20s}frames  change  anchors  every K    PSNR  every K")
    rows = []
    for shot, (ours, change), theirs in zip(shots, found, plans, strict=True):
        measured = Measured(shot)
        first, second = errors(measured, ours), errors(measured, theirs)
        frames = sorted(first.keys() - {*ours, *theirs})
        rows += [(first[frame], second[frame]) for frame in frames]
        of_shot = np.mean(rows[-len(frames) :], axis=0)
        print(
            f"{shot.name:20.20s}{len(shot.frames):6d}{change:8.3f}{len(ours):9d}{len(theirs):9d}"
            f"{of_shot[0]:8.2f}{of_shot[1]:9.2f}",
            flush=True,
        )
    counts = sum(len(anchors) for anchors, _ in found), sum(map(len, plans))
    mean, low = np.mean(rows, axis=0), np.percentile(rows, 10, axis=0)
    print(f"{'all frames':34s}{counts[0]:9d}{counts[1]:9d}{mean[0]:8.2f}{mean[1]:9.2f}")
    print(f"{'tenth from below':52s}{low[0]:8.2f}{low[1]:9.2f}")


if __name__ == "__main__":
    main()
