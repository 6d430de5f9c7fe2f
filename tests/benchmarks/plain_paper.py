"""The paper's anchors and segments the plain way, to compare with: attention maps built, one row in
each call of a network, a reference's work done again for each anchor.

The same networks, number formats, steps and formulas as in the parts, and the same results to
their arithmetic's last digits. What is not compared (colour statistics, noise levels, the VAE,
optical flow, the drift taken out of a segment) is the parts' own code.

    N tokens of the picture    M of the reference    H heads    D width of a head
    z latents [1, 4, h, w]     features of a layer at a timestep: q, k, v [1, H, N or M, D]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from colorize_core.engines.contract import F32
from colorize_core.engines.diffusion.dual_attention.attention import Mix
from colorize_core.engines.diffusion.dual_attention.colour_statistics import (
    ColourStatistics,
    truncated,
    with_statistics,
)
from colorize_core.engines.diffusion.dual_attention.loop import adain, moved
from colorize_core.engines.diffusion.dual_attention.networks import DualNetworks
from colorize_core.engines.diffusion.pictures import (
    Padding,
    grey_to_network,
    to_bytes,
    to_network,
)
from colorize_core.engines.diffusion.settings import DualAttentionSettings
from colorize_core.engines.diffusion.svd import part as svd
from colorize_core.engines.diffusion.svd.bidirectional import Network, Row
from colorize_core.engines.diffusion.svd.injection import (
    Injection,
    attention_layers,
    residual_layers,
)
from colorize_core.engines.exemplar.raster import size_of
from colorize_core.media.color import srgb_to_lab

QKV = tuple[Tensor, Tensor, Tensor]


@contextmanager
def built_maps() -> Iterator[None]:
    """Every attention builds its N×M map, in the run's own number format, while entered."""
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


@contextmanager
def replaced(layers: Sequence[Attention], processors: Sequence[Any]) -> Iterator[None]:
    """`layers` with other attention processors while entered."""
    with ExitStack() as undo:
        for layer, processor in zip(layers, processors, strict=True):
            undo.callback(layer.set_processor, layer.processor)
            layer.set_processor(processor)
        yield


def projected(attn: Any, states: Tensor) -> QKV:
    """``[rows, N, H·D]`` → q, k, v ``[rows, H, N, D]``."""
    q, k, v = attn.to_q(states), attn.to_k(states), attn.to_v(states)
    return tuple(x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))  # pyright: ignore[reportReturnType]


def finished(attn: Any, found: Tensor) -> Tensor:
    """The layer's output projection."""
    return attn.to_out[0](found.transpose(1, 2).flatten(2))


# -- anchors ---------------------------------------------------------------------------------------


class Ordinary:
    """Self-attention that keeps its queries, keys and values."""

    def __init__(self) -> None:
        self.kept: QKV | None = None

    def __call__(self, attn: Attention, hidden_states: Tensor, **named: Any) -> Tensor:
        self.kept = q, k, v = projected(attn, hidden_states)
        return finished(attn, (attn.scale * (q @ k.mT)).softmax(-1) @ v)


@dataclass
class Dual:
    """Dual attention as its formula reads (Kosugi 2025, arXiv 2505.15812)."""

    own: QKV
    colour: QKV
    grey: QKV
    mix: Mix

    def __call__(self, attn: Attention, hidden_states: Tensor, **named: Any) -> Tensor:
        live_q, _, live_v = projected(attn, hidden_states)
        (q, k, _), (_, k_colour, v_colour), (_, k_grey, _) = self.own, self.colour, self.grey
        s, gamma, beta = attn.scale, self.mix.gamma, self.mix.beta
        likeness = gamma * s * (q @ k_grey.mT) + (1 - gamma) * s * (live_q @ k_colour.mT)
        found = likeness.softmax(-1) @ v_colour
        if beta:
            found = (1 - beta) * found + beta * ((s * (q @ k.mT)).softmax(-1) @ live_v)
        return finished(attn, found)


