"""Feature injection: a clip under way takes structure from a source clip in the same network call.

Plug-and-play (Tumanyan et al. 2023) for a video U-Net. Rows of one call, direction by direction:
the source's row first, then the rows that follow it.

    D directions of time    R rows of a direction    F frames    N = h·w tokens    H heads
    hidden states of spatial attention   [D·R·F, N, C]
    feature maps                         [D·R·F, C, h, w]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from colorize_core.errors import SettingError

_Layer = TypeVar("_Layer")

# Of `up_blocks`, their `attentions`: plug-and-play's decoder layers 4 to 11, by position.
ATTENTION_LAYERS = {1: (1, 2), 2: (0, 1, 2), 3: (0, 1, 2)}
# Of `up_blocks`, its `resnets`: plug-and-play's decoder layer 4.
RESIDUAL_LAYER = (1, 1)


@dataclass(frozen=True, slots=True)
class Injection:
    """What the source's row gives to the other rows of its direction in one network call."""

    rows: int  # R
    frames: int  # F
    attention: bool
    residual: bool


@contextmanager
def injected(unet: UNetSpatioTemporalConditionModel, injection: Injection) -> Iterator[None]:
    """`unet` with injection while entered, and as it was after that, also after an error.

    Raises:
        SettingError: the network has none of the layers.
    """
    with ExitStack() as undo:
        if injection.attention:
            for layer in _present(attention_layers(unet)):
                undo.callback(layer.set_processor, layer.processor)
                replaced = SourceQueriesAndKeys(injection.rows, injection.frames)
                layer.set_processor(replaced)  # pyright: ignore[reportArgumentType]
        if injection.residual:
            # What the block adds to its skip connection: the last spatial convolution's output.
            # The temporal half of the block then works on the injected features.
            for layer in _present(residual_layers(unet)):
                replaced = SourceFeatures(injection.rows, injection.frames)
                undo.callback(layer.register_forward_hook(replaced).remove)
        yield


def attention_layers(unet: UNetSpatioTemporalConditionModel) -> list[Attention]:
    """Spatial self-attention of the listed positions, those that the network has."""
    return [
        transformer.attn1
        for block, positions in ATTENTION_LAYERS.items()
        for i, layer in enumerate(_children(unet, block, "attentions"))
        if i in positions
        for transformer in layer.transformer_blocks
    ]


def residual_layers(unet: UNetSpatioTemporalConditionModel) -> list[nn.Module]:
    """The last spatial convolution of the residual block; empty where the network has none."""
    block, position = RESIDUAL_LAYER
    return [
        layer.spatial_res_block.conv2
        for i, layer in enumerate(_children(unet, block, "resnets"))
        if i == position
    ]


@dataclass(frozen=True, slots=True)
class SourceQueriesAndKeys:
    """Attention processor: all rows of a direction look where its source looks, at own values."""

    rows: int
    frames: int

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``[D·R·F, N, C]`` → the same shape."""
        by_row = hidden_states.unflatten(0, (-1, self.rows, self.frames))  # [D, R, F, N, C]
        source = by_row[:, :1]
        query, key, value = (
            states.expand_as(by_row).flatten(0, 2).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for states in _projected(attn, source, by_row)
        )  # [D·R·F, H, N, C/H] each
        mixed = scaled_dot_product_attention(query, key, value, scale=attn.scale)
        joined = mixed.transpose(1, 2).flatten(2)  # [D·R·F, N, C]
        project, dropout = attn.to_out  # pyright: ignore[reportGeneralTypeIssues]
        return dropout(project(joined))


@dataclass(frozen=True, slots=True)
class SourceFeatures:
    """Forward hook: all rows of a direction have the features of its source."""

    rows: int
    frames: int

    def __call__(
        self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor:
        """``[D·R·F, C, h, w]`` → the same shape."""
        by_row = output.unflatten(0, (-1, self.rows, self.frames))
        return by_row[:, :1].expand_as(by_row).flatten(0, 2)


def _projected(
    attn: Attention, source: torch.Tensor, own: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries and keys of the source, values of all."""
    to_q, to_k, to_v = attn.to_q, attn.to_k, attn.to_v
    return to_q(source), to_k(source), to_v(own)  # pyright: ignore[reportOptionalCall]


def _children(unet: UNetSpatioTemporalConditionModel, block: int, kind: str) -> list[Any]:
    blocks: list[Any] = list(unet.up_blocks)
    return list(getattr(blocks[block], kind, ())) if block < len(blocks) else []


def _present(layers: list[_Layer]) -> list[_Layer]:
    if not layers:
        raise SettingError(
            "The U-Net of svd.weights has no layer that features could be injected in.",
            "Set svd.tau_attn and svd.tau_f to 0, or use Stable Video Diffusion's weights.",
        )
    return layers
