"""Stable Video Diffusion's networks: loaded by components, and what they make of pictures.

    F frames    H' W' picture's height and width, multiples of 64    h w = H'/8, W'/8
    pictures R'G'B' float32 [F, 3, H', W'] in [-1, 1]    latents float32 [F, 4, h, w]
    C width of CLIP's embedding

Conditioning is that of diffusers' `StableVideoDiffusionPipeline`, number for number.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    _resize_with_antialiasing,  # no public name, and the embeddings depend on its very numbers
)
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import nn
from transformers import CLIPVisionModelWithProjection

from colorize_core.engines.contract import Device
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.compute import compile_layers, dtype_of, torch_device
from colorize_core.engines.diffusion.loading import Network, load_network
from colorize_core.engines.diffusion.quiet import no_progress_bars
from colorize_core.engines.diffusion.settings import SvdSettings
from colorize_core.engines.diffusion.svd import motion
from colorize_core.engines.diffusion.svd.bidirectional import Condition
from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet
from colorize_core.engines.diffusion.svd.injection import residual_layers

_CLIP_SIDE = 224


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """CLIP's mean and standard deviation of R'G'B' in [0, 1]: ``[3, 1, 1]`` both."""

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def load(cls, folder: Path) -> Normalisation:
        # Not through transformers' class: it asks for torchvision, and only these two are used.
        text = (folder / "feature_extractor" / "preprocessor_config.json").read_text("utf-8")
        config = json.loads(text)
        mean, std = (torch.tensor(config[name]) for name in ("image_mean", "image_std"))
        return cls(mean[:, None, None], std[:, None, None])


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The networks on their device.

    The U-Net, CLIP and the VAE's decoder are in the run's precision; the VAE's encoder is in
    float32 where its configuration forces that (SVD's does: half precision overflows in it).
    """

    unet: UNetSpatioTemporalConditionModel
    vae: AutoencoderKLTemporalDecoder
    image_encoder: CLIPVisionModelWithProjection
    normalisation: Normalisation
    scheduler: EulerDiscreteScheduler
    controlnet: SVDControlNet | None
    flow: motion.FlowModel | None
    device: torch.device

    @classmethod
    def load(cls, settings: SvdSettings, device: Device) -> Networks:
        """From the folder or the cache that `settings` names.

        Raises:
            WeightsMissing: they are not there.
        """
        folder = weights.folder(settings.weights, settings.revision, "svd")
        place = torch_device(device)
        unet = _network(UNetSpatioTemporalConditionModel, folder / "unet", settings, place)
        vae = _network(AutoencoderKLTemporalDecoder, folder / "vae", settings, place)
        if vae.config["force_upcast"]:
            vae.encoder.float()
            vae.quant_conv.float()
        controlnet = _controlnet(settings, place)
        if settings.compile:
            compile_layers(compilable_blocks(unet))
        scheduler = EulerDiscreteScheduler.from_pretrained(
            folder, subfolder="scheduler", local_files_only=True
        )
        return cls(
            unet=unet,
            vae=vae,
            image_encoder=_image_encoder(folder / "image_encoder", settings, place),
            normalisation=Normalisation.load(folder),
            scheduler=scheduler,  # pyright: ignore[reportArgumentType]
            controlnet=controlnet,
            flow=motion.flow_model(settings.flow, device) if settings.controlnet else None,
            device=place,
        )

    def condition(self, picture: torch.Tensor, noise: torch.Tensor, noise_aug: float) -> Condition:
        """The condition of a picture ``[3, H', W']``; `noise`: standard normal, of its shape."""
        noisy = picture + noise_aug * noise
        return Condition(self._posterior_modes(noisy[None])[0], self.embedding(picture))

    def embedding(self, picture: torch.Tensor) -> torch.Tensor:
        """CLIP's embedding of a picture ``[3, H', W']``: ``[1, C]``."""
        small = _resize_with_antialiasing(picture[None], (_CLIP_SIDE, _CLIP_SIDE))
        normalised = ((small + 1) / 2 - self.normalisation.mean) / self.normalisation.std
        encoder = self.image_encoder
        return encoder(normalised.to(self.device, encoder.dtype)).image_embeds

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures as the latents that the U-Net samples: one after the other, for the memory."""
        modes = [self._posterior_modes(one) for one in pictures.split(1)]
        return torch.cat(modes) * self.vae.config["scaling_factor"]

    def decode(self, latents: torch.Tensor, at_once: int) -> torch.Tensor:
        """The inverse of `encode`, on the CPU. Frames of one call know of each other, so that calls
        are of about the same length: none is left with a single frame."""
        unscaled = latents / self.vae.config["scaling_factor"]
        unscaled = unscaled.to(self.vae.decoder.conv_in.weight.dtype)
        decoded = []
        for z in unscaled.tensor_split(math.ceil(len(unscaled) / at_once)):
            (frames,) = self.vae.decode(z, num_frames=len(z), return_dict=False)
            decoded.append(frames.float().cpu())
        return torch.cat(decoded)

    def _posterior_modes(self, pictures: torch.Tensor) -> torch.Tensor:
        inputs = pictures.to(self.device, self.vae.encoder.conv_in.weight.dtype)
        (posterior,) = self.vae.encode(inputs, return_dict=False)
        return posterior.mode().float()


def _network(
    kind: type[Network], folder: Path, settings: SvdSettings, device: torch.device
) -> Network:
    precision, channels_last = settings.precision, settings.channels_last
    return load_network(kind, folder, precision, device, channels_last=channels_last)


def _image_encoder(
    folder: Path, settings: SvdSettings, device: torch.device
) -> CLIPVisionModelWithProjection:
    with no_progress_bars():
        network = CLIPVisionModelWithProjection.from_pretrained(
            folder,
            variant=weights.variant(folder.parent, folder.name, settings.precision),
            dtype=dtype_of(settings.precision),
            use_safetensors=True,
            local_files_only=True,
        )
    network.requires_grad_(False).eval().to(device)  # pyright: ignore[reportArgumentType]
    return network


def _controlnet(settings: SvdSettings, device: torch.device) -> SVDControlNet | None:
    if not settings.controlnet:
        return None
    folder = weights.controlnet_folder(settings.controlnet)
    return _network(SVDControlNet, folder, settings, device)


def compilable_blocks(unet: UNetSpatioTemporalConditionModel) -> list[nn.Module]:
    """All its blocks of layers but that which features are injected in by a hook."""
    hooked = set(residual_layers(unet))
    return [
        block
        for block in unet.modules()
        if isinstance(block, TransformerSpatioTemporalModel | SpatioTemporalResBlock)
        and hooked.isdisjoint(block.modules())
    ]
