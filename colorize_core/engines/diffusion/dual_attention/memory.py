"""Memory of part `dual_attention`, by the widths of its networks; no weights are loaded.

Counted are the tensors that live at once in each network's largest moment. What a driver, cuDNN
or cuBLAS take for themselves is not. Pixels are of padded pictures; a latent has one for 64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from colorize_core.engines.contract import Memory
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.bounds import UNET_MULTIPLE, most_padded
from colorize_core.engines.diffusion.dual_attention.attention import Mix
from colorize_core.engines.diffusion.dual_attention.networks import mixes
from colorize_core.engines.diffusion.published import ELEMENT_BYTES
from colorize_core.engines.diffusion.settings import DualAttentionSettings

KEPT_REFERENCES = 2
"""References whose work a part keeps for its next call: this shot's, and one that returns."""

_LATENT = 64  # pixels for one position of a latent
_PICTURE = 12  # bytes a pixel, in float32


@dataclass(frozen=True, slots=True)
class Widths:
    """Channels of the networks' blocks, at full size first. Defaults: Stable Diffusion 1.4."""

    unet: tuple[int, ...] = (320, 640, 1280, 1280)
    vae: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 3  # listed layers in one block of the U-Net

    @classmethod
    def of(cls, settings: DualAttentionSettings) -> Widths:
        """Of the weights' configuration; the published one where they are not on this machine."""
        unet, vae = (
            weights.configuration(settings.weights, settings.revision, name)
            for name in ("unet", "vae")
        )
        if unet is None or vae is None:
            return cls()
        return cls(
            tuple(unet["block_out_channels"]),
            tuple(vae["block_out_channels"]),
            unet["layers_per_block"] + 1,
        )


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes for each pixel of one padded picture.

    Attributes:
        shallow, deep: what the listed layers mix, and so which features they need.
        steps: sampled steps whose features live at once.
        number: bytes of one number in the networks.
    """

    widths: Widths
    shallow: Mix
    deep: Mix
    steps: int
    number: int

    @classmethod
    def of(cls, settings: DualAttentionSettings) -> Footprint:
        return cls(
            Widths.of(settings),
            *mixes(settings),
            steps=settings.start_step if settings.features == "store" else 1,
            number=ELEMENT_BYTES[settings.precision],
        )

    @property
    def input_features(self) -> float:
        """Of an input: queries, and keys where its own attention has a share."""
        return self._features(*(_kept_of_input(mix) for mix in (self.shallow, self.deep)))

    @property
    def reference_features(self) -> float:
        """Of a reference: keys of one or two kinds, and values."""
        return self._features(*(_kept_of_reference(mix) for mix in (self.shallow, self.deep)))

    def _features(self, shallow: int, deep: int) -> float:
        # A deep layer has a quarter of the positions.
        channels = shallow * self.widths.unet[0] + deep * self.widths.unet[1] / 4
        return self.steps * self.widths.layers * channels * self.number / _LATENT

    @property
    def unet(self) -> float:
        """Of one row of the U-Net. Largest in its last block: the feed-forward network (16 of the
        24 widths), what lies around it, and the block's input. 12: latents, in float32."""
        shallow, deep = self.widths.unet[:2]
        return ((24 * shallow + deep) * self.number + 12 * 4) / _LATENT

    @property
    def vae(self) -> float:
        """Of one picture in the VAE: largest in a residual block of the full size. 4: a latent."""
        return max(5 * self.widths.vae[0], 3 * self.widths.vae[1]) * self.number + 4 * 4 / _LATENT

    @property
    def anchor(self) -> float:
        """Of one more anchor in a batch: its features, and two rows in each guided step beside the
        grey picture, or three pictures around the VAE."""
        return self.input_features + max(2 * self.unet + _PICTURE, 3 * _PICTURE)

    @property
    def alone(self) -> float:
        """Of the VAE, which takes one picture after the other, beyond what one `anchor` has."""
        return max(0.0, self.vae + 3 * _PICTURE - (self.anchor - self.input_features))

    def memory(self, weight_bytes: int, pixel_budget: int) -> Memory:
        """The part's memory."""
        factor = most_padded(pixel_budget, UNET_MULTIPLE) / pixel_budget
        once = KEPT_REFERENCES * self.reference_features + self.alone
        return Memory(
            fixed=weight_bytes + math.ceil(once * factor * pixel_budget),
            per_pixel=math.ceil(self.anchor * factor),
        )


def _kept_of_input(mix: Mix) -> int:
    return (mix.reads_grey or mix.reads_own) + mix.reads_own


def _kept_of_reference(mix: Mix) -> int:
    return mix.reads_grey + mix.reads_colour + mix.reads_reference
