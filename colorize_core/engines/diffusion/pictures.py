"""Frames as networks take them, and back. B batch, C channels, H height, W width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.media.color import lab_to_srgb, srgb_to_lab


def to_network(lab: F32) -> torch.Tensor:
    """L*a*b* float32 ``[H, W, 3]`` → R'G'B' float32 ``[3, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(lab_to_srgb(lab).transpose(2, 0, 1))) * 2 - 1


def grey_to_network(lstar: F32) -> torch.Tensor:
    """L* float32 ``[H, W]`` → grey R'G'B' float32 ``[3, H, W]`` in [-1, 1]."""
    return to_network(np.stack([lstar, np.zeros_like(lstar), np.zeros_like(lstar)], axis=-1))


def from_network(rgb: torch.Tensor) -> F32:
    """R'G'B' ``[3, H, W]`` in [-1, 1] (clipped) → L*a*b* float32 ``[H, W, 3]``."""
    unit = (rgb.float().cpu().clamp(-1, 1) + 1) / 2
    return srgb_to_lab(np.ascontiguousarray(unit.numpy().transpose(1, 2, 0)))


def to_bytes(rgb: torch.Tensor) -> NDArray[np.uint8]:
    """R'G'B' ``[3, H, W]`` in [-1, 1] (clipped) → uint8 ``[H, W, 3]``, rounded."""
    levels = ((rgb.float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(levels.numpy().transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class Padding:
    """Room around a picture, so that its sides are multiples of what a network needs.

    The paper pads instead of squeezing or cutting (section 3.2); the edge is repeated.
    """

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, width: int, height: int, multiple: int) -> Padding:
        x, y = -width % multiple, -height % multiple
        return cls(x // 2, x - x // 2, y // 2, y - y // 2)

    def add(self, pictures: torch.Tensor) -> torch.Tensor:
        """``[B, C, H, W]`` with its edges repeated outwards."""
        sides = (self.left, self.right, self.top, self.bottom)
        return torch.nn.functional.pad(pictures, sides, mode="replicate")

    def cut(self, pictures: torch.Tensor) -> torch.Tensor:
        """The inverse of `add`."""
        height, width = pictures.shape[-2:]
        return pictures[..., self.top : height - self.bottom, self.left : width - self.right]
