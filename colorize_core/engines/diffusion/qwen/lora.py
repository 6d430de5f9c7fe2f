"""The LoRA of part `qwen`: its file, its size, what results are named by. No library is loaded."""

from __future__ import annotations

from pathlib import Path

from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.model_files import tensor_bytes
from colorize_core.engines.diffusion.published import ELEMENT_BYTES
from colorize_core.engines.diffusion.settings import QwenSettings
from colorize_core.errors import SettingError, WeightsMissing

_PARAMETERS = 425_000_000  # rank 64 at every linear layer of the published transformer


def lora_file(settings: QwenSettings) -> Path:
    """The LoRA's file.

    Raises:
        WeightsMissing: it is not on this machine.
        SettingError: there are several, and `lora_file` names none of them.
    """
    home = weights.folder(settings.lora, settings.lora_revision, "qwen.lora")
    names = sorted(each.relative_to(home).as_posix() for each in home.rglob("*.safetensors"))
    chosen = [name for name in names if not settings.lora_file or name == settings.lora_file]
    if len(chosen) != 1:
        raise SettingError(
            f"{settings.lora} holds {len(names)} LoRA files; which one is meant is not clear.",
            f"Set qwen.lora_file to one of: {', '.join(names) or 'none is there'}.",
        )
    return home / chosen[0]


def lora_identity(settings: QwenSettings) -> str:
    """What results are named by: repository and commit, or content, and the file."""
    source = weights.identity(settings.lora, settings.lora_revision)
    return f"{source}/{settings.lora_file}" if settings.lora_file else source


def lora_bytes(settings: QwenSettings) -> int:
    """Bytes of the LoRA's weights; of one of usual size where it is not on this machine."""
    if not settings.lora:
        return 0
    try:
        return tensor_bytes(lora_file(settings), settings.precision)
    except WeightsMissing:
        return _PARAMETERS * ELEMENT_BYTES[settings.precision]
