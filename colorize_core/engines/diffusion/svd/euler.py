"""Euler steps of Stable Video Diffusion: z latents with noise of standard deviation σ, v the
network's v-prediction. Everything in float32: at σ = 700 half precision has no digits left.

The formulas, and the order in which they round, are those of diffusers' `EulerDiscreteScheduler`
(Karras et al. 2022, Algorithm 1, without churn; v-prediction of Salimans and Ho 2022). A σ is a
float32 number as a tensor of no dimensions on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

from colorize_core.errors import SettingError


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Noise levels of a sampling run.

    Attributes:
        sigmas: float32 ``[S + 1]``, falling; the last is 0.
        first_noise: standard deviation of the noise that sampling starts from.
    """

    sigmas: torch.Tensor
    first_noise: float

    @classmethod
    def of(cls, scheduler: EulerDiscreteScheduler, steps: int) -> Schedule:
        """The levels of SVD's own scheduler for so many steps (at least 2).

        Raises:
            SettingError: it is not a scheduler of continuous time and v-prediction.
        """
        config = scheduler.config
        if (config["timestep_type"], config["prediction_type"]) != ("continuous", "v_prediction"):
            raise SettingError(
                "The scheduler of svd.weights is not Stable Video Diffusion's.",
                "Its scheduler_config.json needs timestep_type continuous and prediction_type "
                "v_prediction.",
            )
        scheduler.set_timesteps(steps)
        return cls(scheduler.sigmas, float(scheduler.init_noise_sigma))

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def climb(self) -> torch.Tensor:
        """The levels of an inversion, rising ``[S + 1]``. Its lowest is not 0, where no direction
        is defined, but one step further down the geometric way of the last two: σ[-2]² / σ[-3]."""
        lowest = self.sigmas[-2] ** 2 / self.sigmas[-3]
        return torch.cat([lowest[None], self.sigmas[:-1].flip(0)])


def timestep(sigma: torch.Tensor) -> torch.Tensor:
    """What the network is told about the noise level."""
    return 0.25 * sigma.log()


def scaled(z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Latents as the network takes them: of unit variance."""
    return z / (sigma**2 + 1) ** 0.5


def denoised(z: torch.Tensor, v: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The clean latents that `v` points to."""
    return v * (-sigma / (sigma**2 + 1) ** 0.5) + z / (sigma**2 + 1)


def step(
    z: torch.Tensor, v: torch.Tensor, sigma: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Latents at the lower level `target` from those at `sigma`."""
    direction = (z - denoised(z, v, sigma)) / sigma
    return z + direction * (target - sigma)


def raised(
    z: torch.Tensor, v: torch.Tensor, sigma: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Latents at the higher level `target`, along the same direction as in `step`: here without
    the difference of two near numbers, of which little is left where σ is small."""
    direction = v / (sigma**2 + 1) ** 0.5 + z * (sigma / (sigma**2 + 1))
    return z + direction * (target - sigma)


def renoised(
    z: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Latents at level `sigma` brought up to `target` by fresh standard normal `noise`."""
    return z + noise * (target**2 - sigma**2) ** 0.5
