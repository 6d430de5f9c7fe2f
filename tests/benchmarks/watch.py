"""Do the figures that need no truth mean anything? Their rank correlation with the true loss.

    python -m tests.benchmarks.watch --sequences ../shared/footage/davis

Each folder of `--sequences` holds ``frames/*.jpg``; the 25 frames about the middle are one shot. It
is coloured in 27 ways (`watch_runs`) by the real parts, in process, and each is given its score as
a film's shots are. The true loss: PSNR (R'G'B', float, range 255, mean over all frames) of the
shot with its true colours at working size, less that of the run, both merged over the grey film's
L*. Spearman's rank correlation is with minus the score, so that 1 is best.

Printed, too: the same where the weights of the score are fitted to the other sequences only, and
each figure alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata

from colorize_core.engines.contract import F32
from colorize_core.media.color import lab_to_srgb
from colorize_core.quality.figures import NAMES
from colorize_core.quality.psnr import psnr
from colorize_core.quality.watch import Standard, watch
from colorize_core.upsample import upsample_chroma
from tests.benchmarks.watch_runs import Clip, Run, runs

F64 = NDArray[np.float64]
BAR = 0.6
LEAST_ERROR = 30.0  # a*b* squared: below it the fit does not care


@dataclass(frozen=True)
class Watched:
    """A run, what was found of it without the truth, and what is true. `figures`: means over its
    frames, in the order of `NAMES`. `error`: mean squared, a*b*."""

    sequence: str
    run: str
    score: float
    figures: tuple[float, ...]
    loss: float
    error: float


def look(sequence: Clip, run: Run, ceiling: float) -> Watched:
    standards = [Standard.of(still) for still in run.stills]
    found = [
        (watch(list(sequence.read_span(each.reads)), colours, len(each.span), standards), each)
        for each, colours in run.segments
    ]
    frames = [len(each.span) for _, each in found]
    values = [[getattr(quality, name).value for name in NAMES] for quality, _ in found]
    made = [chroma.ab for chroma in run.colours]
    errors = [np.square(a - b).sum(-1).mean() for a, b in zip(made, sequence.true, strict=True)]
    return Watched(
        sequence.name,
        run.name,
        float(np.average([quality.score for quality, _ in found], weights=frames)),
        tuple(np.average(values, axis=0, weights=frames).tolist()),
        ceiling - mean_psnr(sequence, made),
        float(np.mean(errors)),
    )


def mean_psnr(sequence: Clip, colours: Sequence[F32]) -> float:
    """Of the shot with these colours over its grey film's L*."""
    found = []
    for grey, lstar, ab, rgb in zip(
        sequence.greys, sequence.lstar, colours, sequence.rgb, strict=True
    ):
        full = upsample_chroma(ab, grey.lstar, lstar)
        found.append(psnr(lab_to_srgb(np.dstack([lstar, full])) * np.float32(255), rgb))
    return float(np.mean(found))


def rank(values: Sequence[float] | F64, found: Sequence[Watched]) -> float:
    """Spearman's rank correlation of `values`, large where bad, with the true loss; 0 where all
    are equal."""
    if np.ptp(values) == 0:
        return 0.0
    ranks = [rankdata(each) for each in (values, [each.loss for each in found])]
    return float(np.corrcoef(ranks)[0, 1])


def terms(found: Sequence[Watched]) -> F64:
    """What `Quality.squared_error` weighs, a row a run."""
    grey, flicker, drift, bleeding, joint, confidence = np.array([f.figures for f in found]).T
    return np.stack([grey, flicker**2, drift**2, bleeding, joint**2, 1 - confidence], axis=1)


def fitted(found: Sequence[Watched]) -> F64:
    """Non-negative weights of `terms` that foretell the logarithm of the squared error best."""
    each = terms(found)
    scale = each.mean(axis=0) + 1e-9
    error = np.log(np.array([f.error for f in found]) + LEAST_ERROR)

    def miss(logs: F64) -> float:
        told = each @ (np.exp(logs) / scale)
        return float(np.square(np.log(told + LEAST_ERROR) - error).sum())

    start = np.full(each.shape[1], 3.0)
    bounds = [(-6.0, 7.0)] * each.shape[1]
    return np.exp(minimize(miss, start, method="L-BFGS-B", bounds=bounds).x) / scale


def left_out(found: Sequence[Watched]) -> F64:
    """The errors of each sequence's runs, foretold with weights fitted to the other sequences."""
    told = np.zeros(len(found))
    for name in {each.sequence for each in found}:
        mine = np.array([each.sequence == name for each in found])
        others = [each for each in found if each.sequence != name]
        told[mine] = terms([each for each in found if each.sequence == name]) @ fitted(others)
    return told


def show(found: Sequence[Watched]) -> float:
    """Print the table; returns the overall rank correlation of the score."""
    names = sorted({each.sequence for each in found})
    columns = {
        "score": np.array([-each.score for each in found]),
        "weights left out": left_out(found),
        **{
            name: np.array([each.figures[i] for each in found])
            * (-1 if name == "confidence" else 1)
            for i, name in enumerate(NAMES)
        },
    }
    print(
        f"\n{'rank correlation':18s}{'all':>8s}{'mean':>8s}" + "".join(f"{n:>16s}" for n in names)
    )
    for title, values in columns.items():
        each = [
            rank(values[mine], [f for f, own in zip(found, mine, strict=True) if own])
            for name in names
            for mine in [np.array([f.sequence == name for f in found])]
        ]
        cells = "".join(f"{value:16.3f}" for value in each)
        print(f"{title:18s}{rank(values, found):8.3f}{np.mean(each):8.3f}{cells}")
    weights = dict(zip(NAMES, np.round(fitted(found), 2).tolist(), strict=True))
    print(f"\nfitted to all: {weights}")
    return rank(columns["score"], found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality without truth.")
    parser.add_argument("--sequences", type=Path, required=True, help="folder of sequences")
    parser.add_argument("--keep", type=Path, help="write the figures here, as JSON")
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.sequences.iterdir() if (path / "frames").is_dir())
    if len(folders) < 2:
        raise SystemExit(f"fewer than two sequences (frames/*.jpg) in {arguments.sequences}")
    cv2.setNumThreads(1)
    found: list[Watched] = []
    print(f"{'':36s}{'loss dB':>9s}{'score':>8s}  " + "  ".join(f"{n:>13s}" for n in NAMES))
    for folder, other in zip(folders, [*folders[1:], folders[0]], strict=True):
        sequence, foreign = Clip.read(folder), Clip.read(other)
        ceiling = mean_psnr(sequence, sequence.true)
        for run in runs(sequence, foreign):
            each = look(sequence, run, ceiling)
            found.append(each)
            cells = "  ".join(f"{value:13.3f}" for value in each.figures)
            print(f"{each.sequence:16s}{each.run:20s}{each.loss:9.2f}{each.score:8.3f}  {cells}")
    if arguments.keep:
        arguments.keep.write_text(json.dumps([asdict(each) for each in found]))
    overall = show(found)
    print(f"{len(found)} runs; score against true loss: {overall:.3f} (the bar is {BAR})")


if __name__ == "__main__":
    main()
