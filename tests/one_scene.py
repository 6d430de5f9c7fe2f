"""A film of one scene in several shots, and its true colours in other lights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from colorize_core.config import load_config
from colorize_core.evaluation.prepare import grey_of
from colorize_core.request import FilmRequest
from tests.benchmarks.propagation import write_grey

U8 = NDArray[np.uint8]
Light = tuple[float, float, float]

SHOTS, FRAMES = 5, 6  # of each shot
WARM: Light = (1.35, 1.0, 0.7)
COOL: Light = (0.8, 1.0, 1.35)


def in_light(rgb: U8, light: Light) -> U8:
    """sRGB under gains of linear red, green and blue (von Kries), as bright on the whole."""
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    gains = np.array(light) / np.dot(light, (0.2126, 0.7152, 0.0722))
    linear = np.clip(linear * gains, 0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(value * 255).astype(np.uint8)


def true_frame(frame: int) -> U8:
    """A slow pan over a photograph, RGB ``[96, 144, 3]``; the cuts are in the shot list alone."""
    photograph = data.astronaut()
    part = photograph[60 + frame : 260 + frame, 40 + 2 * frame : 340 + 2 * frame]
    return np.asarray(cv2.resize(part, (144, 96), interpolation=cv2.INTER_AREA), np.uint8)


def middle(shot: int) -> int:
    """The middle frame of the shot with this number."""
    return (shot - 1) * FRAMES + FRAMES // 2


def lit(shot: int, lights: Mapping[int, Light]) -> U8:
    """The shot's middle frame, in its true colours or in the light that `lights` has for it."""
    return in_light(true_frame(middle(shot)), lights.get(shot, (1, 1, 1)))


def scene_request(
    folder: Path,
    *settings: str,
    lights: Mapping[int, Light],
    given: Collection[int] = range(1, SHOTS + 1),
    kept: int = 0,
) -> FilmRequest:
    """A request with a still (`lit`) for each shot in `given`; that of shot `kept` is named so that
    its tone stays."""
    source, stills = folder / "film.mkv", folder / "stills"
    stills.mkdir(exist_ok=True)
    for each in stills.iterdir():
        each.unlink()
    if not source.exists():  # written again it would be another film
        write_grey(source, [grey_of(true_frame(i)) for i in range(SHOTS * FRAMES)])
    for shot in given:
        keep = ".keep" if shot == kept else ""
        name = f"still{shot}{keep}@f{middle(shot)}.png"
        Image.fromarray(lit(shot, lights)).save(stills / name)
    lines = ["shot,start,end"]
    lines += [f"{i + 1},{i * FRAMES},{(i + 1) * FRAMES}" for i in range(SHOTS)]
    (folder / "shots.csv").write_text("\n".join(lines) + "\n")
    return FilmRequest(
        source=str(source),
        output=str(folder / "out.mkv"),
        work=str(folder / "work"),
        references_dir=str(stills) if given else None,
        shots=str(folder / "shots.csv"),
        config=load_config("exemplar", settings),
    )
