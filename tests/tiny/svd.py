"""Stable Video Diffusion in small: the same classes and block topology, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

try:  # transformers' plain class asks for torchvision
    from transformers import CLIPImageProcessorPil as CLIPImageProcessor
except ImportError:
    from transformers import CLIPImageProcessor


def save_tiny_svd(folder: Path, seed: int = 0) -> Path:
    """A pipeline in diffusers' format under `folder`: latents at 1/8, widths 32 to 64."""
    torch.manual_seed(seed)
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=2,
        cross_attention_dim=16,
        num_attention_heads=(2, 2, 4, 4),
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=48,
    )
    blocks: dict[str, Any] = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
    }
    vae = AutoencoderKLTemporalDecoder(**blocks, layers_per_block=1, latent_channels=4)
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            projection_dim=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=224,
            patch_size=32,
        )
    )
    extractor: Any = CLIPImageProcessor()
    StableVideoDiffusionPipeline(
        unet=unet,
        image_encoder=encoder.eval(),
        scheduler=svd_scheduler(),
        vae=vae,
        feature_extractor=extractor,
    ).save_pretrained(folder)
    return folder


def tiny_svd_unet(folder: Path) -> UNetSpatioTemporalConditionModel:
    """The U-Net of a pipeline that `save_tiny_svd` saved."""
    found = UNetSpatioTemporalConditionModel.from_pretrained(folder, subfolder="unet")
    assert isinstance(found, UNetSpatioTemporalConditionModel)
    return found


def svd_scheduler() -> EulerDiscreteScheduler:
    """SVD-XT's own scheduler."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        interpolation_type="linear",
        num_train_timesteps=1000,
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
