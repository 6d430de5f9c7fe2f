"""ControlNet for Stable Video Diffusion: the film's edges and motion as residuals of its U-Net.

    B clips    F frames    h w latent height and width    H W = 8h, 8w picture's
    C width of a skip connection    h' w' its height and width    E width of the time embedding
    edges, flow  [B, F, 3, H, W] in [0, 1]
    a copy of the U-Net's conv_in, embeddings, down and mid blocks runs on conv_in(sample)
    + edge stem(edges) + flow stem(flow), and gives, each through a zero 1×1 convolution:
    down  for each of the U-Net's skip connections [B·F, C, h', w'] (Stable Video Diffusion: 12)
    mid   [B·F, C, h', w']

Zhang et al. 2023 (ControlNet), with one stem for each kind of condition, as in the paper (Kimura
and Yanai, section 3.3); the stem is diffusers' `ControlNetConditioningEmbedding`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding, zero_module
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_3d_blocks import UNetMidBlockSpatioTemporal, get_down_block
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import nn

_COPIED = ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block")
# Of the U-Net's configuration: what those depend on.
_SHARED = (
    "in_channels",
    "down_block_types",
    "block_out_channels",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
    "layers_per_block",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "num_attention_heads",
)


class SVDControlNet(ModelMixin, ConfigMixin):
    """The trainable copy. Arguments are the U-Net's own; `stem_channels`: widths inside the stems,
    one stride of 2 between neighbours (three strides: the VAE's 1/8)."""

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        in_channels: int = 8,
        down_block_types: tuple[str, ...] = (
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        addition_time_embed_dim: int = 256,
        projection_class_embeddings_input_dim: int = 768,
        layers_per_block: int | tuple[int, ...] = 2,
        cross_attention_dim: int | tuple[int, ...] = 1024,
        transformer_layers_per_block: int | tuple[int, ...] = 1,
        num_attention_heads: int | tuple[int, ...] = (5, 10, 20, 20),
        stem_channels: tuple[int, ...] = (16, 32, 96, 256),
    ) -> None:
        super().__init__()
        widths, count = block_out_channels, len(block_out_channels)
        layers = _each(layers_per_block, count)
        attended = _each(cross_attention_dim, count)
        depths = _each(transformer_layers_per_block, count)
        heads = _each(num_attention_heads, count)
        embedded = 4 * widths[0]

        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.edge_stem = ControlNetConditioningEmbedding(widths[0], 3, stem_channels)
        self.flow_stem = ControlNetConditioningEmbedding(widths[0], 3, stem_channels)
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], embedded)
        self.add_time_proj = Timesteps(
            addition_time_embed_dim, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        self.add_embedding = TimestepEmbedding(projection_class_embeddings_input_dim, embedded)
        self.down_blocks = _down_blocks(down_block_types, widths, layers, depths, attended, heads)
        self.mid_block = UNetMidBlockSpatioTemporal(
            widths[-1],
            temb_channels=embedded,
            transformer_layers_per_block=depths[-1],
            cross_attention_dim=attended[-1],
            num_attention_heads=heads[-1],
        )
        self.down_zeros = nn.ModuleList(
            zero_module(nn.Conv2d(width, width, 1)) for width in _skip_widths(widths, layers)
        )
        self.mid_zero = zero_module(nn.Conv2d(widths[-1], widths[-1], 1))

    @classmethod
    def from_unet(cls, unet: UNetSpatioTemporalConditionModel) -> SVDControlNet:
        """A ControlNet with the U-Net's weights, on its device and of its type. All residuals are
        exactly 0 until it is trained."""
        found = cls(**{name: unet.config[name] for name in _SHARED})
        for name in _COPIED:
            getattr(found, name).load_state_dict(getattr(unet, name).state_dict())
        # not diffusers' own `to`, which warns about layers that this network has not
        nn.Module.to(found, device=unet.device, dtype=unet.dtype)
        return found

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        added_time_ids: torch.Tensor,
        edges: torch.Tensor,
        flow: torch.Tensor,
        scale: float = 1.0,
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Residuals of the U-Net's skip connections, and of its mid block; times `scale`.

        Args:
            sample: ``[B, F, 8, h, w]``, what the U-Net gets.
            timestep: one number, or ``[B]``.
            encoder_hidden_states: ``[B, 1, C]``, CLIP's embedding.
            added_time_ids: ``[B, 3]``.
            edges, flow: ``[B, F, 3, 8h, 8w]`` in [0, 1] (`motion.edges`, `motion.flow_picture`).
        """
        frames = sample.shape[1]
        embedding = self._embedding(timestep, added_time_ids, sample)
        shared: dict[str, Any] = {
            "temb": embedding.repeat_interleave(frames, dim=0),
            "image_only_indicator": sample.new_zeros(sample.shape[:2]),
        }
        picture = encoder_hidden_states.repeat_interleave(frames, dim=0)

        x = self.conv_in(sample.flatten(0, 1))
        x = x + self.edge_stem(edges.flatten(0, 1)) + self.flow_stem(flow.flatten(0, 1))
        skips = (x,)
        for block in self.down_blocks:
            if getattr(block, "has_cross_attention", False):
                x, passed = block(x, encoder_hidden_states=picture, **shared)
            else:
                x, passed = block(x, **shared)
            skips += passed
        x = self.mid_block(x, encoder_hidden_states=picture, **shared)

        down = zip(self.down_zeros, skips, strict=True)
        return tuple(zero(skip) * scale for zero, skip in down), self.mid_zero(x) * scale

    def _embedding(
        self, timestep: torch.Tensor, added_time_ids: torch.Tensor, sample: torch.Tensor
    ) -> torch.Tensor:
        """Of noise level and time ids: ``[B, E]``. The projections compute in float32."""
        batch = len(sample)
        level = self.time_proj(timestep.to(sample.device).reshape(-1).expand(batch))
        added = self.add_time_proj(added_time_ids.flatten()).reshape(batch, -1)
        return self.time_embedding(level.to(sample.dtype)) + self.add_embedding(
            added.to(sample.dtype)
        )


@contextmanager
def residuals(
    unet: UNetSpatioTemporalConditionModel, down: Sequence[torch.Tensor], mid: torch.Tensor
) -> Iterator[None]:
    """`unet` with a ControlNet's residuals added to its skip connections and to its mid block's
    output while entered, and as it was after that, also after an error.

    The stock U-Net takes none: they are put in by hooks on its blocks, which leave its own hooks
    and its attention processors alone. A U-Net that is compiled as a whole would ignore them (its
    layers may be compiled).

    Raises:
        ValueError: there are more or fewer residuals than skip connections, or the U-Net is
            compiled.
    """
    if unet._compiled_call_impl is not None:
        raise ValueError("a compiled U-Net ignores hooks: compile the layers of its blocks")
    left = list(down)
    with ExitStack() as undo:
        for block in unet.up_blocks:  # they take the skip connections from the last to the first
            count = len(cast(nn.ModuleList, block.resnets))
            own, left = left[-count:], left[:-count]
            hook = block.register_forward_pre_hook(_adds_to_skips(own), with_kwargs=True)
            undo.callback(hook.remove)
        if left:
            raise ValueError(f"{len(left)} of {len(down)} residuals have no skip connection")
        undo.callback(unet.mid_block.register_forward_hook(_adds(mid)).remove)
        yield


def _adds(own: torch.Tensor) -> Any:
    def hook(block: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        return output + own

    return hook


def _adds_to_skips(own: Sequence[torch.Tensor]) -> Any:
    def hook(
        block: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        skips = named["res_hidden_states_tuple"]
        added = tuple(skip + each for skip, each in zip(skips, own, strict=True))
        return inputs, {**named, "res_hidden_states_tuple": added}

    return hook


def _each(value: int | Sequence[int], count: int) -> Sequence[int]:
    """The U-Net's settings are one number for all blocks, or one for each."""
    return (value,) * count if isinstance(value, int) else value


def _down_blocks(
    kinds: Sequence[str],
    widths: Sequence[int],
    layers: Sequence[int],
    depths: Sequence[int],
    attended: Sequence[int],
    heads: Sequence[int],
) -> nn.ModuleList:
    return nn.ModuleList(
        get_down_block(
            kind,
            num_layers=layers[i],
            transformer_layers_per_block=depths[i],
            in_channels=widths[max(i - 1, 0)],
            out_channels=widths[i],
            temb_channels=4 * widths[0],
            add_downsample=i < len(kinds) - 1,
            resnet_eps=1e-5,
            cross_attention_dim=attended[i],
            num_attention_heads=heads[i],
            resnet_act_fn="silu",
        )
        for i, kind in enumerate(kinds)
    )


def _skip_widths(widths: Sequence[int], layers: Sequence[int]) -> list[int]:
    """Of the skip connections: conv_in's, then each layer's, and each block's downsampling."""
    found = [widths[0]]
    for i, width in enumerate(widths):
        found += [width] * (layers[i] + (i < len(widths) - 1))
    return found
