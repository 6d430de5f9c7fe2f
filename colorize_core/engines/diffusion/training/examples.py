"""What one step of training sees of a clip, and the random numbers that belong to it.

    F frames    H W working height and width    H' W' padded to multiples of 64    h w = H'/8, W'/8
    pictures R'G'B' float32 [F, 3, H', W'] in [-1, 1]    controls float32 [F, 3, H', W'] in [0, 1]

Everything is a function of the settings' seed and the example's number: no state of a random
generator has to be kept, and training goes on from a checkpoint as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch

from colorize_core.engines.contract import F32
from colorize_core.engines.diffusion.bounds import UNET_MULTIPLE
from colorize_core.engines.diffusion.pictures import Padding
from colorize_core.engines.diffusion.svd.bidirectional import Controls
from colorize_core.engines.diffusion.svd.motion import FlowModel, edges, flow_pictures
from colorize_core.engines.diffusion.training.clips import U8, Clips
from colorize_core.engines.diffusion.training.settings import TrainSettings
from colorize_core.media.color import lstar_from_grey

EVALUATED = 4  # examples, at noise levels that share the distribution's quarters
_FIRST_EVALUATED = 2**40  # their numbers: training never comes there
_LUMA = (0.2126, 0.7152, 0.0722)  # Y' of BT.709


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A colour clip with the controls of its grey version, forward; and backward, where asked."""

    number: int
    pictures: torch.Tensor
    controls: Controls
    backward: Controls | None = None

    @property
    def grey(self) -> torch.Tensor:
        """`pictures` without colour, as the controls were found in them."""
        luma = (self.pictures * torch.tensor(_LUMA)[:, None, None]).sum(dim=1, keepdim=True)
        return luma.expand_as(self.pictures)


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Random numbers of an example.

    Attributes:
        sigma: float32 scalar, the noise level.
        noise: float32 ``[F, 4, h, w]``, on the latents.
        image_noise: float32 ``[3, H', W']``, on the first frame as condition.
        withheld: the first frame is not shown.
    """

    sigma: torch.Tensor
    noise: torch.Tensor
    image_noise: torch.Tensor
    withheld: bool

    @classmethod
    def of(cls, example: Example, settings: TrainSettings) -> Draw:
        frames, _, height, width = example.pictures.shape
        key = np.random.SeedSequence((settings.seed, example.number))
        generator = torch.Generator().manual_seed(int(key.generate_state(1, np.uint64)[0]))
        # ln σ is normal: Karras et al. 2022, section 5
        level = settings.sigma_mean + settings.sigma_std * torch.randn((), generator=generator)
        withheld = float(torch.rand((), generator=generator)) < settings.withheld
        if (evaluated := example.number - _FIRST_EVALUATED) >= 0:
            quantile = NormalDist().inv_cdf((evaluated + 0.5) / EVALUATED)
            level = torch.tensor(settings.sigma_mean + settings.sigma_std * quantile)
            withheld = False
        return cls(
            sigma=level.exp(),
            noise=torch.randn((frames, 4, height // 8, width // 8), generator=generator),
            image_noise=torch.randn((3, height, width), generator=generator),
            withheld=withheld,
        )


class Examples:
    """Makes examples out of clips."""

    def __init__(self, clips: Clips, flow: FlowModel, settings: TrainSettings) -> None:
        self._clips, self._flow, self._settings = clips, flow, settings

    def training(self, number: int) -> Example:
        """Example `number` of training; a share of them runs backwards in time."""
        clip = self._clips.sample(number)
        random = np.random.default_rng((self._settings.seed, number, 1))
        if random.random() < self._settings.reverse:
            clip = clip[::-1]
        return Example(number, _pictures(clip), self._controls(_lstar(clip)))

    def evaluation(self, index: int) -> Example:
        """One of the examples that progress is measured by, always the same, forward."""
        number = _FIRST_EVALUATED + index
        clip = self._clips.sample(number)
        lstar = _lstar(clip)
        backward = self._controls(lstar[::-1])
        return Example(number, _pictures(clip), self._controls(lstar), backward)

    def _controls(self, lstar: Sequence[F32]) -> Controls:
        settings = self._settings
        lines = [edges(each, settings.canny_low, settings.canny_high) for each in lstar]
        return Controls(_padded(lines), _padded(flow_pictures(lstar, self._flow)))


def _pictures(clip: U8) -> torch.Tensor:
    unit = clip.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
    return _padded(list(unit))


def _lstar(clip: U8) -> list[F32]:
    """L* of the clip as a grey film has it: of its Y', which is what a grey film keeps."""
    return [lstar_from_grey(frame @ np.array(_LUMA) / 255).astype(np.float32) for frame in clip]


def _padded(pictures: Sequence[F32]) -> torch.Tensor:
    stacked = torch.tensor(np.stack(pictures))  # a copy: addresses as torch's own tensors have
    height, width = stacked.shape[-2:]
    return Padding.to_multiple(width, height, UNET_MULTIPLE).add(stacked)
