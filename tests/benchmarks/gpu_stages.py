"""The stages that the GPU benchmark measures, each by the part itself and by other ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from itertools import count as numbers
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import Tensor

from colorize_core.engines.contract import ColourStill, GreyFrame
from colorize_core.engines.diffusion.compute import dtype_of
from colorize_core.engines.diffusion.dual_attention.attention import (
    DualUNet,
    InputFeatures,
    Mix,
    Processor,
    ReferenceFeatures,
    dual_attention,
    processors,
)
from colorize_core.engines.diffusion.dual_attention.part import DualAttention
from colorize_core.engines.diffusion.qwen import part as qwen
from colorize_core.engines.diffusion.qwen.part import Qwen
from colorize_core.engines.diffusion.settings import (
    DualAttentionSettings,
    QwenSettings,
    SvdSettings,
)
from colorize_core.engines.diffusion.svd import memory as svd_memory
from colorize_core.engines.diffusion.svd.part import Svd
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.engines.exemplar.settings import FlowSettings
from colorize_core.errors import ReferenceRejected
from tests.benchmarks import full_size
from tests.benchmarks.gpu_job import Job, Way, chroma, grey_frames, picture
from tests.benchmarks.gpu_rows import MemoryRow
from tests.benchmarks.plain_paper import PlainAnchors, built_maps, one_clip_a_call

Item = TypeVar("Item")
_NUMBERS = numbers()

# -- anchors ---------------------------------------------------------------------------------------


class OnlyDual(Processor):
    """Dual attention for all rows."""

    def __init__(self, own: InputFeatures, reference: ReferenceFeatures, mix: Mix) -> None:
        self._given = own, reference, mix

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        return dual_attention(q, v, *self._given, scale)


def _one_half_a_call(
    unet: DualUNet,
    z: Tensor,
    t: int,
    own: Sequence[InputFeatures],
    reference: Sequence[ReferenceFeatures],
) -> tuple[Tensor, Tensor]:
    plain = unet.plain(z, t)
    put_in = [OnlyDual(*each) for each in zip(own, reference, unet.mixes, strict=True)]
    with processors(unet.layers, put_in):
        return plain, unet.plain(z, t)


def halves_apart() -> AbstractContextManager[Any]:
    """Both halves of the guidance in calls of their own while entered."""
    return mock.patch.object(DualUNet, "both", _one_half_a_call)


def anchor_settings(job: Job, **changed: Any) -> DualAttentionSettings:
    scale = job.scale
    own = {
        "weights": str(job.folder / "sd"),
        "precision": scale.precision,
        "passes": scale.passes,
        "start_step": scale.start_step,
        "pixel_budget": scale.anchor[0] * scale.anchor[1],
    }
    return DualAttentionSettings.model_validate({**own, **changed})


def anchor_ways(at_once: int) -> tuple[Way, ...]:
    shipped, single = f"as shipped, {at_once} at once", "one at a time"
    return (
        Way(shipped),
        Way("attention maps built", shipped, within=built_maps),
        Way("halves of guidance apart", shipped, within=halves_apart),
        Way("features made again", shipped, {"features": "recompute"}),
        Way("channels-last", shipped, {"channels_last": True}),
        Way("torch.compile", shipped, {"compile": True}),
        Way(single, shipped, at_once=1),
        Way("one at a time, reference again for each", single, at_once=1, shared=False),
        Way("plain", shipped, plain=True),
    )


def anchors(job: Job) -> None:
    """Rows of stage *anchors*: one reference, as many anchors of one shot as go into a batch."""
    scale, shipped = job.scale, DualAttention(anchor_settings(job), job.device)
    at_once, pixels = scale.at_once, scale.anchor[0] * scale.anchor[1]
    if job.too_large("anchors", shipped.facts.memory.need(pixels, at_once)):
        return
    for way in anchor_ways(at_once):
        part = DualAttention(anchor_settings(job, **way.changed), job.device)
        frames = grey_frames(2 if way.plain else at_once, scale.anchor)
        job.results.measure(
            "anchors",
            way.name,
            partial(_coloured, job, way, part, frames),
            len(frames),
            way.against,
        )
        del part  # with its networks, before the next has its own
        torch.compiler.reset()
    _anchor_memory(job)


def _coloured(job: Job, way: Way, part: DualAttention, frames: Sequence[GreyFrame]) -> None:
    """A shot's anchors, from a reference that was not seen before."""
    still = _unseen(job)
    with way.within():
        if way.plain:
            plain = PlainAnchors(part.networks, anchor_settings(job))
            for frame in frames:
                plain.coloured(frame.lstar, still.lab)
            return
        for batch in _chunks(frames, way.at_once or job.scale.at_once):
            part.coloured(batch, still if way.shared else _unseen(job))


def _unseen(job: Job) -> ColourStill:
    return ColourStill(f"still {next(_NUMBERS)}", picture(9, job.scale.anchor))


