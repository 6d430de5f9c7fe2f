"""Stable Diffusion 1.4 in small: the same classes and block topology, random weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.tiny.text import byte_characters, write_tokenizer


def save_tiny_sd(folder: Path, seed: int = 0) -> Path:
    """A pipeline in diffusers' format under `folder`: latents at 1/8, widths 8 to 32."""
    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16, 32, 32),
        layers_per_block=2,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    blocks: dict[str, Any] = {
        "block_out_channels": (8, 8, 8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    vae = AutoencoderKL(
        **blocks,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    )
    ends: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_attention_heads=2,
            num_hidden_layers=2,
            **ends,
        )
    )
    absent: Any = None
    scheduler: Any = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=absent,
        feature_extractor=absent,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def _tokenizer() -> CLIPTokenizer:
    start, end = "<|startoftext|>", "<|endoftext|>"
    letters = byte_characters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), start, end]
    config: dict[str, object] = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": start,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
    }
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder, "tokenizer"), words, config)
        return CLIPTokenizer.from_pretrained(str(Path(folder, "tokenizer")))
