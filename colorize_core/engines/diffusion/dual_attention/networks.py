"""Stable Diffusion 1.x for dual attention: loaded by components, without its pipeline.

Shapes: pictures R'G'B' float32 ``[B, 3, H, W]`` in [-1, 1], sides multiples of 64; latents
``[B, 4, H/8, W/8]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from colorize_core.engines.contract import Device
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.compute import compile_layers, dtype_of, torch_device
from colorize_core.engines.diffusion.dual_attention.attention import DualUNet, Mix
from colorize_core.engines.diffusion.dual_attention.loop import DualLoop, Ladder
from colorize_core.engines.diffusion.loading import load_network
from colorize_core.engines.diffusion.quiet import no_progress_bars
from colorize_core.engines.diffusion.settings import DualAttentionSettings


def mixes(settings: DualAttentionSettings) -> tuple[Mix, Mix]:
    """What shallow and deep layers mix."""
    return Mix(settings.gamma1, settings.beta1), Mix(settings.gamma2, settings.beta2)


@dataclass(frozen=True, slots=True, eq=False)
class DualNetworks:
    """The VAE, and the U-Net in its loop."""

    vae: AutoencoderKL
    loop: DualLoop

    @classmethod
    def load(cls, settings: DualAttentionSettings, device: Device) -> DualNetworks:
        """From the folder or the cache that `settings` names. The text encoder embeds the empty
        prompt, and is dropped.

        Raises:
            WeightsMissing: they are not on this machine.
        """
        folder = weights.folder(settings.weights, settings.revision, "dual_attention")
        place = torch_device(device)
        prompt = _empty_prompt(folder, settings, place)
        how = settings.precision, place
        last = settings.channels_last
        vae = load_network(AutoencoderKL, folder / "vae", *how, channels_last=last)
        unet = load_network(UNet2DConditionModel, folder / "unet", *how, channels_last=last)
        if settings.compile:
            _compile(unet)
        ladder = Ladder(settings.ddim_steps, settings.start_step, settings.exact_start)
        dual = DualUNet(unet, prompt, *mixes(settings))
        return cls(
            vae, DualLoop(dual, ladder, settings.guidance, store=settings.features == "store")
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """Clean latents, float32, one picture after the other for the memory's sake.

        The mode of the VAE's posterior: the official code draws a sample, which at Stable
        Diffusion's tiny variances looks the same, and is not the same twice.
        """
        pictures = pictures.to(self.vae.device, self.vae.dtype)
        modes = [
            self.vae.encode(one, return_dict=False)[0].mode().float() for one in pictures.split(1)
        ]
        return torch.cat(modes) * self.vae.config["scaling_factor"]

    def decode(self, z: Tensor) -> Tensor:
        """Pictures of clean latents, on the CPU, not clipped."""
        z = (z / self.vae.config["scaling_factor"]).to(self.vae.dtype)
        pictures = [
            self.vae.decode(one, return_dict=False)[0]  # pyright: ignore[reportArgumentType]
            for one in z.split(1)
        ]
        return torch.cat([picture.float().cpu() for picture in pictures])


def _compile(unet: UNet2DConditionModel) -> None:
    """Compile all layers but the attentions of the two last blocks, whose processors change at
    every step: each change would compile them anew."""
    blocks: Sequence[Any] = list(unet.up_blocks)
    whole: Sequence[Any] = (*unet.down_blocks, unet.mid_block, *blocks[:-2])
    compile_layers([*whole, *(layer for block in blocks[-2:] for layer in block.resnets)])


def _empty_prompt(folder: Path, settings: DualAttentionSettings, place: torch.device) -> Tensor:
    """The text encoder's states for "", ``[1, tokens, width]``."""
    tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
    with no_progress_bars():
        encoder = CLIPTextModel.from_pretrained(
            folder,
            subfolder="text_encoder",
            variant=weights.variant(folder, "text_encoder", settings.precision),
            use_safetensors=True,
            dtype=dtype_of(settings.precision),
            local_files_only=True,
        )
    length = tokenizer.model_max_length
    tokens = tokenizer("", padding="max_length", max_length=length, return_tensors="pt")
    with torch.inference_mode():
        # A module's `to` is typed for its class alone.
        encoder.eval().to(place)  # pyright: ignore[reportArgumentType]
        return encoder(tokens.input_ids.to(place)).last_hidden_state.clone()
