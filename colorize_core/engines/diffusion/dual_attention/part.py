"""Part `dual_attention`: anchors from a reference, by Stable Diffusion 1.4 without training.

Kimura and Yanai, section 3.2, after Kosugi 2025 (arXiv 2505.15812). The attention is in
`attention.py`, inversion and guided sampling in `loop.py`, the 8-bit colour statistics in
`colour_statistics.py`, the networks in `networks.py`; here are references, batches, passes.

Shapes: B anchors of one batch; H, W height and width of frames; pictures R'G'B' float32
``[B, 3, H, W]`` in [-1, 1]; z latents ``[B, 4, h, w]`` of padded pictures, h and w an eighth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from colorize_core.engines.contract import (
    F32,
    Chroma,
    ColourStill,
    Device,
    Facts,
    FrameReader,
    GreyFrame,
)
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.bounds import UNET_MULTIPLE
from colorize_core.engines.diffusion.dual_attention.attention import (
    InputFeatures,
    ReferenceFeatures,
)
from colorize_core.engines.diffusion.dual_attention.colour_statistics import (
    Bytes,
    ColourStatistics,
    truncated,
    with_statistics,
)
from colorize_core.engines.diffusion.dual_attention.loop import Features, adain
from colorize_core.engines.diffusion.dual_attention.memory import KEPT_REFERENCES, Footprint
from colorize_core.engines.diffusion.dual_attention.networks import DualNetworks
from colorize_core.engines.diffusion.pictures import (
    Padding,
    grey_to_network,
    to_bytes,
    to_network,
)
from colorize_core.engines.diffusion.settings import DualAttentionSettings
from colorize_core.engines.exemplar.raster import resized, size_of
from colorize_core.media.color import lab_of_pixels
from colorize_core.references.likeness import same_scene, scene_keypoints, structure
from colorize_core.timebase import FrameSpan

_LARGEST_BATCH = 8
_DISAGREEMENT = 10.0  # difference of a*b* between passes at which confidence is 1/e
_UNCHECKED = 0.5  # confidence after a single pass, which can be compared with nothing
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What depends on a still alone, and is done once for all anchors that take it.

    Attributes:
        top: its latent ``[1, 4, h, w]`` at the level that inversion reaches.
        features: of the still and of its grey picture.
        colours: what each pass's colours are brought to.
    """

    top: Tensor
    features: Features[ReferenceFeatures]
    colours: ColourStatistics


class DualAttention:
    """Anchor colorizer on a GPU, with Stable Diffusion's published weights."""

    def __init__(self, settings: DualAttentionSettings, device: Device) -> None:
        self._settings, self._device = settings, device
        self._references: dict[tuple[str, tuple[int, int]], Reference] = {}  # used last: last

    @property
    def facts(self) -> Facts:
        settings = self._settings
        at = settings.weights, settings.revision
        weight_bytes = weights.parameter_bytes(*at, ("unet", "vae"), settings.precision)
        return Facts(
            name="dual_attention",
            version=1,
            pixel_budget=settings.pixel_budget,
            memory=Footprint.of(settings).memory(weight_bytes, settings.pixel_budget),
            enlarges=True,
            square_pixels=True,
            needs_gpu=True,
            weights=weights.identity(*at),
            network_calls=_evaluations(settings),
        )

    @cached_property
    def networks(self) -> DualNetworks:
        """Loaded when first asked for.

        Raises:
            WeightsMissing: they are not on this machine.
        """
        return DualNetworks.load(self._settings, self._device)

    def colorize(
        self,
        anchors: Sequence[int],
        references: Sequence[ColourStill],
        reader: FrameReader,
        seed: int,
    ) -> Iterator[tuple[int, Chroma]]:
        """See `contract.AnchorColorizer`. Nothing here is random: `seed` changes nothing.

        An anchor that a still shows takes the still's own colours, any other those of the still
        that is most like it. Without references there are no colours.
        """
        shown = {still.frame: still for still in references if still.frame is not None}
        chosen: dict[int, list[int]] = {}
        for anchor in anchors:
            if anchor in shown:
                yield anchor, _as_given(shown[anchor], _read(anchor, reader))
            elif not references:
                yield anchor, Chroma.grey(*_read(anchor, reader).lstar.shape)
            else:
                best = _most_alike(_read(anchor, reader), references)
                chosen.setdefault(best, []).append(anchor)
        for index, group in chosen.items():
            size = self._batch(_read(group[0], reader))
            for batch in (group[i : i + size] for i in range(0, len(group), size)):
                frames = [_read(anchor, reader) for anchor in batch]
                yield from zip(batch, self.coloured(frames, references[index]), strict=True)

    def _batch(self, frame: GreyFrame) -> int:
        if self._settings.batch:
            return self._settings.batch
        if self._device.kind == "cpu":
            # It gains nothing by more. Its arithmetic differs with the number of rows, in the last
            # digit, which 8 bits and guidance make visible: so neighbours change nothing.
            return 1
        fit = self.facts.memory.most_frames(frame.lstar.size, self._device.memory_bytes)
        return min(_LARGEST_BATCH, fit)

    @torch.inference_mode()
    def coloured(self, frames: Sequence[GreyFrame], still: ColourStill) -> list[Chroma]:
        """The colours of frames of one size, in one batch."""
        reference = self._reference(still, size_of(frames[0].lstar))
        before: list[F32] = []
        last: list[F32] = []
        for pictures in self._passes(frames, reference):
            before, last = last, [_ab(picture) for picture in pictures]
        sure = [_agreement(*pair) for pair in zip(before or [None] * len(last), last, strict=True)]
        return [
            Chroma(ab, confidence, (still.digest,))
            for ab, confidence in zip(last, sure, strict=True)
        ]

    def _passes(self, frames: Sequence[GreyFrame], reference: Reference) -> Iterator[list[Bytes]]:
        """The pictures after each refinement pass: R'G'B' bytes ``[H, W, 3]``."""
        networks, loop = self.networks, self.networks.loop
        padding = Padding.to_multiple(*size_of(frames[0].lstar), UNET_MULTIPLE)
        grey = [grey_to_network(frame.lstar) for frame in frames]
        z, own = loop.studied(networks.encode(padding.add(torch.stack(grey))), InputFeatures.of)
        if self._settings.adain:
            z = adain(z, reference.top)
        for left in reversed(range(self._settings.passes)):
            z = loop.sampled(z, own, reference.features)
            outputs = padding.cut(networks.decode(z))
            pictures = [
                with_statistics(_official_bytes(output), to_bytes(like), reference.colours)
                for output, like in zip(outputs, grey, strict=True)
            ]
            yield pictures
            if left:  # from the corrected picture, with the grey picture's features
                again = torch.stack([_from_bytes(picture) for picture in pictures])
                z = loop.inverted(networks.encode(padding.add(again)))

    def _reference(self, still: ColourStill, frame_size: tuple[int, int]) -> Reference:
        """The work on `still` for frames of this size; that on the last stills is kept."""
        key = still.digest, _still_size(still, frame_size)
        known = self._references.pop(key, None)
        while len(self._references) >= KEPT_REFERENCES:
            del self._references[next(iter(self._references))]
        self._references[key] = known or self._study(still, key[1])
        return self._references[key]

    def _study(self, still: ColourStill, size: tuple[int, int]) -> Reference:
        networks = self.networks
        picture = to_network(resized(still.lab, size))
        luma = torch.einsum("c,chw->hw", torch.tensor(_LUMA), picture).expand_as(picture)
        padding = Padding.to_multiple(*size, UNET_MULTIPLE)
        z = networks.encode(padding.add(torch.stack([picture, luma])))
        top, features = networks.loop.studied(z, ReferenceFeatures.of)
        colours = ColourStatistics.of_reference(to_bytes(picture))
        return Reference(top[:1].clone(), features, colours)


