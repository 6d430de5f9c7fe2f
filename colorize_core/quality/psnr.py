"""PSNR of a frame (methods differ in the range and in what is averaged: both are said here)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from colorize_core.engines.contract import F32

PERFECT_DB = 100.0  # stands for the infinite PSNR of a frame without any error


def psnr(made: F32 | NDArray[np.uint8], true: NDArray[np.uint8]) -> float:
    """Of R'G'B' ``[H, W, 3]`` in 0 to 255, in dB: float, data range 255, one mean over all pixels
    and channels; `PERFECT_DB` at most."""
    truth = true.astype(np.float32)
    with np.errstate(divide="ignore"):
        found = peak_signal_noise_ratio(truth, made.astype(np.float32), data_range=255)
    return min(float(found), PERFECT_DB)
