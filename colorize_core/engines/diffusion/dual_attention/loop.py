"""The loop around dual attention: inversion, AdaIN and guided sampling of latents.

Kosugi 2025 (arXiv 2505.15812), as its official code computes it. A picture is not made from noise:
its latent is taken a few levels up the DDIM ladder, and down again with the reference's colours.

Shapes: z latents ``[rows, 4, h, w]``; t timestep and noise level, an index of ᾱ in [0, 999].
Arithmetic on latents is in float32 at least, whatever the networks compute in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from colorize_core.engines.diffusion.dual_attention.attention import (
    DualUNet,
    InputFeatures,
    Mix,
    ReferenceFeatures,
)

F = TypeVar("F")

# Stable Diffusion 1.x: "scaled linear" noise, 1000 levels. ᾱ = Π(1 - β).
_BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
ALPHA_BAR = np.cumprod(1 - _BETAS)


def moved(z: Tensor, eps: Tensor, level: int, to: int) -> Tensor:
    """One DDIM step (η = 0) from one noise level to another, up or down."""
    here, there = ALPHA_BAR[level], ALPHA_BAR[to]
    c1 = (there / here) ** 0.5
    c2 = there**0.5 * ((1 / there - 1) ** 0.5 - (1 / here - 1) ** 0.5)
    return float(c1) * z + float(c2) * eps


@dataclass(frozen=True, slots=True)
class Ladder:
    """Which timesteps are visited.

    Attributes:
        steps: size of the DDIM grid (50: t = 1, 21, …, 981).
        count: T, how many of them are sampled, from the lowest up.
        exact_start: sampling starts at the level that inversion reached. Off: two levels below,
            at T = 5 with the latent of level 121 at t = 81. This is how the official code runs, and
            its figures depend on it.
    """

    steps: int
    count: int
    exact_start: bool = False

    @property
    def gap(self) -> int:
        return 1000 // self.steps

    @property
    def sampled(self) -> tuple[int, ...]:
        """Timesteps of sampling, in its order."""
        return tuple(1 + self.gap * i for i in reversed(range(self.count)))

    @property
    def climbed(self) -> tuple[int, ...]:
        """Levels that inversion evaluates the network at; the last one leads to `top`."""
        rungs = self.count - 1 if self.exact_start else self.count + 1
        return tuple(1 + self.gap * i for i in range(rungs))

    @property
    def top(self) -> int:
        """The level that inversion reaches."""
        return 1 + self.gap * len(self.climbed)


@dataclass(slots=True, eq=False)
class Features(Generic[F]):
    """The features of an inversion at the sampled timesteps: kept, or made again when asked for.

    Attributes:
        unet, of: what makes them.
        store: keep the features; else keep the latents alone (much smaller).
    """

    unet: DualUNet
    of: Callable[[Tensor, Tensor, Tensor, Mix], F]
    store: bool
    _kept: dict[int, tuple[F, ...]] = field(default_factory=dict)
    _latents: dict[int, Tensor] = field(default_factory=dict)

    def record(self, z: Tensor, t: int) -> Tensor:
        """ε of `z` at `t`, whose features are wanted later."""
        if not self.store:
            self.hold(z, t)
            return self.unet.plain(z, t)
        eps, self._kept[t] = self.unet.recorded(z, t, self.of)
        return eps

    def hold(self, z: Tensor, t: int) -> None:
        """`z` has the features at `t`: they are made when they are first asked for."""
        self._latents[t] = z

    def at(self, t: int) -> tuple[F, ...]:
        """One value for each listed layer."""
        if t in self._kept:
            return self._kept[t]
        features = self.unet.recorded(self._latents[t], t, self.of)[1]
        if self.store:
            self._kept[t] = features
        return features


class DualLoop:
    """Inversion and guided sampling with one U-Net and one set of parameters."""

    def __init__(self, unet: DualUNet, ladder: Ladder, guidance: float, store: bool) -> None:
        """`guidance`: w. `store`: see `Features`."""
        self.unet, self.ladder = unet, ladder
        self._guidance, self._store = guidance, store

    def inverted(self, z: Tensor) -> Tensor:
        """Clean latents, which count as level 1, taken up to the ladder's top."""
        return self._climb(z, self.unet.plain)

    def studied(
        self, z: Tensor, of: Callable[[Tensor, Tensor, Tensor, Mix], F]
    ) -> tuple[Tensor, Features[F]]:
        """`inverted`, with the features on the way."""
        features = Features(self.unet, of, self._store)
        wanted = set(self.ladder.sampled)

        def evaluate(z: Tensor, t: int) -> Tensor:
            return features.record(z, t) if t in wanted else self.unet.plain(z, t)

        top = self._climb(z, evaluate)
        if self.ladder.top in wanted:  # with `exact_start`; inversion does not evaluate it
            features.hold(top, self.ladder.top)
        return top, features

    def _climb(self, z: Tensor, evaluate: Callable[[Tensor, int], Tensor]) -> Tensor:
        for t in self.ladder.climbed:
            z = moved(z, evaluate(z, t), t, t + self.ladder.gap)
        return z

    def sampled(
        self, z: Tensor, own: Features[InputFeatures], reference: Features[ReferenceFeatures]
    ) -> Tensor:
        """Latents from the ladder's top, coloured and clean."""
        for t in self.ladder.sampled:
            z = self.stepped(z, t, own.at(t), reference.at(t))
        return z

    def stepped(
        self,
        z: Tensor,
        t: int,
        own: Sequence[InputFeatures],
        reference: Sequence[ReferenceFeatures],
    ) -> Tensor:
        """One guided step down: ε = ε_plain + w·(ε_dual - ε_plain)."""
        plain, dual = self.unet.both(z, t, own, reference)
        eps = torch.lerp(plain, dual, self._guidance)
        return moved(z, eps, t, max(0, t - self.ladder.gap))


def adain(z: Tensor, like: Tensor) -> Tensor:
    """`z` with each channel's mean and standard deviation (unbiased) of `like` ``[1, 4, h, w]``.

    A channel of one value takes the mean alone.
    """
    mean, deviation = z.mean((-2, -1), keepdim=True), z.std((-2, -1), keepdim=True)
    ratio = torch.where(deviation > 0, like.std((-2, -1), keepdim=True) / deviation, 1)
    return (z - mean) * ratio + like.mean((-2, -1), keepdim=True)
