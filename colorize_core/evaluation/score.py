"""A clip's result against the truth, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from skimage.metrics import structural_similarity

from colorize_core.engines.contract import F32
from colorize_core.errors import FramesLost
from colorize_core.evaluation.dataset import Clip
from colorize_core.evaluation.perceptual import Perceptual
from colorize_core.media.color import lab_of_pixels
from colorize_core.media.rgb import master_frames
from colorize_core.media.source import ColourTags
from colorize_core.quality.cdc import LEAST_FRAMES, cdc, histogram
from colorize_core.quality.colorfulness import colorfulness
from colorize_core.quality.psnr import psnr
from colorize_core.quality.warp_error import warp_error

_FEATURES_AT_ONCE = 16

U8 = NDArray[np.uint8]


class Scores(BaseModel):
    """One clip. `psnr_by_frame` has every frame, those that do not count, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    counted: int
    psnr: float = Field(description="dB, data range 255, mean over the frames that count.")
    ssim: float
    lpips: float | None
    cdc: tuple[float, float, float] | None
    colorfulness: float
    colorfulness_absolute: float
    true_colorfulness: float
    warp_error: float | None
    psnr_by_frame: tuple[float, ...]


class _Sums:
    """What is added up over a clip's frames."""

    def __init__(self) -> None:
        self.psnr: list[float] = []
        self.ssim: list[float] = []
        self.lpips: list[float] = []
        self.colour: list[float] = []
        self.absolute: list[float] = []
        self.true_colour: list[float] = []
        self.warp: list[float] = []
        self.histograms: list[NDArray[np.float64]] = []


def score(
    clip: Clip,
    result: str,
    tags: ColourTags,
    given: Collection[int],
    measures: Perceptual,
    features: Features,
    progress: Callable[[int], None] = lambda frames: None,
) -> Scores:
    """Compare the master `result` of a clip with its true colours. Frames in `given` do not count
    for what compares with the truth. `features` is given every frame.

    Raises:
        FramesLost: the result has not the clip's frames: such a clip has no score.
        SourceError, StorageError.
    """
    sums = _Sums()
    before: tuple[F32, U8] | None = None
    for index, (made, true) in enumerate(zip_longest(master_frames(result, tags), clip.read())):
        if made is None or true is None or made.shape != true.shape:
            raise FramesLost(
                f"{clip.name}: its result and its true frames differ in number or size at frame "
                f"{index}.",
                "Delete the result, and run the same command again.",
            )
        eight = np.rint(np.clip(made, 0, 255)).astype(np.uint8)
        counts = index not in given
        _add(sums, made, eight, true, counts, measures)
        features.add(eight, true)
        now = _chroma(eight), _grey(true)
        if before is not None and counts:
            sums.warp.append(warp_error(before[0], now[0], before[1], now[1]))
        before = now
        progress(index + 1)
    return _scores(sums, given)


def _add(
    sums: _Sums,
    made: F32,
    eight: U8,
    true: U8,
    counts: bool,
    measures: Perceptual,
) -> None:
    sums.psnr.append(psnr(made, true))
    sums.histograms.append(histogram(eight))
    sums.colour.append(colorfulness(eight))
    sums.absolute.append(colorfulness(eight, absolute=True))
    sums.true_colour.append(colorfulness(true))
    if counts:
        truth = true.astype(np.float32)
        ssim = structural_similarity(truth, made, data_range=255, channel_axis=2)
        sums.ssim.append(float(np.asarray(ssim)))
        if measures.distance is not None:
            sums.lpips.append(measures.distance(eight, true))


class Features:
    """Inception features of a clip's result and truth, a few frames at a time. `rows` of both
    after `finish`: float64 ``[frames, 2048]``; None where they cannot be computed."""

    def __init__(self, measures: Perceptual) -> None:
        self._of = measures.features
        self._waiting: tuple[list[U8], list[U8]] = ([], [])
        self._rows: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])

    def add(self, made: U8, true: U8) -> None:
        self._waiting[0].append(made)
        self._waiting[1].append(true)
        if len(self._waiting[0]) == _FEATURES_AT_ONCE:
            self._compute()

    def finish(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        self._compute()
        if self._of is None:
            return None
        return np.concatenate(self._rows[0]), np.concatenate(self._rows[1])

    def _compute(self) -> None:
        for waiting, rows in zip(self._waiting, self._rows, strict=True):
            if waiting and self._of is not None:
                rows.append(self._of(waiting))
            waiting.clear()


def _scores(sums: _Sums, given: Collection[int]) -> Scores:
    counted = [db for index, db in enumerate(sums.psnr) if index not in given] or sums.psnr
    channels = cdc(sums.histograms) if len(sums.histograms) >= LEAST_FRAMES else None
    return Scores(
        frames=len(sums.psnr),
        counted=len(counted),
        psnr=_mean(counted) or 0.0,
        ssim=_mean(sums.ssim) or 0.0,
        lpips=_mean(sums.lpips),
        cdc=None if channels is None else (channels[0], channels[1], channels[2]),
        colorfulness=_mean(sums.colour) or 0.0,
        colorfulness_absolute=_mean(sums.absolute) or 0.0,
        true_colorfulness=_mean(sums.true_colour) or 0.0,
        warp_error=_mean(sums.warp),
        psnr_by_frame=tuple(sums.psnr),
    )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _chroma(rgb: U8) -> F32:
    return lab_of_pixels(rgb)[..., 1:]


def _grey(rgb: U8) -> U8:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(rgb.astype(np.float32) @ weights).astype(np.uint8)
