"""The published configurations with random weights: as large and as slow as the real networks.

Saved in diffusers' format, so that the parts load them by their own code; Qwen-Image-Edit, of
57 GB, is made in place. What such networks draw is noise: they are for time and memory alone.
Weights are drawn by the classes' own initialisation, which keeps half precision finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    AutoencoderKLTemporalDecoder,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
)

from colorize_core.engines.diffusion.qwen.processor import ImageOnlyProcessor
from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet
from tests.tiny.qwen import save_tiny_qwen
from tests.tiny.sd import save_tiny_sd
from tests.tiny.svd import save_tiny_svd

Configuration = dict[str, Any]

# -- configurations: what differs from the classes' defaults ---------------------------------------

_VAE_WIDTHS: Configuration = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
_DOWN: Configuration = {"down_block_types": ("DownEncoderBlock2D",) * 4}

SD_UNET: Configuration = {"sample_size": 64, "cross_attention_dim": 768}
SD_VAE: Configuration = {
    **_VAE_WIDTHS,
    **_DOWN,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 512,
}
SD_TEXT: Configuration = {
    "vocab_size": 49_408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
SVD_UNET: Configuration = {
    "num_attention_heads": (5, 10, 20, 20),
    "num_frames": 25,
    "sample_size": 96,
}
SVD_VAE: Configuration = {**_VAE_WIDTHS, **_DOWN, "sample_size": 768, "force_upcast": True}
SVD_VISION: Configuration = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "projection_dim": 1024,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
}
QWEN_TRANSFORMER: Configuration = {}
QWEN_VAE: Configuration = {}
QWEN_TEXT: Configuration = {
    "text_config": {
        "vocab_size": 152_064,
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128_000,
        "rope_parameters": {
            "mrope_section": [16, 24, 24],
            "rope_type": "default",
            "rope_theta": 1e6,
        },
    },
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "window_size": 112,
    },
    "tie_word_embeddings": False,
}
QWEN_SCHEDULER: Configuration = {
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "shift_terminal": 0.02,
    "max_image_seq_len": 8192,
}

NETWORKS: Mapping[tuple[str, str], Callable[[], torch.nn.Module]] = {
    ("dual_attention", "unet"): lambda: UNet2DConditionModel(**SD_UNET),
    ("dual_attention", "vae"): lambda: AutoencoderKL(**SD_VAE),
    ("dual_attention", "text_encoder"): lambda: CLIPTextModel(CLIPTextConfig(**SD_TEXT)),
    ("svd", "unet"): lambda: UNetSpatioTemporalConditionModel(**SVD_UNET),
    ("svd", "vae"): lambda: AutoencoderKLTemporalDecoder(**SVD_VAE),
    ("svd", "image_encoder"): lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**SVD_VISION)),
    ("qwen", "transformer"): lambda: QwenImageTransformer2DModel(**QWEN_TRANSFORMER),
    ("qwen", "vae"): lambda: AutoencoderKLQwenImage(**QWEN_VAE),
    ("qwen", "text_encoder"): lambda: Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(**QWEN_TEXT)
    ),
}
"""What makes each network, by part and component."""


def made(part: str, component: str, device: str, dtype: torch.dtype) -> Any:
    """A network with random weights, in place and in its precision from the start."""
    with _born(device, dtype):
        network = NETWORKS[part, component]()
    return network.requires_grad_(False).eval()


@contextmanager
def _born(device: str, dtype: torch.dtype) -> Iterator[None]:
    """New tensors lie on `device` and are of `dtype`, as when diffusers loads weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


# -- folders that the parts load -------------------------------------------------------------------


def save_sd(folder: Path, device: str, dtype: torch.dtype) -> Path:
    """Stable Diffusion 1.4; tokenizer and scheduler are the tiny one's, which has the real files.

    2 GB in fp16, 4 GB in fp32.
    """
    return _enlarged(save_tiny_sd(folder), "dual_attention", device, dtype)


def save_svd(folder: Path, device: str, dtype: torch.dtype) -> Path:
    """SVD-XT: 4.5 GB in fp16. What it knows besides networks is the tiny one's."""
    return _enlarged(save_tiny_svd(folder), "svd", device, dtype)


def save_controlnet(folder: Path, svd: Path, device: str, dtype: torch.dtype) -> Path:
    """The ControlNet of a saved SVD: 1.4 GB in fp16."""
    unet: Any = UNetSpatioTemporalConditionModel.from_pretrained(
        svd, subfolder="unet", torch_dtype=dtype
    )
    SVDControlNet.from_unet(unet.to(device)).save_pretrained(folder)
    return folder


def _enlarged(folder: Path, part: str, device: str, dtype: torch.dtype) -> Path:
    """A tiny pipeline's folder with `part`'s networks in full size."""
    for of, component in NETWORKS:
        if of == part:
            made(part, component, device, dtype).save_pretrained(folder / component)
    return folder


def qwen_pipeline(folder: Path, device: str, dtype: torch.dtype) -> QwenImageEditPlusPipeline:
    """Qwen-Image-Edit, made on `device`; its tokenizer of bytes is put under `folder`.

    A byte is a token, so a prompt has some four times the tokens that it has with the real
    tokenizer: a few hundred more beside the thousands of the pictures.
    """
    save_tiny_qwen(folder)
    tokenizer = Qwen2Tokenizer.from_pretrained(folder, subfolder="tokenizer")
    networks = {
        component: made("qwen", component, device, dtype)
        for component in ("transformer", "text_encoder", "vae")
    }
    for token in ("image_token", "video_token", "vision_start_token", "vision_end_token"):
        number = tokenizer.convert_tokens_to_ids(_SPECIAL[token])
        setattr(networks["text_encoder"].config, f"{token}_id", number)
    processor = ImageOnlyProcessor(Qwen2VLImageProcessorPil(), tokenizer)
    scheduler = FlowMatchEulerDiscreteScheduler(**QWEN_SCHEDULER)
    pipeline = QwenImageEditPlusPipeline(
        **networks, tokenizer=tokenizer, processor=processor, scheduler=scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


_SPECIAL = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
