"""Part `svd`: the frames between two anchors, by bidirectional Stable Video Diffusion.

Kimura and Yanai, section 3.3. Anchors become pictures (L* of the film, the given a*b*), pictures
become conditions (`networks.py`), latents between them are sampled (`bidirectional.py`, with
`euler.py` and `injection.py`), and of the decoded pictures a*b* are kept: the film's own L* is put
back where all parts' colours are merged.

    F frames    H W working height and width    H' W' padded to multiples of 64    h w = H'/8, W'/8
    pictures  R'G'B' float32 [F, 3, H', W'] in [-1, 1]
    latents   float32 [F, 4, h, w]
    colours   a*b* float32 [F, H, W, 2]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch

from colorize_core.engines.contract import F32, Chroma, Device, Facts, GreyFrame, Interpolator
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.bounds import UNET_MULTIPLE
from colorize_core.engines.diffusion.pictures import Padding, from_network, to_network
from colorize_core.engines.diffusion.settings import SvdSettings
from colorize_core.engines.diffusion.svd import memory as svd_memory
from colorize_core.engines.diffusion.svd import motion
from colorize_core.engines.diffusion.svd.bidirectional import (
    Condition,
    Controls,
    Direction,
    Network,
    Plan,
    Row,
    Source,
    denoise,
    invert,
)
from colorize_core.engines.diffusion.svd.euler import Schedule
from colorize_core.engines.diffusion.svd.networks import Networks
from colorize_core.engines.exemplar.raster import size_of
from colorize_core.errors import EngineFailed

_DRIFT_SIGMA = 1 / 16  # of the height: below it the VAE's drift lies, above it are the details
_MOST_AB = 110.0  # no colour of sRGB lies beyond


class Svd:
    """Interpolator on a GPU, with Stable Video Diffusion's published weights."""

    def __init__(self, settings: SvdSettings, device: Device, carrier: Interpolator) -> None:
        """`carrier` carries the anchors' colours through a segment by optical flow; it is asked
        where `strength` < 1 or `injection_source` is "flow"."""
        self._settings, self._device, self._carrier = settings, device, carrier

    @property
    def facts(self) -> Facts:
        settings = self._settings
        identities = [weights.identity(settings.weights, settings.revision)]
        if settings.controlnet:
            identities.append(weights.identity(settings.controlnet, ""))
        return Facts(
            name="svd",
            version=1,
            pixel_budget=settings.pixel_budget,
            memory=svd_memory.memory(settings),
            enlarges=True,
            square_pixels=True,
            max_frames=settings.max_frames,
            needs_gpu=True,
            weights="+".join(identities),
            network_calls=Plan.of(settings, settings.max_frames, together=True).evaluations,
        )

    @cached_property
    def _networks(self) -> Networks:
        return Networks.load(self._settings, self._device)

    def fill(
        self, frames: Sequence[GreyFrame], start: Chroma, end: Chroma, seed: int
    ) -> Sequence[Chroma]:
        """See `contract.Interpolator`. Between anchors without any colour there is none either.

        Raises:
            EngineFailed: more frames than `svd.max_frames`.
            WeightsMissing: the networks are not on this machine.
        """
        count = len(frames)
        if count > self._settings.max_frames:
            raise EngineFailed(
                f"A segment of {count} frames is longer than svd.max_frames allows "
                f"({self._settings.max_frames}).",
                "Lower anchor_interval, or raise svd.max_frames.",
            )
        if count <= 2:
            return [start, end][:count]
        if start.ab.any() or end.ab.any():
            colours = self._colours(self._networks, frames, start, end, seed)
        else:
            colours = np.zeros((count, *start.ab.shape), np.float32)
        confidence = _between(start.confidence, end.confidence, count)
        inner = map(Chroma, colours[1:-1], confidence[1:-1])
        return [start, *inner, end]

    @torch.inference_mode()
    def _colours(
        self,
        networks: Networks,
        frames: Sequence[GreyFrame],
        start: Chroma,
        end: Chroma,
        seed: int,
    ) -> F32:
        settings = self._settings
        carried = None
        if settings.strength < 1 or settings.injection_source == "flow":
            carried = [each.ab for each in self._carrier.fill(frames, start, end, seed)]
        segment = Segment([frame.lstar for frame in frames], start.ab, end.ab, carried)
        plan = self._plan(len(frames), segment.size)
        colours = Passage(settings, networks, plan, segment, seed).colours()
        if settings.pin_anchors:
            colours = pinned(colours, start.ab, end.ab)
        return np.clip(colours, -_MOST_AB, _MOST_AB)

    def _plan(self, frames: int, size: tuple[int, int]) -> Plan:
        """Both directions go through the network in one call where that is asked for or fits."""
        settings = self._settings
        together = settings.batching == "both"
        if settings.batching == "auto":
            need = svd_memory.need(settings, math.prod(size), frames, together=True)
            together = need <= self._device.memory_bytes
        return Plan.of(settings, frames, together)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """What is known of a segment's pictures: F lightnesses, the anchors' colours, and all frames'
    colours as optical flow carries them (None where nobody asks for them)."""

    lstar: Sequence[F32]
    start: F32
    end: F32
    carried: Sequence[F32] | None = None

    @property
    def padding(self) -> Padding:
        return Padding.to_multiple(*size_of(self.lstar[0]), UNET_MULTIPLE)

    @property
    def size(self) -> tuple[int, int]:
        """H' and W'."""
        height, width = self.lstar[0].shape
        sides = self.padding
        return height + sides.top + sides.bottom, width + sides.left + sides.right

    def anchors(self) -> torch.Tensor:
        """The start's picture and the end's: ``[2, 3, H', W']``."""
        return self._pictures([self.lstar[0], self.lstar[-1]], [self.start, self.end])

    def in_grey(self) -> torch.Tensor:
        return self._pictures(self.lstar, [np.zeros_like(self.start)] * len(self.lstar))

    def in_carried_colours(self) -> torch.Tensor:
        if self.carried is None:
            raise ValueError("nothing was carried through this segment")
        return self._pictures(self.lstar, self.carried)

    def _pictures(self, lstar: Sequence[F32], ab: Sequence[F32]) -> torch.Tensor:
        lab = map(np.dstack, zip(lstar, ab, strict=True))
        return self.padding.add(torch.stack([to_network(each) for each in lab]))


