"""What the demo film shows and plays: photographs under camera moves, grain, fades, and chords.

The photographs come with scikit-image: its wheel carries them, nothing is downloaded.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import accumulate

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colorize_core.errors import InputError

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

WIDTH, HEIGHT, RATE = 640, 360, 24
FADE_FRAMES = 12
GRAIN_STD = 2.0  # code values of 255
SAMPLE_RATE = 48_000


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the camera looks: centre (x, y) and width of the view as fractions of the photograph's
    width and height, roll in degrees; `parallax`: fraction of the way to the right stereo view."""

    x: float
    y: float
    width: float
    roll: float = 0.0
    parallax: float = 0.0

    def towards(self, other: Pose, share: float) -> Pose:
        def mix(a: float, b: float) -> float:
            return a + share * (b - a)

        return Pose(
            mix(self.x, other.x),
            mix(self.y, other.y),
            mix(self.width, other.width),
            mix(self.roll, other.roll),
            mix(self.parallax, other.parallax),
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """One shot: a photograph, a camera move over it, and the root of its chord in hertz."""

    name: str
    photograph: str
    frames: int
    start: Pose
    end: Pose
    root_hz: float
    fades_in: bool = False
    fades_out: bool = False


SCENES = (
    Scene("astronaut", "astronaut.png", 48, Pose(0.50, 0.30, 0.95), Pose(0.42, 0.34, 0.72), 220.0),
    Scene("cat", "chelsea.png", 44, Pose(0.46, 0.48, 0.70, -2), Pose(0.55, 0.45, 0.82, 3), 261.6),
    Scene(
        "coffee",
        "coffee.png",
        52,
        Pose(0.46, 0.52, 0.80),
        Pose(0.54, 0.48, 0.66, 4),
        196.0,
        fades_out=True,
    ),
    Scene(
        "rocket",
        "rocket.jpg",
        50,
        Pose(0.5, 0.62, 0.75),
        Pose(0.5, 0.40, 0.75),
        146.8,
        fades_in=True,
    ),
    Scene(
        "motorcycle",
        "motorcycle_left.png",
        46,
        Pose(0.47, 0.53, 0.76, 0, -0.15),
        Pose(0.53, 0.50, 0.76, 0, 0.15),
        174.6,
    ),
)
SHOT_STARTS = tuple(accumulate((scene.frames for scene in SCENES[:-1]), initial=0))
FRAMES = sum(scene.frames for scene in SCENES)


# -- the picture -----------------------------------------------------------------------------


def pictures() -> Iterator[U8]:
    """Every frame in true colour, uint8 ``[360, 640, 3]`` R'G'B'."""
    frame = 0
    for scene in SCENES:
        photograph = _photograph(scene.photograph)
        nearness = _nearness() if scene.start.parallax or scene.end.parallax else None
        for step in range(scene.frames):
            share = step / (scene.frames - 1)
            eased = 0.5 - 0.5 * math.cos(math.pi * share)
            view = _view(photograph, nearness, scene.start.towards(scene.end, eased))
            yield _grained(view * _brightness(scene, step), frame)
            frame += 1


def _photograph(name: str) -> F32:
    """A photograph of scikit-image, float32 ``[H, W, 3]`` R'G'B' in [0, 255]."""
    with Image.open(io.BytesIO(_skimage_data(name))) as picture:
        return np.asarray(picture.convert("RGB"), np.float32)


def _nearness() -> F32:
    """Stereo disparity of the motorcycle in pixels, around its median, holes filled, smoothed."""
    stored = io.BytesIO(_skimage_data("motorcycle_disp.npz"))
    with np.load(stored, allow_pickle=False) as arrays:
        disparity = arrays["arr_0"].astype(np.float32)
    known = np.isfinite(disparity)
    middle = float(np.median(disparity[known]))
    around = np.where(known, disparity - middle, 0).astype(np.float32)
    return cv2.GaussianBlur(around, (0, 0), 4).astype(np.float32)


def _skimage_data(name: str) -> bytes:
    try:
        return (files("skimage") / "data" / name).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise InputError(
            f"The demo needs {name} of scikit-image, which is not installed.",
            "Install it: pip install scikit-image",
        ) from error


def _view(photograph: F32, nearness: F32 | None, pose: Pose) -> F32:
    """What the camera sees, float32 ``[360, 640, 3]`` in [0, 255], sampled between pixels."""
    tall, wide = photograph.shape[:2]
    scale = pose.width * wide / WIDTH
    roll = math.radians(pose.roll)
    x = (np.arange(WIDTH, dtype=np.float32) - (WIDTH - 1) / 2) * scale
    y = (np.arange(HEIGHT, dtype=np.float32)[:, None] - (HEIGHT - 1) / 2) * scale
    map_x = (pose.x * wide + math.cos(roll) * x - math.sin(roll) * y).astype(np.float32)
    map_y = (pose.y * tall + math.sin(roll) * x + math.cos(roll) * y).astype(np.float32)
    if nearness is not None:
        map_x = map_x + pose.parallax * cv2.remap(nearness, map_x, map_y, cv2.INTER_LINEAR)
    seen = cv2.remap(photograph, map_x, map_y, cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT_101)
    return np.clip(seen, 0, 255, dtype=np.float32)


def _brightness(scene: Scene, step: int) -> float:
    """1, or less in a fade: the last frame of a fade-out and the first of a fade-in are black."""
    brightness = 1.0
    if scene.fades_in:
        brightness = min(brightness, step / FADE_FRAMES)
    if scene.fades_out:
        brightness = min(brightness, (scene.frames - 1 - step) / FADE_FRAMES)
    return brightness


def _grained(picture: F32, frame: int) -> U8:
    """The picture with neutral grain, a little wider than one pixel, like a scanned negative's."""
    noise = np.random.default_rng(frame).standard_normal((HEIGHT, WIDTH), np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 0.7)
    grain = soft * (GRAIN_STD / float(soft.std()))
    return np.clip(np.rint(picture + grain[..., None]), 0, 255).astype(np.uint8)


# -- the sound -------------------------------------------------------------------------------


def sound(frame: int) -> F32:
    """The samples of one frame, float32 ``[2, 2000]``: a soft major chord for each shot."""
    shot = max(i for i, start in enumerate(SHOT_STARTS) if start <= frame)
    count = SAMPLE_RATE // RATE
    step = frame - SHOT_STARTS[shot]
    seconds = (np.arange(count) + step * count) / SAMPLE_RATE
    left_s = SCENES[shot].frames / RATE - seconds
    level = 0.08 * np.clip(np.minimum(seconds, left_s) / 0.15, 0, 1)  # no clicks at the cuts
    tones = [
        np.sin(2 * np.pi * SCENES[shot].root_hz * ratio * seconds) for ratio in (1, 5 / 4, 3 / 2)
    ]
    left, right = tones[0] + tones[1], tones[0] + tones[2]
    return (np.stack([left, right]) * level).astype(np.float32)
