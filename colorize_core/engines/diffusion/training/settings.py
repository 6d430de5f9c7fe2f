"""Parameters of training a ControlNet for SVD (P: Kimura and Yanai; D: a decision of this
project). No library is loaded here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colorize_core.engines.diffusion.settings import SvdSettings, WeightSettings

_SVD = SvdSettings()


class TrainSettings(WeightSettings):
    """How a ControlNet is trained. What it shares with `SvdSettings` should be what it will be
    used with: the network learns from clips that are prepared so."""

    clips: str = Field(
        min_length=1,
        description="Folder of colour videos, or of uncompressed .tar files of them (WebDataset), "
        "searched with its folders; or shards by name, such as clips-{000..127}.tar. Paths or "
        "URLs. Each video should be one shot.",
    )
    output: str = Field(
        min_length=1, description="Local folder for checkpoints, samples and the record."
    )
    weights: str = Field(
        default=_SVD.weights,
        min_length=1,
        description="Hub id, or a local folder in diffusers' format, of SVD (P).",
    )
    revision: str = Field(
        default=_SVD.revision,
        description="Commit of the hub repository, 40 hex digits. Not used for a local folder.",
    )
    precision: Literal["bf16", "fp32"] = Field(
        default="bf16",
        description="Number format of the frozen networks and of the computation; the ControlNet's "
        "own weights are fp32. Not fp16: it would need its loss scaled (D). CPUs want fp32.",
    )
    frames: int = Field(
        default=25,
        ge=2,
        le=200,
        description="Frames of a clip (P: 25). Memory grows with it.",
    )
    pixel_budget: int = Field(
        default=_SVD.pixel_budget,
        ge=4_096,
        le=4_194_304,
        description="Clips are brought to about this many pixels (576 × 320, P), aspect kept, and "
        "padded to multiples of 64. Memory grows with it.",
    )
    steps: int = Field(
        default=20_000, ge=1, le=10_000_000, description="Steps of the optimizer in all (D)."
    )
    batch: int = Field(
        default=4,
        ge=1,
        le=4096,
        description="Clips for each step and process, one after the other, gradients averaged: "
        "each keeps its own aspect ratio, and memory is that of one (D).",
    )
    learning_rate: float = Field(
        default=1e-5, gt=0, le=1, description="Of AdamW (D: ControlNet's usual one)."
    )
    warmup: int = Field(
        default=500,
        ge=0,
        le=1_000_000,
        description="Steps in which the learning rate rises from 0 (D).",
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="Of AdamW (D).")
    gradient_norm: float = Field(
        default=1.0, gt=0, le=1000, description="Gradients are cut to this norm (D)."
    )
    sigma_mean: float = Field(
        default=0.7, ge=-10, le=10, description="Mean of ln σ of the noise levels (D: SVD's)."
    )
    sigma_std: float = Field(
        default=1.6, gt=0, le=10, description="Its standard deviation (D: SVD's)."
    )
    withheld: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the clips whose first frame is withheld, as in the unconditional "
        "half of guidance (D).",
    )
    reverse: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the clips that run backwards, as the pass from the end anchor does "
        "(D).",
    )
    fps: int = Field(
        default=_SVD.fps, ge=1, le=30, description="Frame rate told to the network (D)."
    )
    motion_bucket: int = Field(
        default=_SVD.motion_bucket,
        ge=0,
        le=255,
        description="Amount of motion told to the network (P).",
    )
    noise_aug: float = Field(
        default=_SVD.noise_aug,
        ge=0,
        le=1,
        description="Noise on the first frame as condition (D: SVD's own).",
    )
    canny_low: int = Field(
        default=_SVD.canny_low, ge=0, le=255, description="Lower threshold of the Canny edges (D)."
    )
    canny_high: int = Field(
        default=_SVD.canny_high, ge=0, le=255, description="Upper threshold of the Canny edges (D)."
    )
    flow: Literal["unimatch", "dis"] = Field(
        default=_SVD.flow,
        description="Optical flow shown to the ControlNet: UniMatch (P; needs the extra `unimatch`)"
        " or OpenCV's DIS. Use the ControlNet with the flow that it was trained with.",
    )
    gradient_checkpointing: bool = Field(
        default=True,
        description="Compute activations again in the backward pass: less memory, more time (D).",
    )
    decode_frames: int = Field(
        default=_SVD.decode_frames,
        ge=1,
        le=200,
        description="Frames of a sample that the VAE decodes at once (D). Memory.",
    )
    seed: int = Field(default=42, ge=0, lt=2**31, description="Seed of every random draw.")
    save_every: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Steps from one checkpoint to the next; the last step has one.",
    )
    keep: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="Newest checkpoints that are kept. One of SVD-XT's takes about 8 GB.",
    )
    sample_every: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Steps from one grid of samples, and one measurement, to the next; the "
        "first and the last step have one. 0: only these.",
    )
    sample_steps: int = Field(
        default=25, ge=2, le=200, description="Denoising steps of a sample (P)."
    )
    resume: bool = Field(
        default=False, description="Go on from the newest checkpoint in the output folder."
    )

    @property
    def svd(self) -> SvdSettings:
        """The part's settings that a sample is drawn with: plain, without feature injection."""
        return SvdSettings(
            weights=self.weights,
            revision=self.revision,
            precision=self.precision,
            pixel_budget=self.pixel_budget,
            max_frames=self.frames,
            steps=self.sample_steps,
            fps=self.fps,
            motion_bucket=self.motion_bucket,
            noise_aug=self.noise_aug,
            canny_low=self.canny_low,
            canny_high=self.canny_high,
            flow=self.flow,
            decode_frames=self.decode_frames,
            tau_attn=0,
            tau_f=0,
        )
