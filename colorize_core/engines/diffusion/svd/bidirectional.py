"""Sampling between two anchors: Stable Video Diffusion run from both ends and fused at every step.

Kimura and Yanai, section 3.3: forward from the start anchor, backward from the end anchor through
the same frozen network, Z = α·Z_fwd + (1 - α)·Z_rev (equation 4). Here Z is the v-prediction after
guidance, as in FCVG and Generative Inbetweening (Wang et al. 2024).

    F frames    h w latent height and width    H W padded picture's    C width of the embedding
    D directions in one call of the network: forward, backward
    R rows of a direction: its source (while features are injected), unconditional (where there
      is guidance), conditional
    latents, v        [F, 4, h, w] of a clip, [D·R, F, 4, h, w] in a call; float32 outside of it
    network's input   [D·R, F, 8, h, w]: scaled latents beside the anchor's latent
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from colorize_core.engines.diffusion.settings import SvdSettings
from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet, residuals
from colorize_core.engines.diffusion.svd.euler import (
    Schedule,
    raised,
    renoised,
    scaled,
    step,
    timestep,
)
from colorize_core.engines.diffusion.svd.injection import Injection, injected


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What the network is told of the picture that a clip begins with.

    Attributes:
        latent: ``[4, h, w]``, the mode of the VAE's posterior of the slightly noisy picture, not
            multiplied by the scaling factor.
        embedding: ``[1, C]``, CLIP's of the clean picture.
    """

    latent: torch.Tensor
    embedding: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Controls:
    """What the ControlNet sees: float32 ``[F, 3, H, W]`` in [0, 1] both, in a direction's order."""

    edges: torch.Tensor
    flow: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One clip in a network call. `condition`: None for the unconditional half of guidance."""

    latents: torch.Tensor
    condition: Condition | None
    controls: Controls | None


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The clip that features come from: its own first frame, and its latents by level number."""

    condition: Condition
    levels: Mapping[int, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One direction of time, everything in its own order: the anchor is its first frame."""

    anchor: Condition
    controls: Controls | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How a segment is sampled. "Until" means: on levels with a lower number.

    Attributes:
        guidance: ``[F]``, in each direction's own order.
        forward_share: ``[F]``, α.
        steps: levels of the schedule above 0.
        first: number of the level that sampling begins at (0: pure noise).
        attention_until, residual_until: injection of queries and keys, and of residual features.
        repeats, repeats_until: noise re-injections.
        together: both directions in one call of the network.
    """

    guidance: torch.Tensor
    forward_share: torch.Tensor
    steps: int
    first: int = 0
    attention_until: int = 0
    residual_until: int = 0
    repeats: int = 0
    repeats_until: int = 0
    together: bool = True

    @classmethod
    def of(cls, settings: SvdSettings, frames: int, together: bool) -> Plan:
        """The paper's ramps: guidance rises along each direction, α falls from 1 to 0. Shares of
        the steps are shares of the whole schedule, also where `strength` leaves out its start."""
        steps = settings.steps
        return cls(
            guidance=torch.linspace(settings.guidance_start, settings.guidance_end, frames),
            forward_share=torch.linspace(1, 0, frames),
            steps=steps,
            first=steps - max(1, int(steps * settings.strength)),
            attention_until=int(steps * settings.tau_attn),
            residual_until=int(steps * settings.tau_f),
            repeats=settings.repeats,
            repeats_until=int(steps * settings.repeat_ratio),
            together=together,
        )

    @property
    def guided(self) -> bool:
        """Whether the unconditional half is needed: nowhere at guidance 1, as in SVD's pipeline."""
        return bool((self.guidance > 1).any())

    def passes(self, level: int) -> int:
        """How often a level is stepped down from: more than once with noise re-injection."""
        return 1 + (self.repeats if level < self.repeats_until else 0)

    @property
    def rows(self) -> int:
        """Most clips of one direction in a call of the network."""
        return 1 + self.guided + bool(self.sourced)

    @property
    def evaluations(self) -> int:
        """Clips that go through the U-Net for one segment: its cost."""
        rows = 1 + self.guided
        sampling = sum(
            self.passes(level) * (rows + (level in self.sourced))
            for level in range(self.first, self.steps)
        )
        inversion = self.steps - self.first if self.sourced else 0
        return 2 * (sampling + inversion)

    @property
    def sourced(self) -> range:
        """Numbers of the levels at which features are injected."""
        return range(self.first, max(self.first, self.attention_until, self.residual_until))

    def injection(self, level: int, rows: int) -> Injection:
        """What is injected at a level, in calls with so many rows of a direction."""
        return Injection(
            rows=rows,
            frames=len(self.guidance),
            attention=level < self.attention_until,
            residual=level < self.residual_until,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The video U-Net with its ControlNet, where there is one.

    `time_ids`: float32 ``[3]``, what it is told beside the noise level: frame rate - 1 (as SVD
    was trained), motion bucket, noise on the anchor's picture.
    """

    unet: UNetSpatioTemporalConditionModel
    time_ids: torch.Tensor
    controlnet: SVDControlNet | None = None
    controlnet_scale: float = 1.0

    def predict(
        self, rows: Sequence[Row], sigma: torch.Tensor, injection: Injection | None = None
    ) -> torch.Tensor:
        """v-predictions of `rows` at noise level `sigma`: float32 ``[B, F, 4, h, w]``."""
        dtype, device = self.unet.dtype, rows[0].latents.device
        sample = torch.stack([_network_input(row, sigma) for row in rows]).to(dtype)
        inputs = (
            sample,
            timestep(sigma).to(device),
            torch.stack([self._embedding(row) for row in rows]).to(dtype),
            self.time_ids.to(device, dtype).expand(len(rows), -1),
        )
        with ExitStack() as changes:
            if self.controlnet is not None:
                down, middle = self._residuals(self.controlnet, rows, inputs)
                changes.enter_context(residuals(self.unet, down, middle))
            if injection is not None:
                changes.enter_context(injected(self.unet, injection))
            return self.unet(*inputs, return_dict=False)[0].float()

    def _embedding(self, row: Row) -> torch.Tensor:
        if row.condition is None:
            width = self.unet.config["cross_attention_dim"]
            return torch.zeros(1, width, device=row.latents.device)
        return row.condition.embedding

    def _residuals(
        self, controlnet: SVDControlNet, rows: Sequence[Row], inputs: tuple[torch.Tensor, ...]
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        controls = [row.controls for row in rows if row.controls is not None]
        edges = torch.stack([each.edges for each in controls]).to(inputs[0])
        flow = torch.stack([each.flow for each in controls]).to(inputs[0])
        return controlnet(*inputs, edges, flow, self.controlnet_scale)


def denoise(
    network: Network,
    schedule: Schedule,
    latents: torch.Tensor,
    directions: tuple[Direction, Direction],
    plan: Plan,
    fresh: Callable[[], torch.Tensor],
) -> torch.Tensor:
    """Clean latents of a segment, float32 ``[F, 4, h, w]``, in forward order.

    Args:
        latents: float32 ``[F, 4, h, w]`` at the plan's first level.
        directions: forward and backward.
        fresh: standard normal noise of the shape of `latents`, new at each call; asked for where
            noise is re-injected (Generative Inbetweening: a step down, noise back up, again).
    """
    forward_share = plan.forward_share.to(latents.device)[:, None, None, None]
    z = latents
    for level in range(plan.first, plan.steps):
        sigma, target = schedule.sigmas[level : level + 2]
        for again in range(plan.passes(level)):
            if again:
                z = renoised(z, fresh(), target, sigma)
            forward, backward = _predictions(network, z, sigma, level, directions, plan)
            v = forward_share * forward + (1 - forward_share) * backward.flip(0)
            z = step(z, v, sigma, target)
    return z


def invert(
    network: Network, schedule: Schedule, clips: Sequence[Row], levels: range
) -> list[dict[int, torch.Tensor]]:
    """Latents of each clip at the numbered levels: explicit Euler steps up from its clean latents,
    conditioned, without guidance. The clips are the rows of one network call."""
    found: list[dict[int, torch.Tensor]] = [{} for _ in clips]
    z = torch.stack([clip.latents for clip in clips])
    numbers = reversed(range(schedule.steps))
    for level, (sigma, target) in zip(numbers, pairwise(schedule.climb()), strict=True):
        if level < levels.start:
            break
        rows = [replace(clip, latents=each) for clip, each in zip(clips, z, strict=True)]
        z = raised(z, network.predict(rows, sigma), sigma, target)
        if level in levels:
            for kept, each in zip(found, z, strict=True):
                kept[level] = each
    return found


def _predictions(
    network: Network,
    z: torch.Tensor,
    sigma: torch.Tensor,
    level: int,
    directions: tuple[Direction, Direction],
    plan: Plan,
) -> torch.Tensor:
    """Both directions' v after guidance, each in its own order: ``[2, F, 4, h, w]``."""
    sourced = level in plan.sourced
    groups = [
        _rows(view, direction, level if sourced else None, plan.guided)
        for view, direction in zip((z, z.flip(0)), directions, strict=True)
    ]
    calls = [groups[0] + groups[1]] if plan.together else groups
    injection = plan.injection(level, rows=len(groups[0])) if sourced else None
    found = torch.cat([network.predict(rows, sigma, injection) for rows in calls])
    by_direction = found.unflatten(0, (2, -1))  # [2, R, F, 4, h, w]
    conditional = by_direction[:, -1]
    if not plan.guided:
        return conditional
    unconditional = by_direction[:, -2]
    guidance = plan.guidance.to(z.device)[:, None, None, None]
    return unconditional + guidance * (conditional - unconditional)


def _rows(z: torch.Tensor, direction: Direction, level: int | None, guided: bool) -> list[Row]:
    """A direction's rows. `level`: of the source's latents, None without injection."""
    rows = [Row(z, direction.anchor, direction.controls)]
    if guided:
        rows.insert(0, Row(z, None, direction.controls))
    if level is None:
        return rows
    if direction.source is None:
        raise ValueError("features are to be injected, and a direction has no source")
    source = direction.source
    return [Row(source.levels[level], source.condition, direction.controls), *rows]


def _network_input(row: Row, sigma: torch.Tensor) -> torch.Tensor:
    """Scaled latents beside the anchor's latent in every frame: ``[F, 8, h, w]``."""
    z = scaled(row.latents, sigma)
    if row.condition is None:
        return torch.cat([z, torch.zeros_like(z)], dim=1)
    return torch.cat([z, row.condition.latent.to(z).expand_as(z)], dim=1)
