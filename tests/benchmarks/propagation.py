"""Colours of one frame carried through a sequence: the command line against chained flow.

    python -m tests.benchmarks.propagation --sequences ../shared/footage/davis [--quick]
        [--references 3]

Each folder of `--sequences` holds ``frames/*.jpg``. A sequence is turned grey (8 bits, L* only),
the true colours of its middle frame are the only reference, and both ways go from file to file.
PSNR in R'G'B', float, range 255, mean over all other frames; CDC (TCVC) over all frames, 8 bits;
seconds after start-up. `--quick` takes 25 frames about the middle. With `--references 3` the first
and the last frame are references, too, for the command line alone: chained flow takes one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from colorize_core.engines.contract import F32
from colorize_core.evaluation.prepare import grey_of
from colorize_core.media.color import lab_of_pixels
from colorize_core.media.probe import scan
from colorize_core.media.rgb import master_frames
from colorize_core.quality.cdc import cdc, histogram
from colorize_core.quality.psnr import psnr
from tests.benchmarks.chained_flow import colorize_by_chained_flow

U8 = NDArray[np.uint8]
QUICK_FRAMES = 25
HEADER = f"{'':16s}    psnr chained    grey      cdc  chained  seconds chained  speed"
FORMATS = ("8.2f", "8.2f", "8.2f", "9.6f", "9.6f", "8.1f", "8.1f", "7.2f")


@dataclass(frozen=True)
class Figures:
    """Of one sequence. `speed` is in units of chained flow's."""

    psnr: float
    psnr_chained: float
    psnr_grey: float
    cdc: float
    cdc_chained: float
    seconds: float
    seconds_chained: float
    speed: float


def write_grey(path: Path, frames: Sequence[U8]) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = cast(VideoStream, container.add_stream("ffv1", rate=Fraction(24)))
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))


def read_rgb(path: Path) -> Iterator[F32]:
    """R'G'B' [0, 255] float32 ``[H, W, 3]`` of each frame of a master in 4:4:4."""
    return master_frames(str(path), scan(str(path)).info.tags)


def quality(path: Path, truth: Sequence[U8], shown: Collection[int]) -> tuple[float, float]:
    """PSNR over all frames but those `shown`, and CDC over all."""
    errors, histograms = [], []
    for i, (found, true) in enumerate(zip(read_rgb(path), truth, strict=True)):
        histograms.append(histogram(np.rint(found).astype(np.uint8)))
        if i not in shown:
            errors.append(psnr(found, true))
    return float(np.mean(errors)), float(cdc(histograms).mean())


def colorize(source: Path, stills: Mapping[int, Path], out: Path) -> float:
    """The real command line; seconds after start-up, by its own account."""
    command = [sys.executable, "-m", "flows.cli", "colorize", str(source), "-o", str(out), "--json"]
    for shown, still in stills.items():
        command += ["--reference", f"{still}@f{shown}"]
    command += ["--set", "merge=lab"]
    command += ["--work", str(out.parent / "work")]
    environment = {**os.environ, "PREFECT_HOME": str(out.parent / "prefect")}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if told.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{told.stderr}")
    return float(json.loads(told.stdout)["seconds"])


def measure(sequence: Path, quick: bool, references: int) -> Figures:
    truth = [np.asarray(Image.open(path)) for path in sorted(sequence.glob("frames/*.jpg"))]
    if quick:
        start = max(0, len(truth) // 2 - QUICK_FRAMES // 2)
        truth = truth[start : start + QUICK_FRAMES]
    middle = len(truth) // 2
    shown = [middle] if references == 1 else [0, middle, len(truth) - 1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "grey.mkv"
        stills = {frame: folder / f"still{frame}.png" for frame in shown}
        greys = [grey_of(frame) for frame in truth]
        write_grey(source, greys)
        for frame, still in stills.items():
            Image.fromarray(truth[frame]).save(still)
        theirs_s = colorize_by_chained_flow(
            source, lab_of_pixels(truth[middle]), middle, folder / "chained.mkv"
        )
        ours_s = colorize(source, stills, folder / "out.mkv")
        ours = quality(folder / "out.mkv", truth, shown)
        theirs = quality(folder / "chained.mkv", truth, shown)
    left_grey = [
        psnr(np.repeat(grey[..., None], 3, axis=2).astype(np.float32), true)
        for i, (grey, true) in enumerate(zip(greys, truth, strict=True))
        if i not in shown
    ]
    grey_psnr = float(np.mean(left_grey))
    speed = theirs_s / ours_s
    return Figures(ours[0], theirs[0], grey_psnr, ours[1], theirs[1], ours_s, theirs_s, speed)


def line(name: str, values: Sequence[float]) -> str:
    return f"{name:16s}" + "".join(
        f"{value:{form}}" for value, form in zip(values, FORMATS, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Propagation of colours.")
    parser.add_argument("--sequences", type=Path, required=True, help="folder of sequences")
    parser.add_argument("--quick", action="store_true", help="25 frames of each")
    parser.add_argument(
        "--references",
        type=int,
        choices=(1, 3),
        default=1,
        help="the middle frame, or both ends too",
    )
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.sequences.iterdir() if (path / "frames").is_dir())
    if not folders:
        raise SystemExit(f"no sequence (a folder with frames/*.jpg) in {arguments.sequences}")
    print(HEADER)
    found = []
    for folder in folders:
        found.append(measure(folder, arguments.quick, arguments.references))
        print(line(folder.name, astuple(found[-1])), flush=True)
    print(line("mean", np.mean([astuple(each) for each in found], axis=0).tolist()))


if __name__ == "__main__":
    main()
