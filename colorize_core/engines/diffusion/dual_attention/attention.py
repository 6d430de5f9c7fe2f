"""Dual attention: a picture looks its colours up in a coloured reference.

Kosugi 2025 (arXiv 2505.15812), as its official code computes it. In the listed self-attention
layers of Stable Diffusion's U-Net the colours (values) of the reference are read where two
likenesses agree: of the grey input with the grey reference, and of the picture coloured so far
with the coloured reference.

Shapes:
    B  rows of a batch: pictures being coloured      H  heads
    N  tokens of the picture (pixels of the layer)   D  width of one head
    M  tokens of the reference, any number           C  width of the layer, H · D
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Mix:
    """How one layer mixes.

    Attributes:
        gamma: share of grey-to-grey against colour-to-colour likeness, in [0, 1].
        beta: share of the input's own self-attention, in [0, 1].
        form: what gamma mixes: logits, before the softmax, or probabilities, after it (a variant
            of the official code, which costs one attention more).
    """

    gamma: float
    beta: float
    form: Literal["logits", "probabilities"] = "logits"

    @property
    def reads_reference(self) -> bool:
        return self.beta < 1

    @property
    def reads_grey(self) -> bool:
        """Grey-to-grey likeness has a share."""
        return self.reads_reference and self.gamma > 0

    @property
    def reads_colour(self) -> bool:
        """Colour-to-colour likeness has a share."""
        return self.reads_reference and self.gamma < 1

    @property
    def reads_own(self) -> bool:
        """The input's own self-attention has a share."""
        return self.beta > 0


# -- features: what inversion leaves for sampling, and nothing that γ and β do not need ----------


