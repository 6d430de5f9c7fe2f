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
from colorize_core.engines.diffusion.svd.bidirectional import (
    Controls,
    Direction,
    Network,
    Plan,
    Row,
    denoise,
)
from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet
from colorize_core.engines.diffusion.svd.euler import Schedule, denoised
from colorize_core.engines.diffusion.svd.motion import flow_model
from colorize_core.engines.diffusion.svd.networks import Networks
from colorize_core.engines.diffusion.training import output as train_output
from colorize_core.engines.diffusion.training.clips import Clips
from colorize_core.engines.diffusion.training.examples import EVALUATED, Draw, Example, Examples
from colorize_core.engines.diffusion.training.output import CONTROLNET, Record
from colorize_core.engines.diffusion.training.settings import TrainSettings
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
    """Trains until `settings.steps` are done, in this process or, where ``torchrun`` started
    several, in all of them, each with clips of its own.

    Raises:
        InputError: no usable clips, or an output folder that holds another training.
        SettingError: resumed with settings that change what was done so far.
        WeightsMissing: SVD or the optical flow is not on this machine.
        EngineFailed: the loss is no number any more.
    """
    trainer = Trainer(settings, Accelerator(mixed_precision="no"))
    folder = trainer.run(progress)
    record = train_output.read_record(folder, settings)  # only the first process has made it
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
        # two, each with a flow of its own: training's run in a thread beside
        self._training, self._evaluation = (
            Examples(self._clips, flow_model(settings.flow, device), settings) for _ in range(2)
        )
        self._networks = Networks.load(settings.svd, device)
        if checkpoint:
            controlnet = train_output.load_controlnet(checkpoint)
        else:
            with torch.random.fork_rng(devices=[]):
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
        time_ids = [settings.fps - 1, settings.motion_bucket, settings.noise_aug]
        self._network = Network(self._networks.unet, torch.tensor(time_ids), self._controlnet)
        # in several processes: the one whose backward pass gathers the gradients
        self._model = cast(SVDControlNet, accelerator.prepare(self._controlnet))

    def run(self, progress: Progress) -> Path:
        """All steps that are left; the folder of the last checkpoint."""
        settings = self._settings
        if self.record.step == 0:
            self._measure(0)
        numbers = self._numbers(self.record.step)
        with closing(ahead(map(self._training.training, numbers), depth=2)) as examples:
            for step in range(self.record.step + 1, settings.steps + 1):
                loss = self._step(step, [next(examples) for _ in range(settings.batch)])
                last = step == settings.steps
                if last or (settings.sample_every and step % settings.sample_every == 0):
                    self._measure(step)
                if last or step % settings.save_every == 0:
                    self._save()
                if self._accelerator.is_main_process:
                    progress(step, settings.steps, loss)
        return train_output.folder_of(self._output, self.record.step)

    def loss(self, example: Example, network: Network) -> torch.Tensor:
        """Of one example, a scalar."""
        draw, settings = Draw.of(example, self._settings), self._settings
        sigma = draw.sigma
        with torch.no_grad():
            x = self._networks.encode(example.pictures)
            condition = None
            if not draw.withheld:
                first = example.pictures[0]
                condition = self._networks.condition(first, draw.image_noise, settings.noise_aug)
        z = x + sigma * draw.noise.to(x.device)
        with self._in_precision():
            v = network.predict([Row(z, condition, self._moved(example.controls))], sigma)[0]
        weight = (1 + sigma**2) / sigma**2
        return weight * (denoised(z, v, sigma) - x).square().mean()

    @torch.no_grad()
    def evaluate(self) -> float:
        """Mean loss over a few fixed examples at fixed noise levels with fixed noise."""
        examples = (self._evaluation.evaluation(i) for i in range(EVALUATED))
        return sum(float(self.loss(each, self._network)) for each in examples) / EVALUATED

    @torch.no_grad()
    def generate(self, example: Example) -> torch.Tensor:
        """What `svd` makes between the clip's first and last frame: R'G'B' ``[F, 3, H', W']``."""
        if example.backward is None:
            raise ValueError("the example has no controls for the way back")
        settings, networks = self._settings, self._networks
        draw = Draw.of(example, settings)
        start, end = (
            networks.condition(example.pictures[i], draw.image_noise, settings.noise_aug)
            for i in (0, -1)
        )
        directions = (
            Direction(start, self._moved(example.controls)),
            Direction(end, self._moved(example.backward)),
        )
        schedule = Schedule.of(networks.scheduler, settings.sample_steps)
        plan = Plan.of(settings.svd, settings.frames, together=False)
        noise = draw.noise.to(self._device)
        latents = noise * schedule.first_noise
        with self._in_precision():
            # the plan re-injects no noise
            z = denoise(self._network, schedule, latents, directions, plan, lambda: noise)
        return networks.decode(z, settings.decode_frames)

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
        batch = self._settings.batch
        for step in range(done, self._settings.steps):
            before = step * self._accelerator.num_processes + self._accelerator.process_index
            yield from range(before * batch, (before + 1) * batch)

    def _step(self, step: int, examples: list[Example]) -> float:
        """One step of the optimizer; the mean loss of this process's examples."""
        network = replace(self._network, controlnet=self._model)
        total = 0.0
        for i, example in enumerate(examples, 1):
            last = i == len(examples)
            # gradients are gathered from the other processes once, with the last example
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                loss = self.loss(example, network)
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
            example = self._evaluation.evaluation(0)
            path = self._output / "samples" / f"step-{step:08d}.png"
            train_output.save_grid(path, example, self.generate(example))
        self._accelerator.wait_for_everyone()

    def _save(self) -> None:
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
