"""What the GPU benchmark works on: sizes, pictures, weights, and ways to do a stage's work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from colorize_core.engines.contract import F32, Chroma, Device, GreyFrame
from colorize_core.engines.diffusion.compute import dtype_of
from colorize_core.engines.diffusion.settings import Precision
from colorize_core.media.color import srgb_to_lab
from tests.benchmarks import full_size
from tests.benchmarks.gpu_rows import GIB, Results
from tests.media_factory import colour_picture
from tests.tiny.paper import save_paper_models

Stage = Literal["anchors", "segments", "reference"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the work is. Sizes are width and height in pixels.

    Attributes:
        at_once: anchors in a batch.
        few: steps of a segment where ways are compared, and where memory alone is looked at.
        segments: how many the shots of the memory table have.
    """

    precision: Precision
    qwen_precision: Precision
    anchor: tuple[int, int]
    segment: tuple[int, int]
    still: tuple[int, int]
    passes: int
    start_step: int
    at_once: int
    frames: int
    steps: int
    few: int
    qwen_steps: int
    segments: tuple[int, ...]


# The paper's figures, at the sizes that the networks were trained for.
FULL = Scale(
    precision="fp16",
    qwen_precision="bf16",
    anchor=(512, 512),
    segment=(576, 320),
    still=(1024, 1024),
    passes=3,
    start_step=5,
    at_once=8,
    frames=25,
    steps=25,
    few=5,
    qwen_steps=30,
    segments=(1, 4, 16),
)
TINY = Scale(
    precision="fp32",
    qwen_precision="fp32",
    anchor=(64, 64),
    segment=(64, 64),
    still=(64, 64),
    passes=1,
    start_step=2,
    at_once=2,
    frames=3,
    steps=3,
    few=2,
    qwen_steps=2,
    segments=(1, 2),
)


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured where. `folder`: of the weights, see `save_models`."""

    scale: Scale
    device: Device
    folder: Path
    results: Results

    @property
    def tiny(self) -> bool:
        return self.scale is TINY

    def too_large(self, stage: Stage, need_bytes: int) -> bool:
        """Whether a stage does not fit; then a row says so."""
        if self.tiny or need_bytes <= self.device.memory_bytes:
            return False
        need, here = need_bytes / GIB, self.device.memory_bytes / GIB
        note = f"not run: needs {need:.1f} GiB, {here:.1f} GiB here"
        self.results.skip(stage, "as shipped", note)
        return True


def save_models(job: Job, stages: Sequence[Stage]) -> None:
    """The weights that `stages` load: folder/{sd,svd,controlnet,qwen}."""
    if job.tiny:
        save_paper_models(job.folder)
        return
    how = job.device.kind, dtype_of(job.scale.precision)
    if "anchors" in stages:
        full_size.save_sd(job.folder / "sd", *how)
    if "segments" in stages:
        svd = full_size.save_svd(job.folder / "svd", *how)
        full_size.save_controlnet(job.folder / "controlnet", svd, *how)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a stage's work.

    Attributes:
        against: name of the way that it is compared with.
        changed: the part's settings that differ from the shipped ones.
        within: entered around the work.
        at_once: anchors in a batch; 0: as shipped.
        shared: a reference's work is done once for all anchors.
        plain: not by the part, but by `plain_paper.py`.
    """

    name: str
    against: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)
    within: Callable[[], AbstractContextManager[Any]] = nullcontext
    at_once: int = 0
    shared: bool = True
    plain: bool = False


# -- pictures --------------------------------------------------------------------------------------


def picture(time: float, size: tuple[int, int]) -> F32:
    """L*a*b* float32 ``[H, W, 3]``."""
    return srgb_to_lab(colour_picture(3, time, *size).astype(np.float32) / np.float32(255))


def grey_frames(count: int, size: tuple[int, int]) -> list[GreyFrame]:
    made = (np.ascontiguousarray(picture(i, size)[..., 0]) for i in range(count))
    return [GreyFrame(i, lstar) for i, lstar in enumerate(made)]


def chroma(time: float, size: tuple[int, int]) -> Chroma:
    """A picture's colours, sure of them all."""
    ab = np.ascontiguousarray(picture(time, size)[..., 1:])
    return Chroma(ab, np.ones(ab.shape[:2], np.float32))
