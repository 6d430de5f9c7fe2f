"""Training of the ControlNet: Stable Video Diffusion, frozen, learns to be led by edges and motion.

    F frames    h w latent height and width
    x latents of the colour clip, z = x + σ·noise, v the network's prediction: [F, 4, h, w]
    x̂ = c_skip·z + c_out·v    c_skip = 1/(σ² + 1)    c_out = -σ/√(σ² + 1)
    loss = (1 + σ²)/σ² · mean (x̂ - x)²    ln σ normal

The objective is that of Karras et al. 2022 with SVD's v-prediction (Blattmann et al. 2023); the
network is called by the very code that the part `svd` calls it with. Only the ControlNet learns.
Controls are those of the clip's grey version; the target is the clip in colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator

from colorize_core.ahead import ahead
from colorize_core.engines.contract import Device
from colorize_core.engines.diffusion import train_output
from colorize_core.engines.diffusion.bidirectional import (
    Controls,
    Direction,
    Network,
    Plan,
    Row,
    denoise,
)
from colorize_core.engines.diffusion.clips import Clips
from colorize_core.engines.diffusion.controlnet import SVDControlNet
from colorize_core.engines.diffusion.euler import Schedule, denoised
from colorize_core.engines.diffusion.motion import flow_model
from colorize_core.engines.diffusion.svd_networks import Networks
from colorize_core.engines.diffusion.train_examples import EVALUATED, Draw, Example, Examples
from colorize_core.engines.diffusion.train_output import CONTROLNET, Record
from colorize_core.engines.diffusion.train_settings import TrainSettings
from colorize_core.errors import EngineFailed, InputError

Progress = Callable[[int, int, float], None]
"""Called after each step with its number, the number of all steps, and its loss."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training has come to.

    Attributes:
        controlnet: folder of the newest ControlNet: a value for `svd.controlnet`.
        losses: loss on a few fixed examples by step, the first and the last among them.
        skipped: videos that could not be used, and why.
    """

    controlnet: Path
    losses: Mapping[int, float]
    skipped: Mapping[str, str]


def train(settings: TrainSettings, progress: Progress) -> TrainResult:
    """Trains until `settings.steps` are done, in this process or, started by ``accelerate launch``,
    in several, each with clips of its own.

    Raises:
        InputError: no usable clips, or an output folder that holds another training.
        SettingError: resumed with settings that change what was done so far.
        WeightsMissing: SVD or the optical flow is not on this machine.
        EngineFailed: the loss is no number any more.
    """
    trainer = Trainer(settings, Accelerator(mixed_precision="no"))
    folder = trainer.run(progress)
    record = trainer.record
    return TrainResult(folder / CONTROLNET, record.losses, record.skipped)


class Trainer:
    """One process's share of a training run.

    Attributes:
        record: what is known so far.
    """

    def __init__(self, settings: TrainSettings, accelerator: Accelerator) -> None:
        self._settings, self._accelerator = settings, accelerator
        self._output = Path(settings.output).expanduser().absolute()
        self._device: torch.device = accelerator.device
        checkpoint = self._checkpoint()
        self.record = (
            train_output.read_record(checkpoint, settings) if checkpoint else Record(0, {}, {})
        )
        self._clips = Clips(settings.clips, settings.frames, settings.pixel_budget, settings.seed)
        device = Device("cuda" if self._device.type == "cuda" else "cpu")
        self._examples = Examples(self._clips, flow_model(settings.flow, device), settings)
        self._networks = Networks.load(settings.svd, device)
        if checkpoint:
            controlnet = train_output.load_controlnet(checkpoint)
        else:
            with torch.random.fork_rng():
                torch.manual_seed(settings.seed)  # the stems' first weights
                controlnet = SVDControlNet.from_unet(self._networks.unet).float()
        self._controlnet = controlnet.train().to(self._device)
        self._optimizer = torch.optim.AdamW(
            self._controlnet.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        if checkpoint:
            train_output.load_moments(checkpoint, self._controlnet, self._optimizer)
        if settings.gradient_checkpointing:
            self._controlnet.enable_gradient_checkpointing()
            self._networks.unet.enable_gradient_checkpointing()
        # in several processes: the one whose backward pass gathers the gradients
        self._model = cast(SVDControlNet, accelerator.prepare(self._controlnet))
        time_ids = [settings.fps - 1, settings.motion_bucket, settings.noise_aug]
        self._network = Network(self._networks.unet, torch.tensor(time_ids), self._model)

    def run(self, progress: Progress) -> Path:
        """All steps that are left; the folder of the last checkpoint."""
        settings = self._settings
        if self.record.step == 0:
            self._measure(0)
        numbers = self._numbers(self.record.step)
        with closing(ahead(map(self._examples.training, numbers), depth=2)) as examples:
            for step in range(self.record.step + 1, settings.steps + 1):
                loss = self._step(step, [next(examples) for _ in range(settings.batch)])
                last = step == settings.steps
                if last or (settings.sample_every and step % settings.sample_every == 0):
                    self._measure(step)
                if last or step % settings.save_every == 0:
                    self._save(step)
                progress(step, settings.steps, loss)
        folder = train_output.newest(self._output)
        if folder is None:
            raise InputError(f"{self._output} was removed.", "Train again.")
        return folder

    def loss(self, example: Example) -> torch.Tensor:
        """Of one example, a scalar."""
        draw = Draw.of(example, self._settings)
        sigma, device = draw.sigma, self._device
        with torch.no_grad():
            pictures = example.pictures.to(device)
            x = self._networks.encode(pictures, self._settings.encode_frames)
            condition = None
            if not draw.withheld:
                image_noise = draw.image_noise.to(device)
                condition = self._networks.condition(
                    pictures[0], image_noise, self._settings.noise_aug
                )
        z = x + sigma * draw.noise.to(device)
        row = Row(z, condition, self._moved(example.controls))
        with self._in_precision():
            v = self._network.predict([row], sigma)[0]
        weight = (1 + sigma**2) / sigma**2
        return weight * (denoised(z, v, sigma) - x).square().mean()

    @torch.no_grad()
    def evaluate(self) -> float:
        """Mean loss over a few fixed examples at fixed noise levels with fixed noise."""
        examples = (self._examples.evaluation(i) for i in range(EVALUATED))
        return sum(float(self.loss(example)) for example in examples) / EVALUATED

    @torch.no_grad()
    def generate(self, example: Example) -> torch.Tensor:
        """What `svd` makes between the clip's first and last frame: R'G'B' ``[F, 3, H', W']``."""
        if example.backward is None:
            raise ValueError("the example has no controls for the way back")
        settings, device = self._settings, self._device
        draw = Draw.of(example, settings)
        image_noise = draw.image_noise.to(device)
        directions = [
            Direction(
                self._networks.condition(picture.to(device), image_noise, settings.noise_aug),
                self._moved(controls),
            )
            for picture, controls in (
                (example.pictures[0], example.controls),
                (example.pictures[-1], example.backward),
            )
        ]
        schedule = Schedule.of(self._networks.scheduler, settings.sample_steps)
        plan = Plan.of(settings.svd, settings.frames, together=False)
        noise = draw.noise.to(device)
        with self._in_precision():
            z = denoise(
                self._network,
                schedule,
                noise * schedule.first_noise,
                (directions[0], directions[1]),
                plan,
                lambda: torch.zeros_like(noise),
            )
        return self._networks.decode(z, settings.encode_frames)

    def _checkpoint(self) -> Path | None:
        """The one to go on from."""
        found = train_output.newest(self._output)
        if found is not None and not self._settings.resume:
            raise InputError(
                f"{self._output} holds a training already.",
                "Give another output folder, or resume=true to go on.",
            )
        return found

    def _numbers(self, done: int) -> Iterator[int]:
        """Numbers of this process's examples after `done` steps: each belongs to one process."""
        batch, processes = self._settings.batch, self._accelerator.num_processes
        first = self._accelerator.process_index * batch
        for step in range(done, self._settings.steps):
            yield from range(
                step * batch * processes + first, step * batch * processes + first + batch
            )

    def _step(self, step: int, examples: list[Example]) -> float:
        """One step of the optimizer; the mean loss of this process's examples."""
        total = 0.0
        for left, example in reversed(list(enumerate(reversed(examples)))):
            alone = self._accelerator.no_sync(self._model) if left else nullcontext()
            with alone:  # gradients are gathered from the other processes once, at the last
                loss = self.loss(example)
                self._accelerator.backward(loss / len(examples))
            total += loss.item()
        if not math.isfinite(total):
            raise EngineFailed(
                f"The loss is no number any more at step {step}.",
                "Lower learning_rate and resume from the last checkpoint.",
            )
        self._accelerator.clip_grad_norm_(self._model.parameters(), self._settings.gradient_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * min(1, step / (self._settings.warmup + 1))
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.record = replace(self.record, step=step)
        return total / len(examples)

    def _measure(self, step: int) -> None:
        """Losses and a grid of samples, by the first process."""
        if self._accelerator.is_main_process:
            losses = {**self.record.losses, step: self.evaluate()}
            self.record = replace(self.record, losses=losses)
            example = self._examples.evaluation(0)
            path = self._output / "samples" / f"step-{step:08d}.png"
            train_output.save_grid(path, example, self.generate(example))
        self._accelerator.wait_for_everyone()

    def _save(self, step: int) -> None:
        if self._accelerator.is_main_process:
            skipped = {**self.record.skipped, **self._clips.skipped}
            self.record = replace(self.record, skipped=skipped)
            train_output.save(
                self._output, self._controlnet, self._optimizer, self._settings, self.record
            )
        self._accelerator.wait_for_everyone()

    def _moved(self, controls: Controls) -> Controls:
        return Controls(controls.edges.to(self._device), controls.flow.to(self._device))

    def _in_precision(self) -> torch.autocast:
        """The ControlNet's float32 weights computing in the format of the frozen U-Net."""
        enabled = self._settings.precision == "bf16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=enabled)
