"""Part `qwen`: a colour still of a grey frame from a prompt, by Qwen-Image-Edit-Plus.

Kimura and Yanai, section 3.1, with what a film of many shots needs besides: stills of kindred
shots as further pictures, and a check that the still shows the frame and nothing else.

Shapes: H, W the frame's height and width; H', W' padded to multiples of 32. Tokens of the
transformer: H'·W'/256 of the still, about as many of each picture shown to it, and the prompt's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from diffusers import QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus
from PIL import Image

from colorize_core.engines.contract import ColourStill, Device, Facts, GreyFrame
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.pictures import (
    Padding,
    grey_to_network,
    to_bytes,
    to_network,
)
from colorize_core.engines.diffusion.qwen.lora import lora_identity
from colorize_core.engines.diffusion.qwen.memory import Footprint
from colorize_core.engines.diffusion.qwen.networks import load
from colorize_core.engines.diffusion.qwen.structure import likeness
from colorize_core.engines.diffusion.settings import QwenSettings
from colorize_core.engines.exemplar.raster import size_of
from colorize_core.errors import ReferenceRejected
from colorize_core.references.stills import has_colour, still_of

MULTIPLE = 32
"""Of padded sides: to it the pipeline rounds the pictures that it is shown. It is a multiple of the
networks' own 16 (the VAE's 8 times patches of 2), so neither squeezes a padded frame."""

_KINDRED = (
    "",
    "Picture 2 shows the same place or people: take their colours from it.",
    "Pictures 2 and 3 show the same place or people: take their colours from them.",
)


class Qwen:
    """Reference maker on a GPU."""

    def __init__(self, settings: QwenSettings, device: Device) -> None:
        self._settings, self._device = settings, device

    @property
    def facts(self) -> Facts:
        settings = self._settings
        identity = weights.identity(settings.weights, settings.revision)
        if settings.lora:
            identity += f"+{lora_identity(settings)}"
        return Facts(
            name="qwen",
            version=1,
            pixel_budget=settings.pixel_budget,
            memory=Footprint.of(settings).memory(settings),
            square_pixels=True,
            needs_gpu=True,
            kindred=settings.kindred,
            weights=identity,
            network_calls=settings.steps * (2 if settings.guidance > 1 else 1),
        )

    @cached_property
    def _pipeline(self) -> QwenImageEditPlusPipeline:
        return load(self._settings, self._device)

    def make(
        self, grey: GreyFrame, prompt: str, seed: int, kindred: Sequence[ColourStill]
    ) -> ColourStill:
        """See `contract.ReferenceMaker`. `kindred` beyond `qwen.kindred` are left out.

        Raises:
            ReferenceRejected: none of `qwen.attempts` stills has colour and the frame's structure.
            WeightsMissing: the networks, or a library they need, are not on this machine.
            SettingError: a setting that asks for a GPU, without one.
        """
        settings = self._settings
        kindred = kindred[: settings.kindred]
        best, colourless = -1.0, 0
        for attempt in range(settings.attempts):
            still = self._drawn(grey, self.prompt(prompt, len(kindred)), seed + attempt, kindred)
            found = likeness(still.lab[..., 0], grey.lstar)
            if not has_colour(still.lab):
                colourless += 1
            elif found >= settings.structure_threshold:
                return still
            best = max(best, found)
        raise ReferenceRejected(
            f"Frame {grey.frame}: none of {settings.attempts} stills can be used. The best has a "
            f"likeness of {best:.2f} with the frame's edges (at least "
            f"{settings.structure_threshold:.2f} is asked for); {colourless} had no colour.",
            "Give a colour still of this shot with --reference, another prompt in the shot list, "
            "or set qwen.attempts higher or qwen.structure_threshold lower.",
        )

    def prompt(self, asked: str, kindred: int) -> str:
        """What the network is told: the shot's prompt or the film's, and what must not change."""
        settings = self._settings
        told = (asked.strip() or settings.prompt, settings.structure_clause, _KINDRED[kindred])
        return " ".join(part for part in told if part)

    @torch.no_grad()  # not inference_mode: offloading moves weights, which have to stay usable
    def _drawn(
        self, grey: GreyFrame, prompt: str, seed: int, kindred: Sequence[ColourStill]
    ) -> ColourStill:
        """One still, as the network draws it."""
        settings = self._settings
        padding = Padding.to_multiple(*size_of(grey.lstar), MULTIPLE)
        padded = padding.add(grey_to_network(grey.lstar)[None])[0]
        height, width = padded.shape[-2:]
        pictures = [padded, *(to_network(still.lab) for still in kindred)]
        shown = [Image.fromarray(to_bytes(picture)) for picture in pictures]
        with _shown_at(max(height * width, settings.condition_pixels)):
            found: Any = self._pipeline(
                image=shown,
                prompt=prompt,
                negative_prompt=" " if settings.guidance > 1 else None,  # pyright: ignore[reportArgumentType]
                true_cfg_scale=settings.guidance,
                height=height,
                width=width,
                num_inference_steps=settings.steps,
                generator=torch.Generator().manual_seed(seed),
                output_type="pt",
            )
        drawn = padding.cut(found.images)[0] * 2 - 1  # the pipeline gives [0, 1]
        return replace(still_of(to_bytes(drawn)), frame=grey.frame)


@contextmanager
def _shown_at(pixels: int) -> Iterator[None]:
    """While the pipeline runs: it brings pictures that it is shown to `pixels`, aspect kept and
    sides rounded to 32. Its own figure is a constant of its module, no argument.

    At a padded frame's own number of pixels the frame stays as it is, and the grids of frame and
    still coincide, so that nothing is drawn beside its place.
    """
    own = pipeline_qwenimage_edit_plus.VAE_IMAGE_SIZE
    pipeline_qwenimage_edit_plus.VAE_IMAGE_SIZE = pixels
    try:
        yield
    finally:
        pipeline_qwenimage_edit_plus.VAE_IMAGE_SIZE = own
