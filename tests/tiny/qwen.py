"""Qwen-Image-Edit-Plus in small: the same classes and topology, random weights."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
)

from colorize_core.engines.diffusion.qwen.processor import ImageOnlyProcessor
from tests.tiny.text import byte_characters, write_tokenizer

_LATENT_CHANNELS = 4
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def save_tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """A pipeline in diffusers' format under `folder`: latents at 1/8, 2 layers 48 wide."""
    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    QwenImageEditPlusPipeline(
        transformer=QwenImageTransformer2DModel(
            in_channels=4 * _LATENT_CHANNELS,
            out_channels=_LATENT_CHANNELS,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=_LATENT_CHANNELS,
            dim_mult=[1, 2, 4, 4],
            num_res_blocks=1,
            latents_mean=[0.0] * _LATENT_CHANNELS,
            latents_std=[1.0] * _LATENT_CHANNELS,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        processor=ImageOnlyProcessor(
            Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112), tokenizer
        ),
    ).save_pretrained(folder)
    _name_published_classes(folder)
    return folder


def _name_published_classes(folder: Path) -> None:
    """The published pipeline names the stock processor."""
    index = folder / "model_index.json"
    named = json.loads(index.read_text("utf-8"))
    named["processor"] = ["transformers", "Qwen2VLProcessor"]
    index.write_text(json.dumps(named), "utf-8")


def _text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    number: dict[str, Any] = {word: tokenizer.convert_tokens_to_ids(word) for word in _SPECIAL}
    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "bos_token_id": number["<|endoftext|>"],
            "eos_token_id": number["<|im_end|>"],
            "pad_token_id": number["<|endoftext|>"],
            "rope_parameters": rope,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        image_token_id=number["<|image_pad|>"],
        video_token_id=number["<|video_pad|>"],
        vision_start_token_id=number["<|vision_start|>"],
        vision_end_token_id=number["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def _tokenizer() -> Qwen2Tokenizer:
    letters = byte_characters()
    added = {
        str(len(letters) + i): {"content": word, "special": True} for i, word in enumerate(_SPECIAL)
    }
    config: dict[str, object] = {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": 8192,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "added_tokens_decoder": added,
        "additional_special_tokens": list(_SPECIAL[1:]),
    }
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder, "tokenizer"), letters, config)
        return Qwen2Tokenizer.from_pretrained(str(Path(folder, "tokenizer")))
