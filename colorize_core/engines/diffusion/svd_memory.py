"""Memory."""

from __future__ import annotations

from colorize_core.engines.contract import Memory
from colorize_core.engines.diffusion.settings import SvdSettings


def of(settings: SvdSettings) -> Memory:
    return Memory(0, 1)


def need(settings: SvdSettings, pixels: int, frames: int, together: bool) -> int:
    return 0
