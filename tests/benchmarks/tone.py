"""One tone over a film: the same scene in five shots, whose stills differ in white balance.

    python -m tests.benchmarks.tone [--sequence ../shared/footage/davis/blackswan …] [--quick]

A sequence (a folder with ``frames/*.jpg``; without one a slow pan over a photograph) is cut into
five shots, with a shot of another picture between each two. Each shot has one still, its middle
frame in true colours; those of the second and the fourth shot are in another light. The grey film
is colorized twice, with `tone.scope` off and all, from file to file (`merge=lab`).

A shot's *offset* is the mean of a*b* over its frames and pixels, less the truth's. *Between*: the
mean distance of the offsets of each two of the five shots, which a common tone makes small.
*Wrong*, *right*: the mean error of a*b* of the shots whose stills were in another light, and of the
others. *Moved*: how far `all` moved a right shot's colours at most (mean a*b* distance).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from colorize_core.config import load_config
from colorize_core.evaluation.prepare import grey_of
from colorize_core.local import colorize_film
from colorize_core.media.color import lab_of_pixels
from colorize_core.request import FilmRequest
from tests.benchmarks.propagation import read_rgb, write_grey
from tests.film import quiet
from tests.one_scene import COOL, FRAMES, SHOTS, U8, WARM, in_light, true_frame

BETWEEN = 4  # frames of the other picture
QUICK_FRAMES = 6  # of each shot
EVERY = 3  # frames of which one is measured
WRONG = (1, 3)  # shots of the scene, from 0

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_XYZ_OF_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def in_white(rgb: U8, x: float, y: float) -> U8:
    """sRGB under another white (its chromaticity), by Bradford's adaptation: not the model that
    tones are told by."""
    white = np.array([x / y, 1, (1 - x - y) / y])
    cones = _BRADFORD @ white / (_BRADFORD @ _XYZ_OF_RGB.sum(axis=1))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    matrix = np.linalg.inv(_XYZ_OF_RGB) @ adapted @ _XYZ_OF_RGB
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ matrix.T, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(value * 255).astype(np.uint8)


# What is done to the stills of the second and the fourth shot.
LIGHTS: Mapping[str, Sequence[Callable[[U8], U8]]] = {
    "gains, warm and cool": (lambda rgb: in_light(rgb, WARM), lambda rgb: in_light(rgb, COOL)),
    "4000 K and 9000 K": (
        lambda rgb: in_white(rgb, 0.3805, 0.3768),
        lambda rgb: in_white(rgb, 0.2869, 0.2956),
    ),
    "none": (lambda rgb: rgb, lambda rgb: rgb),
}


@dataclass(frozen=True, eq=False)
class MadeFilm:
    """`frames` in true colours; `shots` are ``[start, end)`` of all, `scene` those of the scene."""

    frames: Sequence[U8]
    shots: Sequence[tuple[int, int]]
    scene: Sequence[tuple[int, int]]


def cut(frames: Sequence[U8]) -> MadeFilm:
    """The scene in five shots, with shots of another picture between them."""
    height, width = frames[0].shape[:2]
    other = np.asarray(cv2.resize(data.coffee(), (width, height), interpolation=cv2.INTER_AREA))
    film, shots, scene = list[U8](), list[tuple[int, int]](), list[tuple[int, int]]()
    for part in np.array_split(np.arange(len(frames)), SHOTS):
        if film:
            shots.append((len(film), len(film) + BETWEEN))
            film += [other] * BETWEEN
        scene.append((len(film), len(film) + len(part)))
        shots.append(scene[-1])
        film += [frames[i] for i in part]
    return MadeFilm(film, shots, scene)


def request_for(folder: Path, film: MadeFilm, lights: Sequence[Callable[[U8], U8]]) -> FilmRequest:
    """The film and its stills as files; stills have no time."""
    write_grey(folder / "film.mkv", [grey_of(frame) for frame in film.frames])
    lines = [f"{i + 1},{start},{end}" for i, (start, end) in enumerate(film.shots)]
    (folder / "shots.csv").write_text("\n".join(["shot,start,end", *lines]) + "\n")
    (folder / "stills").mkdir()
    changed = dict(zip((film.scene[i] for i in WRONG), lights, strict=True))
    for start, end in film.shots:
        still = np.ascontiguousarray(film.frames[(start + end) // 2])
        light = changed.get((start, end))
        Image.fromarray(light(still) if light else still).save(folder / f"stills/{start:05d}.png")
    return FilmRequest(
        source=str(folder / "film.mkv"),
        output=str(folder / "out.mkv"),
        work=str(folder / "work"),
        references_dir=str(folder / "stills"),
        shots=str(folder / "shots.csv"),
    )


def colours_of(request: FilmRequest, scope: str, film: MadeFilm) -> list[NDArray[np.float32]]:
    """a*b* of frames of each shot of the scene, ``[frames, H, W, 2]``, as they come out."""
    config = load_config("exemplar", ["merge=lab", f"tone.scope={scope}"])
    summary = colorize_film(request.model_copy(update={"config": config}), quiet)
    assert summary.status == "published" and summary.output
    frames = [
        lab_of_pixels(np.rint(rgb).astype(np.uint8))[..., 1:]
        for rgb in read_rgb(Path(summary.output))
    ]
    return [np.stack(frames[start:end:EVERY]) for start, end in film.scene]


@dataclass(frozen=True)
class Figures:
    """Of one scope. See the module's text."""

    between: float
    wrong: float
    right: float


