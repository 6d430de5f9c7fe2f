"""Memory of part `qwen` by formula: its networks, and the phases of one still.

Bytes come from the networks' configurations: of those on this machine, otherwise of the published
ones. The phases follow each other, so the largest counts; what each holds at its peak was counted
on small networks of the same classes (`tests/peak_tensors.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colorize_core.engines.contract import Memory
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.bounds import most_padded
from colorize_core.engines.diffusion.published import ELEMENT_BYTES
from colorize_core.engines.diffusion.qwen.lora import lora_bytes
from colorize_core.engines.diffusion.settings import QwenSettings

_TOKEN = 256  # pixels for one token of the transformer
_PROMPT = 1024  # tokens of a prompt and what the pipeline says around it, at most
_PICTURE = 210  # tokens of a picture in the prompt: 384 × 384 pixels over 28 × 28, and its name
_SHOWN = 12  # bytes a pixel: a picture in float32, kept from first to last
_DRAWN = 60  # bytes a pixel: what is made of the still after the networks
_MULTIPLE = 32  # of padded sides
_FEW_BITS = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}  # bytes a weight; 4 bit: a scale for 64 of them


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the networks. Defaults: Qwen-Image-Edit-2509.

    Attributes:
        width: of the transformer.
        vae: channels at full size; `multiples` of them at each halving; `blocks` at each size.
        hidden, layers, vocabulary: of the text encoder.
    """

    width: int = 3072
    vae: int = 96
    multiples: Sequence[int] = (1, 2, 4, 4)
    blocks: int = 2
    hidden: int = 3584
    layers: int = 28
    vocabulary: int = 152_064

    @classmethod
    def of(
        cls, transformer: Mapping[str, Any], vae: Mapping[str, Any], text: Mapping[str, Any]
    ) -> Sizes:
        """From the configurations of the three networks."""
        text = text.get("text_config", text)
        return cls(
            width=transformer["num_attention_heads"] * transformer["attention_head_dim"],
            vae=vae["base_dim"],
            multiples=tuple(vae["dim_mult"]),
            blocks=vae["num_res_blocks"],
            hidden=text["hidden_size"],
            layers=text["num_hidden_layers"],
            vocabulary=text["vocab_size"],
        )


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that the phases hold beside the weights. `number`: bytes of one number."""

    sizes: Sizes
    number: int

    @classmethod
    def of(cls, settings: QwenSettings) -> Footprint:
        found = [
            weights.configuration(settings.weights, settings.revision, name)
            for name in ("transformer", "vae", "text_encoder")
        ]
        transformer, vae, text = found
        sizes = Sizes.of(transformer, vae, text) if transformer and vae and text else Sizes()
        return cls(sizes, ELEMENT_BYTES[settings.precision])

    @property
    def encoded(self) -> float:
        """A pixel of a picture in the VAE's encoder: largest at full size, where 8 tensors live
        beside what the blocks' causal convolutions keep of their inputs, two each."""
        return (8 + 2 * self.sizes.blocks) * self.sizes.vae * self.number

    @property
    def decoded(self) -> float:
        """A pixel of a picture in the VAE's decoder: as `encoded`, and what the smaller sizes' one
        block more keeps is still held."""
        kept = sum(m / 4**i for i, m in enumerate(self.sizes.multiples))
        working = 7.5 + 2 * (self.sizes.blocks + 1) * kept
        return working * self.sizes.vae * self.number + _DRAWN

    @property
    def token(self) -> float:
        """A token in the transformer: 16 widths, in its joint attention."""
        return 16 * self.sizes.width * self.number

    def described(self, pictures: int) -> float:
        """The text encoder: states of all its layers, and its logits, which nobody asks for."""
        sizes = self.sizes
        each = (sizes.layers + 8) * sizes.hidden + sizes.vocabulary
        return (_PROMPT + pictures * _PICTURE) * each * self.number

    def still(self, padded: float, shown: float, pictures: int) -> float:
        """The largest phase of a still of `padded` pixels, with `pictures` of `shown` pixels."""
        tokens = (padded + pictures * shown) / _TOKEN + _PROMPT + pictures * _PICTURE
        return _SHOWN * pictures * shown + max(
            self.described(pictures),
            self.encoded * shown,
            self.token * tokens,
            self.decoded * padded,
        )

    def memory(self, settings: QwenSettings) -> Memory:
        """The part's memory. The largest phase is convex in the pixels, so a line through its
        values at none and at the budget is nowhere below it."""
        budget, pictures = settings.pixel_budget, 1 + settings.kindred
        padding = most_padded(budget, _MULTIPLE) - budget

        def largest(pixels: int) -> float:
            shown = max(pixels, settings.condition_pixels) + padding
            return self.still(pixels + padding, shown, pictures)

        least, most = largest(0), largest(budget)
        return Memory(
            fixed=weight_bytes(settings, self.sizes) + math.ceil(least),
            per_pixel=max(1, math.ceil((most - least) / budget)),
        )


def weight_bytes(settings: QwenSettings, sizes: Sizes) -> int:
    """Bytes of weights on the GPU at once."""
    number = ELEMENT_BYTES[settings.precision]
    vocabulary = sizes.vocabulary * sizes.hidden * number
    if settings.offload == "sequential":  # one layer: a vocabulary's, or a block's modulation
        return max(vocabulary, 6 * sizes.width**2 * number)
    transformer, text, vae = (
        weights.parameter_bytes(settings.weights, settings.revision, (name,), settings.precision)
        for name in ("transformer", "text_encoder", "vae")
    )
    if settings.quantization != "none":  # of the text encoder not what reads and writes words
        share = _FEW_BITS[settings.quantization] / number
        transformer = math.ceil(transformer * share)
        text = math.ceil((text - 2 * vocabulary) * share) + 2 * vocabulary
    transformer += lora_bytes(settings)
    if settings.offload == "model":  # the VAE leaves when the next still begins
        return max(transformer, text) + vae
    return transformer + text + vae
