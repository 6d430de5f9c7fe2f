"""Parameters of the GPU parts, the paper's values as defaults (P: Kimura and Yanai; K: Kosugi's
official code of dual attention; D: a decision of this project). No library is loaded here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["fp16", "bf16", "fp32"]


class WeightSettings(BaseModel):
    """Which weights a part loads, and in which precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str = Field(description="Hub id, or a local folder in diffusers' format.")
    revision: str = Field(
        default="",
        description="Commit of the hub repository, 40 hex digits: results are named by it. Not "
        "used for a local folder, which is named by its content.",
    )


class DualAttentionSettings(WeightSettings):
    """Part `dual_attention`: anchors from a reference, by Stable Diffusion 1.4."""

    weights: str = Field(
        default="CompVis/stable-diffusion-v1-4",
        min_length=1,
        description="Hub id, or a local folder in diffusers' format, of Stable Diffusion 1.x (P).",
    )
    revision: str = Field(
        default="133a221b8aa7292a167afc5127cb63fb5005638b",
        description="Commit of the hub repository, 40 hex digits. Not used for a local folder.",
    )
    precision: Precision = Field(
        default="fp16", description="Number format of the networks (P: fp16). CPUs want fp32."
    )
    pixel_budget: int = Field(
        default=262_144,
        ge=4_096,
        le=4_194_304,
        description="Frames are brought to about this many pixels (512 × 512, K), aspect kept, and "
        "padded to multiples of 64 (P). Far from it the network repeats things or smears them.",
    )
    ddim_steps: int = Field(
        default=50, ge=2, le=1000, description="Size of the DDIM grid (P, K). Fewer is coarser."
    )
    start_step: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="T: only the last T steps of the grid run (K). More lets structure change.",
    )
    exact_start: bool = Field(
        default=False,
        description="Start sampling at the level that inversion reached. Off: two levels below it, "
        "as the official code does and its published figures depend on (K).",
    )
    gamma1: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of grey-to-grey against colour-to-colour attention, shallow layers "
        "(P, K). 1 trusts luma alone, 0 the colours made so far.",
    )
    gamma2: float = Field(
        default=1.0, ge=0, le=1, description="The same in the deep layers (P, K)."
    )
    beta1: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the input's own self-attention, shallow layers (K). 1: no reference.",
    )
    beta2: float = Field(default=0.0, ge=0, le=1, description="The same in the deep layers (K).")
    guidance: float = Field(
        default=10.0,
        ge=0,
        le=100,
        description="w, classifier-free colorization guidance (P, K). 0 is a plain "
        "reconstruction; high values burn colours.",
    )
    passes: int = Field(
        default=3, ge=1, le=10, description="N, refinement passes (P, K). Each costs a full loop."
    )
    adain: bool = Field(
        default=True, description="AdaIN of the first pass's latent with the reference's (P, K)."
    )
    features: Literal["store", "recompute"] = Field(
        default="store",
        description="Keep the features of all steps, or run the networks again for each step: a "
        "fifth of the features' memory for about a third more time (D).",
    )
    batch: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Anchors at once; 0: as many as a GPU's memory holds, 8 at most, and one on a "
        "CPU, which gains nothing by more (D).",
    )
    channels_last: bool = Field(
        default=False, description="Channels-last memory format: faster on most GPUs (D)."
    )
    compile: bool = Field(
        default=False, description="torch.compile of the U-Net: pays off on long films only (D)."
    )

    @model_validator(mode="after")
    def _levels_exist(self) -> DualAttentionSettings:
        gap = 1000 // self.ddim_steps
        most = min(self.ddim_steps, 998 // gap + (1 if self.exact_start else -1))
        if self.start_step > most:
            raise ValueError(
                f"start_step is {self.start_step}: of {self.ddim_steps} ddim_steps at most "
                f"{max(most, 0)} can run"
            )
        return self


class SvdSettings(WeightSettings):
    """Part `svd`: a segment between two anchors, by bidirectional Stable Video Diffusion."""

    weights: str = Field(
        default="stabilityai/stable-video-diffusion-img2vid-xt",
        min_length=1,
        description="Hub id, or a local folder in diffusers' format, of SVD (P).",
    )
    revision: str = Field(
        default="9e43909513c6714f1bc78bcb44d96e733cd242aa",
        description="Commit of the hub repository, 40 hex digits. Not used for a local folder.",
    )
    precision: Precision = Field(
        default="fp16", description="Number format of the networks. CPUs want fp32."
    )
    pixel_budget: int = Field(
        default=184_320,
        ge=4_096,
        le=4_194_304,
        description="Frames are brought to about this many pixels (576 × 320, P), aspect kept, and "
        "padded to multiples of 64. Memory grows with it.",
    )
    max_frames: int = Field(
        default=25,
        ge=2,
        le=200,
        description="Longest segment, both anchors counted (P: 25). The network was trained on 25: "
        "longer ones lose motion. anchor_interval + 1 may not exceed it.",
    )
    steps: int = Field(default=25, ge=2, le=200, description="Denoising steps (P).")
    strength: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="1: from pure noise (P). Below: the last int(steps · strength) steps run, from "
        "the colours that optical flow carries from both anchors (D). Low is quick and tame.",
    )
    fps: int = Field(default=7, ge=1, le=30, description="Frame rate told to the network (D).")
    motion_bucket: int = Field(
        default=127, ge=0, le=255, description="Amount of motion told to the network (P)."
    )
    noise_aug: float = Field(
        default=0.02, ge=0, le=1, description="Noise on the conditioning image (D: SVD's own)."
    )
    guidance_start: float = Field(
        default=1.0, ge=0, le=30, description="Guidance at a direction's first frame (P)."
    )
    guidance_end: float = Field(
        default=8.0,
        ge=0,
        le=30,
        description="Guidance at its last frame, linear between (P). High values burn colours.",
    )
    controlnet: str = Field(
        default="",
        description="Local folder of a ControlNet for SVD (`kinecolor train-controlnet` makes "
        "one); none are published. Empty: without, which leaves motion to the two anchors.",
    )
    controlnet_scale: float = Field(
        default=1.0, ge=0, le=2, description="Strength of the ControlNet (P). 0: without effect."
    )
    canny_low: int = Field(
        default=100, ge=0, le=255, description="Lower threshold of the Canny edges (D)."
    )
    canny_high: int = Field(
        default=200, ge=0, le=255, description="Upper threshold of the Canny edges (D)."
    )
    flow: Literal["unimatch", "dis"] = Field(
        default="unimatch",
        description="Optical flow shown to the ControlNet: UniMatch (P; needs the extra `unimatch`)"
        " or OpenCV's DIS. A ControlNet wants the flow that it was trained with.",
    )
    tau_attn: float = Field(
        default=0.44,
        ge=0,
        le=1,
        description="Share of the steps in which queries and keys of spatial self-attention come "
        "from the source clip (P). 0: never. High values keep structure, and its greyness.",
    )
    tau_f: float = Field(
        default=0.65,
        ge=0,
        le=1,
        description="Share of the steps in which residual features come from the source clip (P).",
    )
    injection_source: Literal["grey", "flow"] = Field(
        default="grey",
        description="The clip that features are taken from: grey, or with the colours that optical "
        "flow carries from the anchors (D).",
    )
    repeats: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Noise re-injections at each early step (D: off; 5 where on). Each costs a "
        "step.",
    )
    repeat_ratio: float = Field(
        default=0.5, ge=0, le=1, description="Share of the steps that re-inject noise (D)."
    )
    batching: Literal["auto", "both", "one"] = Field(
        default="auto",
        description="Directions in one call of the network: both, one, or by the device's memory "
        "(D).",
    )
    decode_frames: int = Field(
        default=8, ge=1, le=200, description="Frames that the VAE decodes at once (D). Memory."
    )
    pin_anchors: bool = Field(
        default=True,
        description="Take out the slow drift of colours between the anchors and what the networks "
        "draw of them, so that nothing jumps next to an anchor (D).",
    )
    channels_last: bool = Field(
        default=False, description="Channels-last memory format: faster on most GPUs (D)."
    )
    compile: bool = Field(
        default=False, description="torch.compile of the U-Net: pays off on long films only (D)."
    )