@dataclass
class PlainAnchors:
    """One anchor after the other, each with its reference inverted anew."""

    networks: DualNetworks
    settings: DualAttentionSettings

    @torch.inference_mode()
    def coloured(self, lstar: F32, still: F32) -> F32:
        """a*b* ``[H, W, 2]`` of a frame ``[H, W]`` from a still L*a*b* ``[H, W, 3]``."""
        grey, colour = grey_to_network(lstar), to_network(still)
        luma = (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]).expand_as(colour)
        padding = Padding.to_multiple(*size_of(lstar), 64)
        with built_maps():
            top, own = self._inverted(grey, padding)
            like, of_colour = self._inverted(colour, padding)
            _, of_luma = self._inverted(luma, padding)
            z = adain(top, like) if self.settings.adain else top
            wanted = ColourStatistics.of_reference(to_bytes(colour))
            for left in reversed(range(self.settings.passes)):
                z = self._sampled(z, own, of_colour, of_luma)
                drawn = (padding.cut(self.networks.decode(z))[0].clamp(-1, 1) + 1) / 2
                output = truncated(np.ascontiguousarray(drawn.permute(1, 2, 0).numpy()))
                picture = with_statistics(output, to_bytes(grey), wanted)
                if left:
                    again = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
                    z, _ = self._inverted(again, padding)
        return srgb_to_lab(picture.astype(np.float32) / np.float32(255))[..., 1:]

    def _inverted(
        self, picture: Tensor, padding: Padding
    ) -> tuple[Tensor, dict[int, tuple[QKV, ...]]]:
        """The latent at the ladder's top, and the layers' features at each timestep."""
        unet, ladder = self.networks.loop.unet, self.networks.loop.ladder
        z = self.networks.encode(padding.add(picture[None]))
        features: dict[int, tuple[QKV, ...]] = {}
        for t in ladder.climbed:
            keeping = [Ordinary() for _ in unet.layers]
            with replaced(unet.layers, keeping):
                eps = unet.plain(z, t)
            features[t] = tuple(each.kept for each in keeping if each.kept)
            z = moved(z, eps, t, t + ladder.gap)
        return z, features

    def _sampled(self, z: Tensor, *features: dict[int, tuple[QKV, ...]]) -> Tensor:
        unet, ladder = self.networks.loop.unet, self.networks.loop.ladder
        for t in ladder.sampled:
            own, colour, grey = (each[t] for each in features)
            ordinary = unet.plain(z, t)
            dual = [Dual(*each) for each in zip(own, colour, grey, unet.mixes, strict=True)]
            with replaced(unet.layers, dual):
                guided = unet.plain(z, t)
            eps = ordinary + self.settings.guidance * (guided - ordinary)
            z = moved(z, eps, t, max(0, t - ladder.gap))
        return z


# -- segments --------------------------------------------------------------------------------------


@contextmanager
def one_clip_a_call() -> Iterator[None]:
    """Part `svd` evaluates its U-Net for one clip at a time, with maps built, while entered; give
    it ``batching="one"``."""
    with built_maps(), mock.patch.object(svd, "Network", OneByOne):
        yield


@dataclass(frozen=True, slots=True, eq=False)
class OneByOne(Network):
    """A network that takes each row alone; where features are injected, the source's first."""

    def predict(
        self, rows: Sequence[Row], sigma: Tensor, injection: Injection | None = None
    ) -> Tensor:
        # `super()` without arguments knows no class that `slots` has made anew.
        alone = [[row] for row in rows]
        if injection is None:
            return torch.cat([Network.predict(self, row, sigma) for row in alone])
        given = Given(self.unet, injection)
        with given.taken():
            first = Network.predict(self, alone[0], sigma)
        with given.put_in():
            others = [Network.predict(self, row, sigma) for row in alone[1:]]
        return torch.cat([first, *others])


@dataclass
class Given:
    """What a source gives to the rows after it: queries and keys, and residual features."""

    unet: Any
    injection: Injection
    queries_and_keys: list[QKV] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The next call's are kept."""
        keeping = [Ordinary() for _ in self._layers]
        with replaced(self._layers, keeping), ExitStack() as undo:
            for layer in self._residual:
                hook = layer.register_forward_hook(lambda *call: self.features.append(call[-1]))
                undo.callback(hook.remove)
            yield
        self.queries_and_keys = [each.kept for each in keeping if each.kept]

    @contextmanager
    def put_in(self) -> Iterator[None]:
        """They are what later calls compute with."""
        put_in = [FromSource(q, k) for q, k, _ in self.queries_and_keys]
        with replaced(self._layers, put_in), ExitStack() as undo:
            for layer, own in zip(self._residual, self.features, strict=True):
                hook = layer.register_forward_hook(lambda *call, own=own: own)
                undo.callback(hook.remove)
            yield

    @property
    def _layers(self) -> list[Attention]:
        return attention_layers(self.unet) if self.injection.attention else []

    @property
    def _residual(self) -> list[nn.Module]:
        return residual_layers(self.unet) if self.injection.residual else []


@dataclass
class FromSource:
    """Self-attention with another clip's queries and keys."""

    q: Tensor
    k: Tensor

    def __call__(self, attn: Attention, hidden_states: Tensor, **named: Any) -> Tensor:
        v = projected(attn, hidden_states)[2]
        return finished(attn, (attn.scale * (self.q @ self.k.mT)).softmax(-1) @ v)
