"""Part `svd`: exact against diffusers' own pipeline, symmetric, and whole through its class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline

from colorize_core.engines.contract import CPU, Chroma, GreyFrame
from colorize_core.engines.diffusion import bidirectional
from colorize_core.engines.diffusion.bidirectional import (
    Condition,
    Direction,
    Network,
    Plan,
    Row,
    Source,
    denoise,
    invert,
)
from colorize_core.engines.diffusion.euler import Schedule
from colorize_core.engines.diffusion.settings import SvdSettings
from colorize_core.engines.diffusion.svd import Svd, pinned
from colorize_core.engines.diffusion.svd_networks import Networks
from tests.tiny.svd import save_tiny_svd

FRAMES, SIDE, STEPS = 4, 128, 3
LATENTS = (FRAMES, 4, SIDE // 8, SIDE // 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_svd(tmp_path_factory.mktemp("svd"))


@pytest.fixture(scope="module")
def settings(folder: Path) -> SvdSettings:
    return SvdSettings(
        weights=str(folder), precision="fp32", steps=STEPS, pixel_budget=4096, tau_attn=0, tau_f=0
    )


@pytest.fixture(scope="module")
def networks(settings: SvdSettings) -> Networks:
    return Networks.load(settings, CPU)


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def drawn(shape: Sequence[int], seed: int) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def photograph(seed: int) -> PIL.Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return PIL.Image.fromarray(small).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)


def as_picture(photo: PIL.Image.Image) -> torch.Tensor:
    unit = np.asarray(photo).astype(np.float32).transpose(2, 0, 1) / 255
    return torch.from_numpy(np.ascontiguousarray(unit)) * 2 - 1


def seen(networks: Networks, seed: int, noise_seed: int = 9) -> Condition:
    return networks.condition(as_picture(photograph(seed)), drawn((3, SIDE, SIDE), noise_seed), 0.02)


def network_of(networks: Networks) -> Network:
    return Network(networks.unet, torch.tensor([6, 127, 0.02]), networks.controlnet)


def sampled(
    networks: Networks, plan: Plan, latents: torch.Tensor, directions: tuple[Direction, Direction]
) -> torch.Tensor:
    schedule = Schedule.of(networks.scheduler, plan.steps)
    fresh = partial(drawn, LATENTS, 77)
    return denoise(network_of(networks), schedule, latents, directions, plan, fresh)


@pytest.mark.parametrize("guidance", [(1.0, 8.0), (1.0, 1.0)])
def test_forward_alone_is_the_pipeline_of_diffusers(
    folder: Path, settings: SvdSettings, networks: Networks, guidance: tuple[float, float]
) -> None:
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    preprocess = pipeline.video_processor.preprocess  # its layout makes convolutions round apart
    pipeline.video_processor.preprocess = lambda *a, **k: preprocess(*a, **k).contiguous()
    noise = drawn(LATENTS, 5)
    expected = pipeline(
        photograph(1),
        height=SIDE,
        width=SIDE,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        min_guidance_scale=guidance[0],
        max_guidance_scale=guidance[1],
        generator=torch.Generator().manual_seed(9),
        latents=noise[None],
        output_type="latent",
    ).frames[0]
    plan = replace(
        Plan.of(settings, FRAMES, together=False),  # calls of the pipeline's own batch size
        guidance=torch.linspace(*guidance, FRAMES),
        forward_share=torch.ones(FRAMES),
    )
    start = noise * Schedule.of(networks.scheduler, STEPS).first_noise
    directions = (Direction(seen(networks, 1)), Direction(seen(networks, 2)))
    found = sampled(networks, plan, start, directions)
    assert found.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
