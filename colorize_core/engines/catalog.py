"""Name → engine part. A dict literal for each stage is all the registry there is.

Parts are cheap to make: weights are loaded when the first work comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from colorize_core.config import RunConfig
from colorize_core.engines.contract import (
    CPU,
    AnchorColorizer,
    Device,
    Facts,
    Interpolator,
    ReferenceMaker,
)
from colorize_core.errors import WeightsMissing
from colorize_core.work import Stage

STILLS_OF_USERS = "images"  # stage reference without a part: stills are given, none is made


def _needs_diffusion(part: str) -> None:
    if any(find_spec(name) is None for name in ("torch", "diffusers", "transformers")):
        raise WeightsMissing(
            f"Part {part} needs libraries that are not installed.",
            "Install them: pip install 'kinecolor[diffusion]'.",
        )


def _qwen(config: RunConfig, device: Device) -> ReferenceMaker:
    _needs_diffusion("qwen")
    from colorize_core.engines.diffusion.qwen.part import Qwen

    return Qwen(config.qwen, device)


def _match(config: RunConfig, device: Device) -> AnchorColorizer:
    from colorize_core.engines.exemplar.match import Match

    return Match(config.match)


def _dual_attention(config: RunConfig, device: Device) -> AnchorColorizer:
    _needs_diffusion("dual_attention")
    from colorize_core.engines.diffusion.dual_attention.part import DualAttention

    return DualAttention(config.dual_attention, device)


def _flow(config: RunConfig, device: Device) -> Interpolator:
    from colorize_core.engines.exemplar.flow import Flow

    return Flow(config.flow)


def _svd(config: RunConfig, device: Device) -> Interpolator:
    _needs_diffusion("svd")
    from colorize_core.engines.diffusion.svd.part import Svd

    return Svd(config.svd, device, _flow(config, device))


REFERENCE_MAKERS: Mapping[str, Callable[[RunConfig, Device], ReferenceMaker]] = {"qwen": _qwen}
ANCHOR_COLORIZERS: Mapping[str, Callable[[RunConfig, Device], AnchorColorizer]] = {
    "match": _match,
    "dual_attention": _dual_attention,
}
INTERPOLATORS: Mapping[str, Callable[[RunConfig, Device], Interpolator]] = {
    "flow": _flow,
    "svd": _svd,
}


def makes_references(config: RunConfig) -> bool:
    """Whether stills are made for shots that the user's stills do not serve."""
    return config.parts.reference != STILLS_OF_USERS


def reference_maker(config: RunConfig, device: Device = CPU) -> ReferenceMaker:
    return REFERENCE_MAKERS[config.parts.reference](config, device)


def anchor_colorizer(config: RunConfig, device: Device = CPU) -> AnchorColorizer:
    return ANCHOR_COLORIZERS[config.parts.anchors](config, device)


def interpolator(config: RunConfig, device: Device = CPU) -> Interpolator:
    return INTERPOLATORS[config.parts.interpolation](config, device)


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What the chosen parts declare. `reference`: None where stills are the user's alone."""

    reference: Facts | None
    anchors: Facts
    interpolation: Facts

    @classmethod
    def of(cls, config: RunConfig) -> PartFacts:
        made = makes_references(config)
        return cls(
            reference_maker(config).facts if made else None,
            anchor_colorizer(config).facts,
            interpolator(config).facts,
        )

    @property
    def names(self) -> tuple[str, str, str]:
        """Each stage's part with its version, as the manifest names it (``match/1``)."""
        return (
            self.reference.label if self.reference else f"{STILLS_OF_USERS}/1",
            self.anchors.label,
            self.interpolation.label,
        )

    def by_stage(self) -> dict[Stage, Facts]:
        """Stage → facts, stages in the order they run."""
        stages: dict[Stage, Facts] = {}
        if self.reference:
            stages["reference"] = self.reference
        stages["anchors"], stages["interpolation"] = self.anchors, self.interpolation
        return stages