class QwenSettings(WeightSettings):
    """Part `qwen`: a colour still of a shot from a prompt, by Qwen-Image-Edit."""

    weights: str = Field(
        default="Qwen/Qwen-Image-Edit-2509",
        min_length=1,
        description="Hub id, or a local folder in diffusers' format, of Qwen-Image-Edit-Plus (P).",
    )
    revision: str = Field(
        default="d3968ef930e841f4c73640fb8afa3b306a78167e",
        description="Commit of the hub repository, 40 hex digits. Not used for a local folder.",
    )
    precision: Precision = Field(
        default="bf16", description="Number format of the networks (D: bf16, the published one)."
    )
    pixel_budget: int = Field(
        default=1_048_576,
        ge=4_096,
        le=4_194_304,
        description="Stills have the film's own size up to this many pixels, aspect kept (D: what "
        "the network was trained at). More costs time and repeats things.",
    )
    prompt: str = Field(
        default="Colorize it naturally with colorful tone.",
        min_length=1,
        max_length=2000,
        description="Prompt of shots that have none in the shot list (P).",
    )
    structure_clause: str = Field(
        default="Keep every shape, face, texture and the framing exactly as they are; change "
        "nothing but colour.",
        max_length=2000,
        description="Added to every prompt (D). Empty lets the network redraw.",
    )
    steps: int = Field(default=30, ge=1, le=200, description="Denoising steps (P).")
    guidance: float = Field(
        default=4.0,
        ge=1,
        le=20,
        description="True classifier-free guidance (D: the pipeline's). 1: off, half the time.",
    )
    shift: float = Field(
        default=0.0,
        ge=0,
        le=20,
        description="Fixed shift of the noise schedule, for LoRAs made with one (Lightning's: 3). "
        "0: the network's own, which grows with the picture.",
    )
    condition_pixels: int = Field(
        default=1_048_576,
        ge=4_096,
        le=4_194_304,
        description="Pictures are shown to the network at this many pixels at least (D: the "
        "pipeline's), or at the still's where it has more. Fewer cost less and show less.",
    )
    kindred: int = Field(
        default=2,
        ge=0,
        le=2,
        description="Colour stills of shots that show the same things, given as further images so "
        "that they keep their colours (D). The network takes three images in all.",
    )
    structure_threshold: float = Field(
        default=0.7,
        ge=-1,
        le=1,
        description="Least likeness of the still's edges with the frame's (D; `structure.py` has "
        "figures). Higher rejects stills for a pixel's shift; -1: no check.",
    )
    attempts: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Tries, each with the next seed, until a still passes the check (D).",
    )
    offload: Literal["none", "model", "sequential"] = Field(
        default="none",
        description="Keep on the GPU all networks, one at a time, or one layer at a time: less "
        "memory, more time (D).",
    )
    quantization: Literal["none", "8bit", "4bit"] = Field(
        default="none",
        description="Weights of the transformer and the text encoder in fewer bits, by "
        "bitsandbytes (extra `quantization`, NVIDIA only): half or a quarter of the memory (D).",
    )
    lora: str = Field(
        default="",
        description="Local folder or hub id of a LoRA for few steps; set steps and guidance to what"
        " it was made for (D).",
    )
    lora_revision: str = Field(
        default="", description="Commit of the LoRA's hub repository, 40 hex digits."
    )
    lora_file: str = Field(
        default="", description="File name of the LoRA in its folder, where there are several."
    )

    @model_validator(mode="after")
    def _layers_can_move(self) -> QwenSettings:
        if self.quantization != "none" and self.offload == "sequential":
            raise ValueError("quantized networks move as a whole: set offload to model or none")
        return self
