"""The engine parts that this process has loaded, and the memory that they share.

A part is made when its first work comes and kept for the next. Where the device is too small for
the parts of a film's shots together, the one that is not at work is dropped.
"""

from __future__ import annotations

import gc
import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from colorize_core.config import RunConfig
from colorize_core.engines import catalog
from colorize_core.engines.contract import (
    CPU,
    AnchorColorizer,
    Device,
    Facts,
    Interpolator,
    ReferenceMaker,
)
from colorize_core.work import Stage


@dataclass(frozen=True, slots=True)
class _Loaded:
    config: RunConfig
    part: Any  # an engine part: what its maker gives
    weights: str


_log = logging.getLogger(__name__)
_loaded: dict[Stage, _Loaded] = {}
_device = CPU


def use(device: Device) -> None:
    """Let parts that need a GPU compute on `device` from now on; what was loaded is dropped."""
    global _device
    _drop(set(_loaded))
    _device = device


def release(stage: Stage) -> None:
    """Give back the memory of a stage's part."""
    _drop({stage})


def reference_maker(config: RunConfig) -> ReferenceMaker:
    return _part("reference", config, catalog.reference_maker)


def anchor_colorizer(config: RunConfig) -> AnchorColorizer:
    return _part("anchors", config, catalog.anchor_colorizer)


def interpolator(config: RunConfig) -> Interpolator:
    return _part("interpolation", config, catalog.interpolator)


def device_name(stage: Stage) -> str:
    """What the stage's part computes on: "cpu", or the GPU's name."""
    if not _on_gpu(stage):
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def peak_memory_bytes(stage: Stage) -> int:
    """The most memory so far: of this process, or of its tensors where the stage's part computes
    on a GPU."""
    if _on_gpu(stage):
        import torch

        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def weights_record(stage: Stage) -> str:
    """The weights of the stage's part with their digest, and what is added to them (a ControlNet, a
    LoRA); empty: it has none."""
    loaded = _loaded.get(stage)
    return loaded.weights if loaded else ""


def _record(config: RunConfig, facts: Facts) -> str:
    if not facts.weights:
        return ""
    from colorize_core.engines.diffusion import weights

    settings = getattr(config, facts.name)
    line = weights.record(settings.weights, settings.revision, facts.name, settings.precision)
    _, plus, added = facts.weights.partition("+")
    return f"{line} {plus}{added}".rstrip()


def _part(stage: Stage, config: RunConfig, make: Callable[[RunConfig, Device], Any]) -> Any:
    known = _loaded.get(stage)
    if known and known.config == config:
        return known.part
    _drop({stage})
    beside = kept_beside(stage, catalog.PartFacts.of(config), _device)
    if beside is None:
        _drop(set(_loaded))
    taken = beside.memory.fixed if beside else 0
    began = time.monotonic()
    part = make(config, replace(_device, memory_bytes=_device.memory_bytes - taken))
    if part.facts.weights:
        _log.info("loaded part %s in %.1f s", part.facts.name, time.monotonic() - began)
    _loaded[stage] = _Loaded(config, part, _record(config, part.facts))
    return part


def kept_beside(stage: Stage, facts: catalog.PartFacts, device: Device) -> Facts | None:
    """The part that stays loaded while the stage's works: the other one of anchors and
    interpolation, where each has room for its least work beside the other. Stills are made before
    either."""
    both: dict[Stage, Facts] = {"anchors": facts.anchors, "interpolation": facts.interpolation}
    if stage not in both:
        return None
    ours = both.pop(stage)
    (other,) = both.values()
    room = device.memory_bytes - max(
        other.memory.fixed + least_bytes(ours), ours.memory.fixed + least_bytes(other)
    )
    return other if room >= 0 else None


def least_bytes(facts: Facts) -> int:
    """The least memory that a part works in, at its pixel budget."""
    return facts.memory.need(facts.pixel_budget)


def _drop(stages: set[Stage]) -> None:
    dropped = [_loaded.pop(stage) for stage in stages if stage in _loaded]
    if any(each.part.facts.weights for each in dropped):
        dropped.clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _on_gpu(stage: Stage) -> bool:
    loaded = _loaded.get(stage)
    return _device.kind == "cuda" and loaded is not None and loaded.part.facts.needs_gpu