def _evaluations(settings: DualAttentionSettings) -> int:
    """Rows of the U-Net for one anchor, all passes; a reference's own are shared by many."""
    steps, exact = settings.start_step, settings.exact_start
    climbed = steps - 1 if exact else steps + 1
    if settings.features == "recompute":
        return settings.passes * (climbed + 3 * steps)
    return settings.passes * (climbed + 2 * steps) + exact


def _read(frame: int, reader: FrameReader) -> GreyFrame:
    return next(reader.read(FrameSpan(frame, frame + 1)))


# -- stills --------------------------------------------------------------------------------------


def _most_alike(anchor: GreyFrame, stills: Sequence[ColourStill]) -> int:
    """Index of the still that is most like `anchor`: by local structure, which finds the same
    view, and by keypoints, which find the same things elsewhere. Of equals the nearest frame."""
    if len(stills) == 1:
        return 0
    ours, size = scene_keypoints(anchor.lstar), size_of(anchor.lstar)

    def rank(index: int) -> tuple[float, float]:
        still = stills[index]
        lstar = resized(np.ascontiguousarray(still.lab[..., 0]), size)
        alike = structure(anchor.lstar, lstar) + same_scene(ours, scene_keypoints(lstar))
        away = math.inf if still.frame is None else abs(still.frame - anchor.frame)
        return alike, -away

    return max(range(len(stills)), key=rank)


def _still_size(still: ColourStill, frame_size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which a still is used: a frame's own, or as many pixels as a frame has
    in the still's own aspect."""
    if still.frame is not None:
        return frame_size
    height, width = still.lab.shape[:2]
    scale = math.sqrt(math.prod(frame_size) / (width * height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _as_given(still: ColourStill, frame: GreyFrame) -> Chroma:
    ab = resized(np.ascontiguousarray(still.lab[..., 1:]), size_of(frame.lstar))
    return Chroma(ab, np.ones(frame.lstar.shape, np.float32), (still.digest,))


# -- pictures in bytes, and what comes of them ---------------------------------------------------


def _official_bytes(output: Tensor) -> Bytes:
    """A decoded picture ``[3, H, W]`` clipped and cut off to bytes ``[H, W, 3]``."""
    unit = (output.clamp(-1, 1) + 1) / 2
    return truncated(np.ascontiguousarray(unit.permute(1, 2, 0).numpy()))


def _from_bytes(picture: Bytes) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1


def _ab(picture: Bytes) -> F32:
    lab = lab_of_pixels(picture)
    return np.ascontiguousarray(lab[..., 1:])


def _agreement(before: F32 | None, last: F32) -> F32:
    """Confidence ``[H, W]``: how little the last pass changed."""
    if before is None:
        return np.full(last.shape[:2], _UNCHECKED, np.float32)
    change = np.linalg.norm(last - before, axis=-1)
    return np.exp(-change / _DISAGREEMENT).astype(np.float32)