def figures(shots: Sequence[NDArray[np.float32]], truth: Sequence[NDArray[np.float32]]) -> Figures:
    errors = [found - true for found, true in zip(shots, truth, strict=True)]
    offsets = [error.reshape(-1, 2).mean(axis=0) for error in errors]
    between = [np.hypot(*(a - b)) for a, b in combinations(offsets, 2)]
    size = [float(np.hypot(*np.moveaxis(error, 3, 0)).mean()) for error in errors]
    right = [each for i, each in enumerate(size) if i not in WRONG]
    return Figures(
        float(np.mean(between)), float(np.mean([size[i] for i in WRONG])), float(np.mean(right))
    )


def measure(name: str, frames: Sequence[U8]) -> None:
    film = cut(frames)
    truth = [
        np.stack([lab_of_pixels(frame)[..., 1:] for frame in film.frames[start:end:EVERY]])
        for start, end in film.scene
    ]
    for light, changes in LIGHTS.items():
        with tempfile.TemporaryDirectory() as folder:
            request = request_for(Path(folder), film, changes)
            before = colours_of(request, "off", film)
            after = colours_of(request, "all", film)
        off, on = figures(before, truth), figures(after, truth)
        moved = max(
            float(np.hypot(*np.moveaxis(a - b, 3, 0)).mean())
            for i, (a, b) in enumerate(zip(after, before, strict=True))
            if i not in WRONG
        )
        fall = f"{100 * (1 - on.between / off.between):6.0f} %" if light != "none" else "       –"
        print(
            f"{name:16s} {light:22s} {off.between:7.2f} {on.between:7.2f} {fall}"
            f" {off.wrong:8.2f} {on.wrong:6.2f} {off.right:8.2f} {on.right:6.2f} {moved:7.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="One tone over a film.")
    parser.add_argument("--sequence", type=Path, nargs="+", default=[], help="folders of frames")
    parser.add_argument("--quick", action="store_true", help="few frames of each shot")
    arguments = parser.parse_args()
    print(
        f"{'':16s} {'':22s} between     all     fall    wrong    all    right    all   moved",
        flush=True,
    )
    if not arguments.sequence:
        measure("photograph", [true_frame(i) for i in range(SHOTS * FRAMES)])
    for sequence in arguments.sequence:
        paths = sorted(sequence.glob("frames/*.jpg"))
        if arguments.quick:
            chosen = np.linspace(0, len(paths) - 1, SHOTS * QUICK_FRAMES).round().astype(int)
            paths = [paths[i] for i in chosen]
        measure(sequence.name, [np.asarray(Image.open(path)) for path in paths])


if __name__ == "__main__":
    main()
