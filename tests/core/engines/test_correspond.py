"""Colours from another picture: right where the scene is the same, and unsure where it is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from colorize_core.engines.contract import F32, ColourStill
from colorize_core.engines.exemplar.correspond import transfer
from colorize_core.media.color import lab_to_srgb, srgb_to_lab


def photograph(name: str) -> F32:
    """A photograph of scikit-image's wheel, L*a*b* float32 [H, W, 3]."""
    return srgb_to_lab(getattr(data, name)().astype(np.float32) / np.float32(255))


def view(lab: F32, turn_deg: float, zoom: float, shift: tuple[float, float]) -> F32:
    """A camera's view of a picture, 320 x 200."""
    height, width = lab.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 + shift[0], height / 2 + shift[1]), turn_deg, zoom)
    matrix[:, 2] += (160 - width / 2 - shift[0], 100 - height / 2 - shift[1])
    seen = cv2.warpAffine(lab, matrix, (320, 200), flags=cv2.INTER_AREA)
    return np.asarray(seen, np.float32)


def psnr_db(lab: F32, ab: F32) -> float:
    """Of L* with `ab`, against the true picture, in RGB."""
    made = lab_to_srgb(np.concatenate([lab[..., :1], ab], axis=2))
    return float(-10 * np.log10(np.mean((made - lab_to_srgb(lab)) ** 2)))


def mean_colour(lab: F32, of: F32) -> F32:
    return np.broadcast_to(of[..., 1:].mean(axis=(0, 1)), (*lab.shape[:2], 2)).astype(np.float32)


def regraded(lab: F32) -> F32:
    """The same picture on another tone curve."""
    out = lab.copy()
    out[..., 0] = 100 * (lab[..., 0] / 100) ** np.float32(1.3)
    return out


@pytest.fixture(scope="module")
def target() -> F32:
    return view(photograph("astronaut"), 0, 0.75, (0, 0))


@pytest.fixture(scope="module")
def reference() -> ColourStill:
    """The target's scene nearer, turned, moved and graded otherwise."""
    return ColourStill("still", regraded(view(photograph("astronaut"), 8, 0.9, (30, 20))))


def test_another_view_gives_the_colours(target: F32, reference: ColourStill) -> None:
    made = transfer(target[..., 0], reference)
    assert made.ab.shape == (200, 320, 2)
    assert made.confidence.min() >= 0
    assert made.confidence.max() <= 1
    held = np.ascontiguousarray(reference.lab[..., 1:])
    rivals = (np.zeros_like(made.ab), mean_colour(target, reference.lab), held)
    assert psnr_db(target, made.ab) > max(psnr_db(target, ab) for ab in rivals) + 3


def test_confidence_is_honest(target: F32, reference: ColourStill) -> None:
    made = transfer(target[..., 0], reference)
    error = np.linalg.norm(made.ab - target[..., 1:], axis=2)
    sure, unsure = made.confidence > 0.9, made.confidence < 0.6
    assert np.mean(error[sure] < 8) > 0.85
    assert error[unsure].mean() > 1.5 * error[sure].mean()


def test_an_unrelated_picture_is_doubted(target: F32, reference: ColourStill) -> None:
    unrelated = ColourStill("other", view(photograph("coffee"), 0, 0.7, (0, 0)))
    own, other = (transfer(target[..., 0], still).confidence for still in (reference, unrelated))
    assert other.mean() < 0.7 * own.mean()


def test_the_same_every_time(target: F32, reference: ColourStill) -> None:
    first = transfer(target[..., 0], reference)
    cv2.setRNGSeed(7)
    again = transfer(target[..., 0], reference)
    assert first.ab.tobytes() == again.ab.tobytes()
    assert first.confidence.tobytes() == again.confidence.tobytes()


@pytest.mark.parametrize("target_size", [(1, 1), (2, 3), (12, 400), (33, 47)])
@pytest.mark.parametrize("reference_size", [(1, 1), (90, 9), (40, 50)])
def test_any_two_sizes_work(target_size: tuple[int, int], reference_size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for flat in (True, False):
        lstar = np.full(target_size, 40, np.float32)
        lab = np.full((*reference_size, 3), 40, np.float32)
        if not flat:
            lstar += rng.normal(0, 20, lstar.shape).astype(np.float32)
            lab += rng.normal(0, 20, lab.shape).astype(np.float32)
        made = transfer(lstar, ColourStill("still", lab))
        assert np.isfinite(made.ab).all()
        assert 0 <= made.confidence.min() <= made.confidence.max() <= 1


@pytest.mark.footage
def test_real_frames_thirty_frames_apart(footage: Path) -> None:
    """Five DAVIS sequences, the middle frame as the still: 29.6 dB (grey 22.8, mean 24.4)."""
    figures = []
    for folder in sorted((footage / "davis").iterdir()):
        names = sorted((folder / "frames").glob("*.jpg"))
        middle = len(names) // 2
        still, frame = (_small(names[i]) for i in (middle, min(middle + 30, len(names) - 1)))
        made = transfer(frame[..., 0], ColourStill("still", still))
        figures.append(psnr_db(frame, made.ab))
    assert np.mean(figures) > 29.3


def _small(path: Path) -> F32:
    bgr = cv2.imread(str(path))
    assert bgr is not None
    small = cv2.resize(bgr, (427, 240), interpolation=cv2.INTER_AREA)
    return srgb_to_lab(small[..., ::-1].astype(np.float32) / np.float32(255))