class Passage:
    """One segment's way through the networks."""

    def __init__(
        self, settings: SvdSettings, networks: Networks, plan: Plan, segment: Segment, seed: int
    ) -> None:
        self._settings, self._networks, self._plan = settings, networks, plan
        self._segment = segment
        self._schedule = Schedule.of(networks.scheduler, settings.steps)
        self._network = Network(
            networks.unet,
            torch.tensor([settings.fps - 1, settings.motion_bucket, settings.noise_aug]),
            networks.controlnet,
            settings.controlnet_scale,
        )
        self._random = torch.Generator().manual_seed(seed)
        # One noise for both anchors, as in Generative Inbetweening: neither is told more.
        self._image_noise = self._noise((3, *segment.size))

    def colours(self) -> F32:
        """a*b* as the networks draw them, at both ends, too: ``[F, H, W, 2]``."""
        start, end = map(self._condition, self._segment.anchors())
        controls = self._controls()
        sources = self._sources(controls)
        directions = (
            Direction(start, controls[0], sources[0]),
            Direction(end, controls[1], sources[1]),
        )
        latents = self._first_latents()
        z = denoise(
            self._network, self._schedule, latents, directions, self._plan, self._latent_noise
        )
        decoded = self._networks.decode(z, self._settings.decode_frames)
        pictures = self._segment.padding.cut(decoded)
        return np.stack([from_network(picture)[..., 1:] for picture in pictures])

    def _first_latents(self) -> torch.Tensor:
        """Latents at the plan's first level: noise, or the carried colours with noise on them."""
        noise = self._latent_noise()
        if self._plan.first == 0:
            return noise * self._schedule.first_noise
        clip = self._networks.encode(self._segment.in_carried_colours())
        return clip + self._schedule.sigmas[self._plan.first] * noise

    def _sources(
        self, controls: tuple[Controls | None, Controls | None]
    ) -> tuple[Source | None, Source | None]:
        """Each direction's source clip, inverted up to the levels that features are taken at."""
        if not self._plan.sourced:
            return None, None
        grey = self._settings.injection_source == "grey"
        pictures = self._segment.in_grey() if grey else self._segment.in_carried_colours()
        latents = self._networks.encode(pictures)
        first, last = self._condition(pictures[0]), self._condition(pictures[-1])
        clips = (Row(latents, first, controls[0]), Row(latents.flip(0), last, controls[1]))
        calls = [clips] if self._plan.together else [clips[:1], clips[1:]]
        found = [
            levels
            for call in calls
            for levels in invert(self._network, self._schedule, call, self._plan.sourced)
        ]
        return Source(first, found[0]), Source(last, found[1])

    def _controls(self) -> tuple[Controls | None, Controls | None]:
        """Edges and flow in both directions; none without a ControlNet."""
        flow = self._networks.flow
        if flow is None:
            return None, None
        settings, lstar = self._settings, self._segment.lstar
        edges = [motion.edges(each, settings.canny_low, settings.canny_high) for each in lstar]
        ahead = self._control(edges)
        # Reversed frames have a flow of their own: it is not the forward flow's reverse.
        flows = [self._control(motion.flow_pictures(each, flow)) for each in (lstar, lstar[::-1])]
        return Controls(ahead, flows[0]), Controls(ahead.flip(0), flows[1])

    def _control(self, pictures: Sequence[F32]) -> torch.Tensor:
        stacked = self._segment.padding.add(torch.from_numpy(np.stack(pictures)))
        return stacked.to(self._networks.device, self._networks.unet.dtype)

    def _condition(self, picture: torch.Tensor) -> Condition:
        return self._networks.condition(picture, self._image_noise, self._settings.noise_aug)

    def _noise(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal float32, drawn on the CPU: the same on every device."""
        return torch.randn(shape, generator=self._random)

    def _latent_noise(self) -> torch.Tensor:
        height, width = self._segment.size
        drawn = self._noise((len(self._segment.lstar), 4, height // 8, width // 8))
        return drawn.to(self._networks.device)


def pinned(colours: F32, start: F32, end: F32) -> F32:
    """Colours of a segment ``[F, H, W, 2]`` without the drift of the VAE and the networks: how the
    ends ``[H, W, 2]`` differ from what was drawn of them, smoothed, and mixed along the segment."""
    at_start, at_end = _smoothed(start - colours[0]), _smoothed(end - colours[-1])
    return colours + _between(at_start, at_end, len(colours))


def _smoothed(picture: F32) -> F32:
    sigma = picture.shape[0] * _DRIFT_SIGMA
    found = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def _between(start: F32, end: F32, count: int) -> F32:
    """`count` arrays from `start` to `end`, mixed linearly."""
    shares = np.linspace(0, 1, count, dtype=np.float32).reshape(-1, *[1] * start.ndim)
    return np.asarray((1 - shares) * start + shares * end, np.float32)
