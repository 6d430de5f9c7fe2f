"""Memory of part `svd`, by the widths of its networks; no weights are loaded.

Counted are the tensors that live at once in each network's largest moment. What a driver, cuDNN
or cuBLAS take for themselves is not. Pixels are of padded pictures; a latent has one for 64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colorize_core.engines.contract import Memory
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.bounds import UNET_MULTIPLE, most_padded
from colorize_core.engines.diffusion.published import ELEMENT_BYTES
from colorize_core.engines.diffusion.settings import SvdSettings
from colorize_core.engines.diffusion.svd.bidirectional import Plan

# What the formulas need of the published configuration (stable-video-diffusion-img2vid-xt).
_UNET: Mapping[str, Any] = {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2}
_VAE: Mapping[str, Any] = {"block_out_channels": (128, 256, 512, 512)}

_LATENT = 64  # pixels for one position of a latent
_LATENTS = 16  # bytes of one position: four channels, float32
_PICTURES = 60  # bytes a pixel: five float32 pictures around the networks


@dataclass(frozen=True, slots=True)
class Widths:
    """Channels of the networks' blocks, at full size first.

    Attributes:
        layers: in one down block of the U-Net.
        stem: of a ControlNet's stems at full size; 0 without a ControlNet.
    """

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    layers: int
    stem: int

    @classmethod
    def of(cls, settings: SvdSettings) -> Widths:
        """Of the weights that are on this machine; of the published ones where none are."""
        source = settings.weights, settings.revision
        unet = weights.configuration(*source, "unet") or _UNET
        vae = weights.configuration(*source, "vae") or _VAE
        controlnet = _controlnet_configuration(settings.controlnet)
        return cls(
            unet=tuple(unet["block_out_channels"]),
            vae=tuple(vae["block_out_channels"]),
            layers=unet["layers_per_block"],
            stem=controlnet["stem_channels"][0] if controlnet else 0,
        )

    @property
    def skips(self) -> float:
        """Channels of all skip connections, each by its share of the full size."""
        found = float(self.unet[0])
        for level, width in enumerate(self.unet):
            found += self.layers * width / 4**level
            found += width / 4 ** (level + 1)  # downsampled; the lowest block's is the mid block's
        return found


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes for each pixel of one padded picture, in a segment of `plan`.

    Attributes:
        number: bytes of one number in the networks.
        decoded: frames that the VAE decodes at once.
    """

    widths: Widths
    plan: Plan
    number: int
    decoded: int

    @property
    def frame(self) -> float:
        """Of each frame: the largest network's share of it, and what waits around the networks."""
        frames = len(self.plan.guidance)
        together = min(self.decoded, frames) * self.decoding
        return max(self.rows * self.row, together / frames, self.encoding / frames) + self.kept

    @property
    def rows(self) -> int:
        """Clips in the largest call of the U-Net."""
        return self.plan.rows * (2 if self.plan.together else 1)

    @property
    def row(self) -> float:
        """Of one clip in the U-Net. Largest in its last block: the feed-forward network (16 of
        the 26 widths), what lies around it, and the block's input. A ControlNet's residuals lie
        beside that, and the block's three skip connections twice; or its stems are larger still,
        which work on whole pictures."""
        first, second = self.widths.unet[:2]
        unet = 26 * first + second
        stem = 3 * self.widths.stem * _LATENT
        channels = max(unet + self.widths.skips + 3 * first, stem + 3 * first) if stem else unet
        controls = 6 if stem else 0  # pictures of edges and flow
        return (channels / _LATENT + controls) * self.number + 3 * _LATENTS / _LATENT

    @property
    def decoding(self) -> float:
        """Of one picture in the VAE's decoder: largest in a residual block of the full size."""
        first, second = self.widths.vae[:2]
        return max(6 * first + second, 3 * second) * self.number

    @property
    def encoding(self) -> float:
        """Of one picture in its encoder, which takes one after the other in float32."""
        return 5 * self.widths.vae[0] * ELEMENT_BYTES["fp32"]

    @property
    def kept(self) -> float:
        """What lives as long as the segment: pictures, both directions' controls and sources."""
        controls = 2 * 6 * self.number if self.widths.stem else 0
        return _PICTURES + controls + 2 * len(self.plan.sourced) * _LATENTS / _LATENT


def footprint(settings: SvdSettings, frames: int, together: bool) -> Footprint:
    return Footprint(
        Widths.of(settings),
        Plan.of(settings, frames, together),
        ELEMENT_BYTES[settings.precision],
        settings.decode_frames,
    )


def memory(settings: SvdSettings) -> Memory:
    """The part's least memory: segments of the longest kind, directions one after the other
    unless they have to go together."""
    frames, pixels = settings.max_frames, settings.pixel_budget
    least = footprint(settings, frames, together=settings.batching == "both")
    per_pixel = math.ceil(least.frame * most_padded(pixels, UNET_MULTIPLE) / pixels)
    return Memory(fixed=weight_bytes(settings), per_pixel=per_pixel, frames=frames)


def need(settings: SvdSettings, pixels: int, frames: int, together: bool) -> int:
    """Bytes for one segment of padded pictures of `pixels`, weights included."""
    working = footprint(settings, frames, together).frame * pixels * frames
    return weight_bytes(settings) + math.ceil(working)


def weight_bytes(settings: SvdSettings) -> int:
    """Of all networks. The VAE's counts in float32: its encoder computes in that."""
    source, precision = (settings.weights, settings.revision), settings.precision
    found = weights.parameter_bytes(*source, ("unet", "image_encoder"), precision)
    found += weights.parameter_bytes(*source, ("vae",), "fp32")
    if settings.controlnet:
        home = _absolute(settings.controlnet)
        found += weights.parameter_bytes(str(home.parent), "", (home.name,), precision)
    return found


def _controlnet_configuration(controlnet: str) -> Mapping[str, Any] | None:
    if not controlnet:
        return None
    home = _absolute(controlnet)
    return weights.configuration(str(home.parent), "", home.name)


def _absolute(folder: str) -> Path:
    return Path(folder).expanduser().absolute()
