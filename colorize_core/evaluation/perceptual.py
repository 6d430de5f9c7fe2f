"""LPIPS and FID, by the libraries that published figures come from, where these and their weights
are on the machine. Nothing is downloaded, and nothing stands in for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"
FID_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
GET_LIBRARIES = "pip install 'kinecolor[metrics]'"
GET_LPIPS = "python -c \"import lpips; lpips.LPIPS(net='alex')\""
GET_FID = (
    "python -c \"import torch_fidelity as f; f.create_feature_extractor('inception-v3-compat', "
    "['2048'])\""
)


@dataclass(frozen=True, slots=True)
class Perceptual:
    """What can be computed here. `distance`: LPIPS of two frames; `features`: Inception features
    of frames, ``[N, 2048]``. Where one is None, `missing` says by its name what gets it."""

    distance: Callable[[U8, U8], float] | None
    features: Callable[[Sequence[U8]], NDArray[np.float64]] | None
    missing: dict[str, str]


def perceptual() -> Perceptual:
    """What of the two this machine has."""
    missing: dict[str, str] = {}
    distance = features = None
    if command := _lacks("lpips", LPIPS_WEIGHTS, GET_LPIPS):
        missing["lpips"] = command
    else:
        distance = _lpips()
    if command := _lacks("torch_fidelity", FID_WEIGHTS, GET_FID):
        missing["fid"] = command
    else:
        features = _inception()
    return Perceptual(distance, features, missing)


def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """FID of two sets of features ``[N, D]``: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Heusel et al.,
    2017).

    Raises:
        ValueError: a set has fewer than two rows.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a distribution wants two frames at least")
    means = first.mean(axis=0) - second.mean(axis=0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # The square root's trace by eigenvalues: those of Σ₁Σ₂ are real and not negative.
    roots = np.sqrt(np.clip(np.linalg.eigvals(one @ two).real, 0, None)).sum()
    return float(means @ means + np.trace(one) + np.trace(two) - 2 * roots)


def _lacks(library: str, weights: str, get: str) -> str:
    """The command that gets what is missing; empty: all is there."""
    if any(importlib.util.find_spec(each) is None for each in (library, "torchvision", "torch")):
        return GET_LIBRARIES
    import torch

    there = Path(torch.hub.get_dir()) / "checkpoints" / weights
    return "" if there.is_file() else get


def _lpips() -> Callable[[U8, U8], float]:
    import lpips  # pyright: ignore[reportMissingImports]
    import torch

    network = lpips.LPIPS(net="alex", verbose=False).eval()

    def tensor(rgb: U8) -> torch.Tensor:
        return torch.from_numpy(rgb.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]

    def distance(made: U8, true: U8) -> float:
        with torch.inference_mode():
            return float(network(tensor(made), tensor(true)))

    return distance


def _inception() -> Callable[[Sequence[U8]], NDArray[np.float64]]:
    import torch
    from torch_fidelity import (  # pyright: ignore[reportMissingImports]
        create_feature_extractor,
    )

    network = create_feature_extractor("inception-v3-compat", ["2048"]).eval()

    def features(frames: Sequence[U8]) -> NDArray[np.float64]:
        batch = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return network(batch)[0].numpy().astype(np.float64)

    return features
