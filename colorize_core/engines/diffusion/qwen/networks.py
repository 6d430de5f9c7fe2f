"""Qwen-Image-Edit-Plus's networks: loaded as the settings and the device ask."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from colorize_core.engines.contract import Device
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.compute import dtype_of, torch_device
from colorize_core.engines.diffusion.quiet import no_progress_bars
from colorize_core.engines.diffusion.qwen.lora import lora_file
from colorize_core.engines.diffusion.qwen.processor import ImageOnlyProcessor
from colorize_core.engines.diffusion.settings import QwenSettings
from colorize_core.errors import SettingError, WeightsMissing


def load(settings: QwenSettings, device: Device) -> QwenImageEditPlusPipeline:
    """The pipeline with its networks on `device`, or where offloading keeps them.

    Raises:
        WeightsMissing: weights, or a library that the settings need, are not on this machine.
        SettingError: offloading or quantization without a GPU, or an unclear `lora_file`.
    """
    _check(settings, device)
    folder = weights.folder(settings.weights, settings.revision, "qwen")
    with no_progress_bars():
        pipeline = _assembled(folder, settings)
        if settings.lora:
            file = lora_file(settings)
            pipeline.load_lora_weights(
                str(file.parent),
                weight_name=file.name,
                use_safetensors=True,
                local_files_only=True,
            )
    pipeline.set_progress_bar_config(disable=True)
    _place(pipeline, settings, torch_device(device))
    return pipeline


def _check(settings: QwenSettings, device: Device) -> None:
    for key in ("offload", "quantization"):
        if getattr(settings, key) != "none" and device.kind != "cuda":
            raise SettingError(
                f"qwen.{key}={getattr(settings, key)} is for GPUs, and this part runs on the CPU.",
                f"Set qwen.{key}=none, or run it on a GPU.",
            )
    for wanted, library, extra in (
        (settings.quantization != "none", "bitsandbytes", "quantization"),
        (bool(settings.lora), "peft", "lora"),
    ):
        if wanted and find_spec(library) is None:
            raise WeightsMissing(
                f"qwen.{extra} needs the package {library}.",
                f"Run pip install 'kinecolor[{extra}]' on every machine that works.",
            )


def _assembled(folder: Path, settings: QwenSettings) -> QwenImageEditPlusPipeline:
    dtype = dtype_of(settings.precision)

    def where(component: str) -> dict[str, Any]:
        return {
            "pretrained_model_name_or_path": folder,
            "subfolder": component,
            "variant": weights.variant(folder, component, settings.precision),
            "use_safetensors": True,
            "local_files_only": True,
        }

    return QwenImageEditPlusPipeline(
        transformer=QwenImageTransformer2DModel.from_pretrained(
            **where("transformer"),
            torch_dtype=dtype,
            quantization_config=_quantization(settings, diffusers.BitsAndBytesConfig),
        ).eval(),
        text_encoder=Qwen2_5_VLForConditionalGeneration.from_pretrained(
            **where("text_encoder"),
            dtype=dtype,
            quantization_config=_quantization(settings, transformers.BitsAndBytesConfig),
        ).eval(),
        vae=AutoencoderKLQwenImage.from_pretrained(**where("vae"), torch_dtype=dtype).eval(),
        tokenizer=Qwen2Tokenizer.from_pretrained(
            folder, subfolder="tokenizer", local_files_only=True
        ),
        processor=ImageOnlyProcessor.load(folder / "processor"),
        scheduler=_scheduler(folder, settings.shift),
    )


def _quantization(settings: QwenSettings, config: type) -> object | None:
    if settings.quantization == "8bit":
        return config(load_in_8bit=True)
    if settings.quantization == "4bit":
        return config(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype_of(settings.precision),
        )
    return None


def _scheduler(folder: Path, shift: float) -> FlowMatchEulerDiscreteScheduler:
    """As published, or where `shift` is not 0 with it in place of one that grows with the picture
    and ends above 0."""
    own: dict[str, Any] = {}
    if shift:  # the pipeline gives the logarithm, between these two by the picture's size
        own = {"base_shift": math.log(shift), "max_shift": math.log(shift), "shift_terminal": None}
    found: Any = FlowMatchEulerDiscreteScheduler.from_pretrained(
        folder, subfolder="scheduler", local_files_only=True, **own
    )
    return found


def _place(
    pipeline: QwenImageEditPlusPipeline, settings: QwenSettings, device: torch.device
) -> None:
    if settings.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif settings.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    elif settings.quantization == "none":
        pipeline.to(device)
    else:  # bitsandbytes put its networks on the GPU itself, and lets nobody move them
        pipeline.vae.to(device)
