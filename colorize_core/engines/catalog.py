"""Name → engine part. A dict literal for each stage is all the registry there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from colorize_core.config import RunConfig
from colorize_core.engines.contract import AnchorColorizer, Interpolator


def _match(config: RunConfig) -> AnchorColorizer:
    from colorize_core.engines.exemplar.match import Match

    return Match(config.match)


def _flow(config: RunConfig) -> Interpolator:
    from colorize_core.engines.exemplar.flow import Flow

    return Flow(config.flow)


ANCHOR_COLORIZERS: Mapping[str, Callable[[RunConfig], AnchorColorizer]] = {"match": _match}
INTERPOLATORS: Mapping[str, Callable[[RunConfig], Interpolator]] = {"flow": _flow}


@dataclass(frozen=True, slots=True)
class PartNames:
    """Each stage's part with its version, as the manifest names it (``match/1``)."""

    reference: str
    anchors: str
    interpolation: str


def part_names(config: RunConfig) -> PartNames:
    anchors, interpolation = anchor_colorizer(config).facts, interpolator(config).facts
    return PartNames(
        f"{config.parts.reference}/1",
        f"{anchors.name}/{anchors.version}",
        f"{interpolation.name}/{interpolation.version}",
    )


def anchor_colorizer(config: RunConfig) -> AnchorColorizer:
    return ANCHOR_COLORIZERS[config.parts.anchors](config)


def interpolator(config: RunConfig) -> Interpolator:
    return INTERPOLATORS[config.parts.interpolation](config)