def _anchor_memory(job: Job) -> None:
    """Rows of the memory table: a segment more has an anchor more."""
    size = job.scale.anchor
    pixels = size[0] * size[1]
    for at_once in sorted({2, job.scale.at_once}):
        part = DualAttention(anchor_settings(job), job.device)
        shots = [
            partial(_coloured, job, Way("", at_once=at_once), part, grey_frames(count + 1, size))
            for count in job.scale.segments
        ]
        declared = part.facts.memory.need(pixels, at_once)
        peaks = job.results.meter.peaks(shots)
        job.results.memory.append(MemoryRow("anchors", f"{at_once} at once", peaks, declared))
        del part, shots


def _chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


# -- segments --------------------------------------------------------------------------------------


def segment_settings(job: Job, **changed: Any) -> SvdSettings:
    scale = job.scale
    own = {
        "weights": str(job.folder / "svd"),
        "controlnet": str(job.folder / "controlnet"),
        "precision": scale.precision,
        "pixel_budget": scale.segment[0] * scale.segment[1],
        "max_frames": scale.frames,
        "steps": scale.few,
        "batching": "both",
        "flow": "dis",
    }
    return SvdSettings.model_validate({**own, **changed})


def segment_ways(few: int, steps: int) -> tuple[Way, ...]:
    shipped, bare = f"as shipped, {few} steps", "without a ControlNet"
    whole, one = f"as shipped, {steps} steps", {"batching": "one"}
    return (
        Way(shipped),
        Way("attention maps built", shipped, within=built_maps),
        Way("directions one after the other", shipped, one),
        Way("channels-last", shipped, {"channels_last": True}),
        Way(bare, shipped, {"controlnet": ""}),
        Way(f"{bare}, torch.compile", bare, {"controlnet": "", "compile": True}),
        Way(f"plain, {few} steps", shipped, one, within=one_clip_a_call),
        Way(whole, changed={"steps": steps}),
        Way(f"plain, {steps} steps", whole, {**one, "steps": steps}, within=one_clip_a_call),
    )


def segments(job: Job) -> None:
    """Rows of stage *segments*: one segment between two anchors."""
    scale = job.scale
    settings = segment_settings(job)
    need = svd_memory.need(settings, scale.segment[0] * scale.segment[1], scale.frames, True)
    if job.too_large("segments", need):
        return
    for way in segment_ways(scale.few, scale.steps):
        part = _segment_part(job, **way.changed)
        once = "steps" in way.changed  # the same calls as above, and minutes of them
        job.results.measure(
            "segments", way.name, partial(_filled, job, way, part, 1), 1, way.against, once
        )
        del part
        torch.compiler.reset()
    part = _segment_part(job)
    shots = [partial(_filled, job, Way(""), part, count) for count in scale.segments]
    peaks = job.results.meter.peaks(shots)
    job.results.memory.append(MemoryRow("segments", "both directions at once", peaks, need))


def _segment_part(job: Job, **changed: Any) -> Svd:
    return Svd(segment_settings(job, **changed), job.device, Flow(FlowSettings()))


def _filled(job: Job, way: Way, part: Svd, count: int) -> None:
    """`count` segments, one after the other."""
    scale = job.scale
    frames = grey_frames(scale.frames, scale.segment)
    start, end = (chroma(i, scale.segment) for i in (0, scale.frames - 1))
    with way.within():
        for seed in range(count):
            part.fill(frames, start, end, seed)


# -- references ------------------------------------------------------------------------------------


def reference(job: Job) -> None:
    """The row of stage *reference*: one still from a prompt."""
    scale = job.scale
    settings = QwenSettings(
        precision=scale.qwen_precision,
        steps=scale.qwen_steps,
        pixel_budget=scale.still[0] * scale.still[1],
        condition_pixels=scale.still[0] * scale.still[1],
        attempts=1,
        kindred=0,
        structure_threshold=-1,
    )
    if job.tiny:
        settings = settings.model_copy(update={"weights": str(job.folder / "qwen")})
    few = settings.model_copy(update={"steps": 2})
    parts = [Qwen(each, job.device) for each in (few, settings)]
    need = parts[0].facts.memory.need(settings.pixel_budget)
    if job.too_large("reference", need):
        return
    with _made_in_place(job):
        brief, whole = (partial(_drawn, part, grey_frames(1, scale.still)[0]) for part in parts)
        peaks = job.results.meter.peaks([brief]) * len(scale.segments)  # one still, always
        job.results.memory.append(MemoryRow("reference", "one still a shot", peaks, need))
        way = f"as shipped, {scale.qwen_steps} steps"
        job.results.measure("reference", way, whole, once=True)


def _drawn(part: Qwen, frame: GreyFrame) -> None:
    with suppress(ReferenceRejected):  # what random networks draw may have no colour
        part.make(frame, "", 42, ())


def _made_in_place(job: Job) -> AbstractContextManager[Any]:
    """In full size, the part's networks are made on the device, not read: they have 57 GB."""
    if job.tiny:
        return nullcontext()
    made = full_size.qwen_pipeline(
        job.folder / "qwen", job.device.kind, dtype_of(job.scale.qwen_precision)
    )
    return mock.patch.object(qwen, "load", lambda settings, device: made)


STAGES: Mapping[str, Callable[[Job], None]] = {
    "anchors": anchors,
    "segments": segments,
    "reference": reference,
}
