"""A frame that was exported and coloured by hand is found again, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import pytest
from skimage import data

from colorize_core.engines.contract import F32, ColourStill, GreyFrame
from colorize_core.media.color import lab_to_srgb, srgb_to_lab
from colorize_core.references.locate import locate
from colorize_core.timebase import FrameSpan

FRAMES = 90
SIZE = (192, 108)


@cache
def grey_frame(frame: int) -> F32:
    """L* of a slow pan over one photograph, then a still camera on another; both with grain."""
    photograph = _photograph("astronaut" if frame < 60 else "coffee")
    left = frame if frame < 60 else 40
    part = cv2.cvtColor(photograph[60:276, left : left + 384], cv2.COLOR_RGB2GRAY)
    grain = np.random.default_rng(frame).normal(0, 3, (SIZE[1], SIZE[0]))
    luma = cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA) + grain
    grey = np.repeat(np.clip(luma, 0, 255).astype(np.float32)[..., None] / np.float32(255), 3, 2)
    return srgb_to_lab(grey)[..., 0].copy()


@cache
def _photograph(name: str) -> np.ndarray:
    return getattr(data, name)()


class Reader:
    """The film's frames, counted as they are read."""

    def __init__(self) -> None:
        self.read_frames = 0

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        for frame in span:
            self.read_frames += 1
            yield GreyFrame(frame, grey_frame(frame))


def thumbnails(block: int = 32) -> Iterator[np.ndarray]:
    small = [
        cv2.resize(grey_frame(i) * np.float32(2.55), (32, 18), interpolation=cv2.INTER_AREA)
        for i in range(FRAMES)
    ]
    for start in range(0, FRAMES, block):
        yield np.stack(small[start : start + block]).astype(np.uint8)


def coloured(frame: int) -> F32:
    """The frame with washes of colour on it."""
    lab = np.repeat(grey_frame(frame)[..., None], 3, axis=2)
    wash = np.random.default_rng(9).normal(0, 25, (4, 6, 2)).astype(np.float32)
    lab[..., 1:] = cv2.resize(wash, SIZE, interpolation=cv2.INTER_CUBIC)
    return srgb_to_lab(lab_to_srgb(lab))


def through_jpeg(lab: F32) -> F32:
    bgr = np.rint(lab_to_srgb(lab)[..., ::-1] * 255).astype(np.uint8)
    decoded = cv2.imdecode(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], 1)
    assert decoded is not None
    return srgb_to_lab(decoded[..., ::-1].astype(np.float32) / np.float32(255))


def regraded(lab: F32) -> F32:
    out = lab.copy()
    out[..., 0] = 100 * (lab[..., 0] / 100) ** np.float32(1.25)
    return out


def enlarged(lab: F32) -> F32:
    return np.asarray(cv2.resize(lab, (480, 270), interpolation=cv2.INTER_CUBIC), np.float32)


@pytest.mark.parametrize("change", [lambda lab: lab, through_jpeg, regraded, enlarged])
@pytest.mark.parametrize("frame", [0, 33, 75, FRAMES - 1])
def test_the_very_frame_is_found(change, frame: int) -> None:
    reader = Reader()
    (found,) = locate([ColourStill("still", change(coloured(frame)))], thumbnails(), reader)
    assert found.frame == frame
    assert found.digest == "still"
    assert reader.read_frames < FRAMES


def test_another_picture_is_not_a_frame() -> None:
    rgb = cv2.resize(data.chelsea(), SIZE, interpolation=cv2.INTER_AREA)
    other = ColourStill("cat", srgb_to_lab(rgb.astype(np.float32) / np.float32(255)))
    cropped = ColourStill("crop", enlarged(coloured(20)[20:90, 30:150]))
    assert [still.frame for still in locate([other, cropped], thumbnails(), Reader())] == [None] * 2


def test_a_given_frame_is_kept_and_nothing_read() -> None:
    reader = Reader()
    still = ColourStill("still", coloured(30), 12)
    assert locate([still], thumbnails(), reader) == (still,)
    assert reader.read_frames == 0


def test_black_frames_and_flat_stills_are_no_matter() -> None:
    flat = ColourStill("flat", np.full((20, 30, 3), 40, np.float32))
    black = iter([np.zeros((5, 18, 32), np.uint8)])
    assert locate([flat], black, Reader())[0].frame is None
