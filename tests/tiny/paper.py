"""The networks of the preset `paper` in small, saved to a folder, and settings that use them."""

from __future__ import annotations

from pathlib import Path

# Small pictures, few steps; what random networks draw has no structure to check.
_SMALL = (
    "anchor_interval=6",
    "qwen.precision=fp32",
    "qwen.steps=2",
    "qwen.pixel_budget=4096",
    "qwen.condition_pixels=4096",
    "qwen.structure_threshold=-1",
    "dual_attention.precision=fp32",
    "dual_attention.pixel_budget=4096",
    "dual_attention.passes=2",
    "svd.precision=fp32",
    "svd.pixel_budget=4096",
    "svd.steps=3",
    "svd.flow=dis",
)


def save_paper_models(folder: Path) -> Path:
    """Tiny random models in diffusers' format: folder/{qwen,sd,svd,controlnet}."""
    from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet
    from tests.tiny.qwen import save_tiny_qwen
    from tests.tiny.sd import save_tiny_sd
    from tests.tiny.svd import save_tiny_svd, tiny_svd_unet

    save_tiny_qwen(folder / "qwen")
    save_tiny_sd(folder / "sd")
    save_tiny_svd(folder / "svd")
    SVDControlNet.from_unet(tiny_svd_unet(folder / "svd")).save_pretrained(folder / "controlnet")
    return folder


def paper_settings(folder: Path, *more: str) -> tuple[str, ...]:
    """Assignments (``--set``) with which the presets `paper` and `fast` use the models there."""
    return (
        *_SMALL,
        f"qwen.weights={folder / 'qwen'}",
        f"dual_attention.weights={folder / 'sd'}",
        f"svd.weights={folder / 'svd'}",
        f"svd.controlnet={folder / 'controlnet'}",
        *more,
    )
