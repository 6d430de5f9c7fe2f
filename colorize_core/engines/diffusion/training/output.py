"""What training leaves behind: checkpoints that it goes on from, and grids of samples.

A checkpoint is the folder ``step-00001000`` with

- ``controlnet``: what `svd.controlnet` takes;
- ``optimizer.safetensors``: AdamW's moments;
- ``training.json``: the step, the settings and what was measured.

Nothing in it is a pickle. (accelerate's own ``save_state`` pickles the optimizer and the random
generators: reading such a folder runs what its author put there. Random generators need no state
here, see `train_examples`.)
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from colorize_core.engines.diffusion.pictures import to_bytes
from colorize_core.engines.diffusion.quiet import no_progress_bars
from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet
from colorize_core.engines.diffusion.training.examples import Example
from colorize_core.engines.diffusion.training.settings import TrainSettings
from colorize_core.errors import InputError, SettingError

CONTROLNET = "controlnet"
_OPTIMIZER = "optimizer.safetensors"
_RECORD = "training.json"
_NAME = re.compile(r"step-(\d{8})")
# What may change when training goes on: it changes no step that was taken.
_FREE = {"output", "steps", "save_every", "keep", "sample_every", "sample_steps", "resume"}
_COLUMNS = 5  # frames shown in a grid


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of training after a step.

    Attributes:
        step: of the optimizer, counted from 1; 0 before the first.
        losses: what was measured on the fixed examples, by step.
        skipped: videos that could not be used, and why.
    """

    step: int
    losses: Mapping[int, float]
    skipped: Mapping[str, str]


def newest(output: Path) -> Path | None:
    """The folder of the newest checkpoint, None where there is none."""
    found = _checkpoints(output)
    return found[-1] if found else None


def folder_of(output: Path, step: int) -> Path:
    """The folder of the checkpoint after `step` steps."""
    return output / f"step-{step:08d}"


def save(
    output: Path,
    controlnet: SVDControlNet,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    record: Record,
) -> Path:
    """Writes a checkpoint, which appears whole or not at all, and removes the oldest ones."""
    folder = folder_of(output, record.step)
    unfinished = output / f".{folder.name}"
    if unfinished.exists():  # of a run that was killed
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    with no_progress_bars():
        controlnet.save_pretrained(unfinished / CONTROLNET)
    save_file(_moments(controlnet, optimizer), unfinished / _OPTIMIZER)
    document = {"settings": settings.model_dump(mode="json"), **asdict(record)}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (unfinished / _RECORD).write_text(text + "\n", "utf-8")
    unfinished.replace(folder)
    for old in _checkpoints(output)[: -settings.keep]:
        shutil.rmtree(old)
    return folder


def read_record(checkpoint: Path, settings: TrainSettings) -> Record:
    """The record of a checkpoint that training with `settings` may go on from.

    Raises:
        SettingError: it was made with other settings.
        InputError: it is damaged.
    """
    try:
        document = json.loads((checkpoint / _RECORD).read_text("utf-8"))
        before = document["settings"]
        losses = {int(step): float(loss) for step, loss in document["losses"].items()}
        record = Record(int(document["step"]), losses, dict(document["skipped"]))
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(checkpoint) from error
    now = settings.model_dump(mode="json")
    changed = sorted(name for name in now.keys() - _FREE if now[name] != before.get(name))
    if changed:
        raise SettingError(
            f"Training in {checkpoint.parent} began with other settings: {', '.join(changed)}.",
            "Use the same ones, or another output folder.",
        )
    return record


def load_controlnet(checkpoint: Path) -> SVDControlNet:
    """The ControlNet of a checkpoint, in float32."""
    found = SVDControlNet.from_pretrained(
        checkpoint / CONTROLNET, use_safetensors=True, local_files_only=True
    )
    if not isinstance(found, SVDControlNet):
        raise TypeError(f"from_pretrained gave {type(found)}")
    for parameter in found.parameters():
        parameter.data = _as_allocated(parameter.data)
    return found


def _as_allocated(tensor: torch.Tensor) -> torch.Tensor:
    """A copy where torch places tensors: kernels round otherwise at the odd addresses of a file."""
    return tensor.clone(memory_format=torch.contiguous_format)


def load_moments(
    checkpoint: Path, controlnet: SVDControlNet, optimizer: torch.optim.Optimizer
) -> None:
    """Puts AdamW's moments back, beside the parameters of `controlnet` that they belong to.

    Raises:
        InputError: they are those of another network.
    """
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(checkpoint / _OPTIMIZER).items():
        name, _, kind = key.partition("/")
        moments.setdefault(name, {})[kind] = tensor
    parameters = dict(controlnet.named_parameters())
    if moments.keys() != parameters.keys():
        raise _damaged(checkpoint)
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            # AdamW counts steps on the CPU
            kind: _as_allocated(tensor if kind == "step" else tensor.to(parameter.device))
            for kind, tensor in moments[name].items()
        }


def save_grid(path: Path, example: Example, generated: torch.Tensor) -> None:
    """A PNG: columns are moments of the clip; rows are its grey version, its edges, its flow,
    what was generated from its two ends, and the truth.

    Args:
        generated: R'G'B' float32 ``[F, 3, H', W']`` in [-1, 1].
    """
    frames = len(generated)
    times = np.linspace(0, frames - 1, min(_COLUMNS, frames)).round().astype(int)
    controls = (example.controls.edges * 2 - 1, example.controls.flow * 2 - 1)
    rows = [
        np.concatenate([to_bytes(pictures[time]) for time in times], axis=1)
        for pictures in (example.grey, *controls, generated, example.pictures)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


def _checkpoints(output: Path) -> list[Path]:
    """Oldest first."""
    if not output.is_dir():
        return []
    return sorted(each for each in output.iterdir() if _NAME.fullmatch(each.name))


def _moments(
    controlnet: SVDControlNet, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{kind}": tensor.contiguous()
        for name, parameter in controlnet.named_parameters()
        for kind, tensor in optimizer.state[parameter].items()
    }


def _damaged(checkpoint: Path) -> InputError:
    return InputError(
        f"The checkpoint {checkpoint} is damaged.", "Remove it: training goes on from one before."
    )