@dataclass(frozen=True, slots=True, eq=False)
class InputFeatures:
    """One layer's features of the grey inputs at one timestep; empty where not needed.

    Attributes:
        q, k: queries and keys ``[B, H, N, D]``.
    """

    q: Tensor
    k: Tensor

    @classmethod
    def of(cls, q: Tensor, k: Tensor, v: Tensor, mix: Mix) -> InputFeatures:
        empty = q.new_empty(0)
        wants_q = mix.reads_grey or mix.reads_own
        return cls(q if wants_q else empty, k if mix.reads_own else empty)


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFeatures:
    """One layer's features of a reference at one timestep; empty where not needed.

    Attributes:
        keys: of the grey reference, of the colour reference, or of both, joined along the head:
            ``[1, H, M, D or 2·D]``.
        values: of the colour reference, ``[1, H, M, D]``.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, q: Tensor, k: Tensor, v: Tensor, mix: Mix) -> ReferenceFeatures:
        """From a call with two rows: the colour reference, the grey reference."""
        if not mix.reads_reference:
            return cls(q.new_empty(0), q.new_empty(0))
        colour, grey = k.split(1)
        # Clones: a slice would keep the other row alive.
        return cls(joined(grey, colour, mix).clone(), v[:1].clone())


def joined(grey: Tensor, colour: Tensor, mix: Mix) -> Tensor:
    """``[..., D]`` twice → those that have a share, side by side: ``[..., D or 2·D]``."""
    if mix.reads_grey and mix.reads_colour:
        return torch.cat([grey, colour], dim=-1)
    return grey if mix.reads_grey else colour


# -- the attention -------------------------------------------------------------------------------


def dual_attention(
    q_live: Tensor,
    v_live: Tensor,
    own: InputFeatures,
    reference: ReferenceFeatures,
    mix: Mix,
    scale: float,
) -> Tensor:
    """The attention of one layer, before its output projection: ``[B, H, N, D]``.

    ``softmax(γ·s·q_in·k_greyᵀ + (1-γ)·s·q_live·k_refᵀ)·v_ref``, of which β is replaced by
    ``softmax(s·q_in·k_inᵀ)·v_live``.

    Args:
        q_live, v_live: queries and values ``[B, H, N, D]`` of the pictures being coloured.
        own: features of the grey inputs, of B rows or of one for all.
        reference: features of the reference that all rows share.
        scale: s, D to the power of -1/2.
    """
    if not mix.reads_reference:
        return _attend(own.q, own.k, v_live, scale)
    found = _from_reference(q_live, own.q, reference, mix, scale)
    if not mix.reads_own:
        return found
    return torch.lerp(found, _attend(own.q, own.k, v_live, scale), mix.beta)


def _from_reference(
    q_live: Tensor, q_in: Tensor, reference: ReferenceFeatures, mix: Mix, scale: float
) -> Tensor:
    keys, values = reference.keys, reference.values
    if not mix.reads_colour:
        return _attend(q_in, keys, values, scale).expand_as(q_live)
    if not mix.reads_grey:
        return _attend(q_live, keys, values, scale)
    if mix.form == "probabilities":
        grey, colour = keys.chunk(2, dim=-1)
        by_colour = _attend(q_live, colour, values, scale)
        return torch.lerp(by_colour, _attend(q_in, grey, values, scale), mix.gamma)
    # A sum of two scalar products is one scalar product of joined vectors: one attention does it.
    q = joined((mix.gamma * q_in).expand_as(q_live), (1 - mix.gamma) * q_live, mix)
    # With values narrower than keys, torch falls back to a path that builds the N×M map.
    width = values.shape[-1]
    return _attend(q, keys, functional.pad(values, (0, width)), scale)[..., :width]


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    rows = max(q.shape[0], v.shape[0])
    q, k, v = (each.expand(rows, -1, -1, -1) for each in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, scale=scale)


# -- processors: what diffusers' attention layers call -------------------------------------------


class Processor:
    """A self-attention whose middle is `attend`. Written for Stable Diffusion 1.x: no mask, no norm
    and no residual of its own."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """``[rows, N, C]`` → ``[rows, N, C]``."""
        q, k, v = (
            project(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # pyright: ignore[reportOptionalCall]
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        found = self.attend(q, k, v, attn.scale).transpose(1, 2).flatten(2)
        project_out, dropout = attn.to_out  # pyright: ignore[reportGeneralTypeIssues]
        return dropout(project_out(found))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        raise NotImplementedError


class Recording(Processor, Generic[F]):
    """Ordinary self-attention that keeps `of` its queries, keys and values: `features`."""

    def __init__(self, of: Callable[[Tensor, Tensor, Tensor, Mix], F], mix: Mix) -> None:
        self._of, self._mix = of, mix
        self.features: F | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        self.features = self._of(q, k, v, self._mix)
        return _attend(q, k, v, scale)


class Halves(Processor):
    """The first half of the rows attends as ever, the second by dual attention."""

    def __init__(self, own: InputFeatures, reference: ReferenceFeatures, mix: Mix) -> None:
        self._own, self._reference, self._mix = own, reference, mix

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        (q, q_live), (k, _), (v, v_live) = q.chunk(2), k.chunk(2), v.chunk(2)
        plain = _attend(q, k, v, scale)
        dual = dual_attention(q_live, v_live, self._own, self._reference, self._mix, scale)
        return torch.cat([plain, dual])


@contextmanager
def processors(layers: Sequence[Attention], put_in: Sequence[Processor]) -> Iterator[None]:
    """`layers` work with the processors `put_in` while it is entered."""
    before = [layer.processor for layer in layers]
    try:
        for layer, processor in zip(layers, put_in, strict=True):
            layer.set_processor(processor)  # pyright: ignore[reportArgumentType]
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


# -- the U-Net -----------------------------------------------------------------------------------


class DualUNet:
    """Stable Diffusion's U-Net with an empty prompt, whose listed layers give and take features.

    The listed layers are the self-attentions of the two last blocks on the way up: deep ones in
    the last but one (640 wide in SD 1.4), shallow ones in the last (320 wide). All else is
    untouched, and so are they between calls.
    """

    def __init__(self, unet: UNet2DConditionModel, prompt: Tensor, shallow: Mix, deep: Mix) -> None:
        """`prompt`: embedding of the empty prompt, ``[1, tokens, width]``."""
        self.unet, self._prompt = unet, prompt
        blocks: Sequence[Any] = unet.up_blocks[-2:]  # pyright: ignore[reportAssignmentType]
        in_blocks = [
            [attention.transformer_blocks[0].attn1 for attention in block.attentions]
            for block in blocks
        ]
        self.layers: list[Attention] = [*in_blocks[0], *in_blocks[1]]
        self.mixes = [deep] * len(in_blocks[0]) + [shallow] * len(in_blocks[1])

    def plain(self, z: Tensor, t: int) -> Tensor:
        """ε of latents ``[rows, 4, h, w]`` at timestep t; any float type in, the same out."""
        timestep = torch.tensor(t, device=self.unet.device)
        prompt = self._prompt.expand(z.shape[0], -1, -1)
        found = self.unet(z.to(self.unet.dtype), timestep, prompt, return_dict=False)
        return found[0].to(z.dtype)

    def recorded(
        self, z: Tensor, t: int, of: Callable[[Tensor, Tensor, Tensor, Mix], F]
    ) -> tuple[Tensor, tuple[F, ...]]:
        """`plain`, with `of` the queries, keys and values of each listed layer."""
        recording = [Recording(of, mix) for mix in self.mixes]
        with processors(self.layers, recording):
            eps = self.plain(z, t)
        return eps, tuple(each.features for each in recording if each.features is not None)

    def both(
        self,
        z: Tensor,
        t: int,
        own: Sequence[InputFeatures],
        reference: Sequence[ReferenceFeatures],
    ) -> tuple[Tensor, Tensor]:
        """ε by ordinary and by dual attention, in one call with twice the rows."""
        halves = [Halves(*each) for each in zip(own, reference, self.mixes, strict=True)]
        with processors(self.layers, halves):
            plain, dual = self.plain(torch.cat([z, z]), t).chunk(2)
        return plain, dual
