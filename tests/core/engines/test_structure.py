"""The structure check: what a colouring may change passes, what it may not does not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from colorize_core.engines.contract import F32
from colorize_core.engines.diffusion.qwen.structure import likeness
from colorize_core.engines.diffusion.settings import QwenSettings
from colorize_core.media.color import srgb_to_lab

U8 = NDArray[np.uint8]
Change = Callable[[U8], NDArray[np.floating | np.integer]]

SIDE = 512
LEAST = QwenSettings().structure_threshold
PHOTOGRAPHS = ("astronaut", "coffee", "rocket", "camera")


def photograph(name: str) -> U8:
    picture = getattr(data, name)()
    picture = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def lstar(picture: NDArray[np.floating | np.integer]) -> F32:
    unit = np.clip(picture, 0, 255).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(srgb_to_lab(unit)[..., 0])


def toned(gamma: float) -> Change:
    return lambda picture: 255 * (picture / 255) ** gamma


def saturated(factor: float) -> Change:
    def change(picture: U8) -> NDArray[np.floating]:
        grey = picture.mean(axis=2, keepdims=True)
        return grey + (picture - grey) * factor

    return change


def as_jpeg(quality: int) -> Change:
    def change(picture: U8) -> U8:
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)

    return change


def moved(pixels: float) -> Change:
    matrix = np.array([[1, 0, pixels], [0, 1, 0]], np.float32)
    return lambda picture: np.asarray(
        cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    )


def bent(picture: U8) -> U8:
    """By up to 16 pixels, smoothly."""
    draws = np.random.default_rng(0).normal(size=(SIDE, SIDE, 2)).astype(np.float32)
    offsets = np.asarray(cv2.GaussianBlur(draws, (0, 0), 40), np.float32)
    offsets *= 16 / np.hypot(offsets[..., 0], offsets[..., 1]).max()
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    bent = cv2.remap(picture, x + offsets[..., 0], y + offsets[..., 1], cv2.INTER_LINEAR)
    return np.asarray(bent, np.uint8)


def cut(picture: U8) -> U8:
    """By 5 % at two sides."""
    return np.asarray(cv2.resize(picture[SIDE // 20 :, SIDE // 20 :], (SIDE, SIDE)), np.uint8)


def redrawn(picture: U8) -> U8:
    """A third of it shows other things."""
    found = picture.copy()
    inner = slice(SIDE // 5, 4 * SIDE // 5)
    found[inner, inner] = photograph("chelsea")[inner, inner]
    return found


HARMLESS: dict[str, Change] = {
    "nothing": lambda picture: picture,
    "lighter": toned(0.5),
    "darker": toned(1.8),
    "flatter": lambda picture: picture * 0.5 + 60,
    "brighter": lambda picture: picture + 40.0,
    "grey": saturated(0),
    "colourful": saturated(2),
    "jpeg": as_jpeg(20),
    "soft": lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5)),
    "half a pixel": moved(0.5),
}
HARMFUL: dict[str, Change] = {
    "three pixels": moved(3),
    "mirrored": lambda picture: picture[:, ::-1],
    "upside down": lambda picture: picture[::-1],
    "negative": lambda picture: 255 - picture,
    "cut": cut,
    "bent": bent,
    "another": lambda picture: photograph("chelsea"),
    "redrawn": redrawn,
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("change", HARMLESS)
def test_what_colouring_may_change_passes(name: str, change: str) -> None:
    picture = photograph(name)
    assert likeness(lstar(HARMLESS[change](picture)), lstar(picture)) >= LEAST + 0.1


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("change", HARMFUL)
def test_what_it_may_not_change_fails(name: str, change: str) -> None:
    picture = photograph(name)
    assert -1 <= likeness(lstar(HARMFUL[change](picture)), lstar(picture)) < LEAST


def test_film_grain_may_go() -> None:
    picture = photograph("astronaut")
    grain = np.random.default_rng(0).normal(0, 15, (SIDE, SIDE, 1))
    assert likeness(lstar(picture), lstar(picture + grain)) >= LEAST


def test_size_changes_little() -> None:
    """A picture of four times the pixels is judged at the same scale."""
    small, large = photograph("coffee"), cv2.resize(photograph("coffee"), (2 * SIDE, 2 * SIDE))
    found = [
        likeness(lstar(moved(3)(small)), lstar(small)),
        likeness(lstar(np.roll(large, 6, axis=1)), lstar(np.asarray(large))),
    ]
    assert found[0] == pytest.approx(found[1], abs=0.05)


def test_pictures_without_edges() -> None:
    flat, photo = np.full((SIDE, SIDE), 40, np.float32), lstar(photograph("astronaut"))
    assert likeness(flat + 10, flat) == pytest.approx(1)
    assert likeness(photo, flat) < 0.3
    assert likeness(flat, photo) < 0.3


def test_tiny_pictures() -> None:
    one = np.random.default_rng(0).uniform(0, 100, (6, 8)).astype(np.float32)
    assert likeness(one, one) == pytest.approx(1)
    assert likeness(one[:1, :1], one[:1, :1]) == pytest.approx(1)
