"""Part `qwen` on a tiny random pipeline of the real classes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPlusPipeline, QwenImageTransformer2DModel
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus
from PIL import Image
from pydantic import ValidationError

from colorize_core.engines.contract import CPU, ColourStill, Device, GreyFrame
from colorize_core.engines.diffusion.pictures import grey_to_network, to_bytes
from colorize_core.engines.diffusion.qwen.lora import lora_bytes, lora_identity
from colorize_core.engines.diffusion.qwen.memory import Footprint, Sizes, weight_bytes
from colorize_core.engines.diffusion.qwen.part import Qwen
from colorize_core.engines.diffusion.qwen.processor import ImageOnlyProcessor
from colorize_core.engines.diffusion.qwen.structure import likeness
from colorize_core.engines.diffusion.settings import QwenSettings
from colorize_core.errors import ReferenceRejected, SettingError, WeightsMissing
from colorize_core.media.color import srgb_to_lab
from colorize_core.references.stills import as_png, still_of
from tests.media_factory import colour_picture
from tests.peak_tensors import peak_bytes
from tests.tiny.qwen import save_tiny_qwen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("qwen"))


def settings(folder: Path, **more: Any) -> QwenSettings:
    small = {"steps": 2, "pixel_budget": 4096, "condition_pixels": 4096, "structure_threshold": -1}
    own = {"weights": str(folder), "precision": "fp32"}
    return QwenSettings.model_validate(own | small | more)


@pytest.fixture(scope="module")
def part(folder: Path) -> Qwen:
    return Qwen(settings(folder), CPU)


def picture(width: int, height: int, seed: int = 3) -> np.ndarray:
    """L*a*b* float32 ``[H, W, 3]``."""
    return srgb_to_lab(colour_picture(seed, 0, width, height).astype(np.float32) / np.float32(255))


def grey(width: int = 64, height: int = 64) -> GreyFrame:
    return GreyFrame(7, np.ascontiguousarray(picture(width, height)[..., 0]))


def stills(count: int) -> list[ColourStill]:
    return [ColourStill(f"kin {i}", picture(64, 48, 10 + i)) for i in range(count)]


# -- what is made ------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(64, 48), (61, 47), (8, 6)])
def test_a_still_has_its_frames_size(part: Qwen, width: int, height: int) -> None:
    still = part.make(grey(width, height), "", 1, [])
    assert still.lab.shape == (height, width, 3) and still.lab.dtype == np.float32
    assert still.frame == 7


def test_a_still_is_what_its_picture_file_holds(part: Qwen) -> None:
    still = part.make(grey(), "", 1, [])
    with Image.open(io.BytesIO(as_png(still))) as image:
        assert still_of(np.asarray(image)).digest == still.digest


def test_same_bytes_twice_and_loaded_anew(part: Qwen, folder: Path) -> None:
    first = part.make(grey(61, 47), "", 1, stills(1))
    for other in (part, Qwen(settings(folder), CPU)):
        assert other.make(grey(61, 47), "", 1, stills(1)).digest == first.digest


def test_prompt_seed_and_each_kindred_still_count(part: Qwen) -> None:
    made = [
        part.make(grey(), "", 1, []),
        part.make(grey(), "A red coat.", 1, []),
        part.make(grey(), "", 2, []),
        part.make(grey(), "", 1, stills(1)),
        part.make(grey(), "", 1, stills(2)),
    ]
    assert len({still.digest for still in made}) == len(made)
    assert part.make(grey(), "", 1, stills(5)).digest == made[-1].digest


def test_half_precision(folder: Path) -> None:
    half = Qwen(settings(folder).model_copy(update={"precision": "bf16"}), CPU)
    still = half.make(grey(), "", 1, [])
    assert np.isfinite(still.lab).all()


def test_it_is_the_stock_pipeline(part: Qwen, folder: Path, monkeypatch: Any) -> None:
    """A frame without padding: pixel for pixel what diffusers makes of the same arguments."""
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", 64 * 64)
    stock: Any = QwenImageEditPlusPipeline.from_pretrained(
        folder, processor=ImageOnlyProcessor.load(folder / "processor")
    )
    stock.set_progress_bar_config(disable=True)
    frame = grey()
    made = stock(
        image=[Image.fromarray(to_bytes(grey_to_network(frame.lstar)))],
        prompt=part.prompt("A red coat.", 0),
        negative_prompt=" ",
        true_cfg_scale=4.0,
        num_inference_steps=2,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    assert part.make(frame, "A red coat.", 5, []).digest == still_of(np.asarray(made)).digest


@pytest.mark.parametrize(
    ("size", "condition_pixels", "shown"),
    [
        ((61, 47), 4096, (64, 64)),  # as it is: its grid and the still's coincide
        ((160, 90), 4096, (160, 96)),
        ((64, 64), 16_384, (128, 128)),  # small frames are enlarged, as the pipeline does
    ],
)
def test_the_frame_is_shown_whole_and_in_its_aspect(
    part: Qwen,
    folder: Path,
    size: tuple[int, int],
    condition_pixels: int,
    shown: tuple[int, int],
) -> None:
    other = Qwen(settings(folder, condition_pixels=condition_pixels), CPU)
    seen: list[tuple[int, ...]] = []
    vae = other._pipeline.vae
    hook = vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    other.make(grey(*size), "", 1, stills(1))
    hook.remove()
    assert seen[0][-2:] == shown[::-1]
    kin_height, kin_width = seen[1][-2:]
    assert abs(kin_width / kin_height - 64 / 48) < 0.35  # 32 pixels of rounding, at this size
    assert pipeline_qwenimage_edit_plus.VAE_IMAGE_SIZE == 1024 * 1024


# -- what the network is told --------------------------------------------------------------------


def test_prompt(part: Qwen) -> None:
    own = QwenSettings()
    assert part.prompt("", 0) == f"{own.prompt} {own.structure_clause}"
    assert part.prompt(" A red coat. ", 0) == f"A red coat. {own.structure_clause}"
    assert "Picture 2 shows" in part.prompt("", 1)
    assert "Pictures 2 and 3 show" in part.prompt("", 2)
    free = Qwen(own.model_copy(update={"structure_clause": ""}), CPU)
    assert free.prompt("A red coat.", 0) == "A red coat."


@pytest.mark.parametrize(("guidance", "calls"), [(4.0, 4), (1.0, 2)])
def test_network_calls_are_those_declared(folder: Path, guidance: float, calls: int) -> None:
    part = Qwen(settings(folder, guidance=guidance), CPU)
    counted: list[int] = []
    part._pipeline.transformer.register_forward_pre_hook(lambda *_: counted.append(1))
    part.make(grey(), "", 1, [])
    assert len(counted) == calls == part.facts.network_calls


def test_a_fixed_shift_changes_the_schedule(folder: Path, part: Qwen) -> None:
    shifted = Qwen(settings(folder, shift=3.0), CPU)
    assert shifted.make(grey(), "", 1, []).digest != part.make(grey(), "", 1, []).digest
    own, steps = np.array([1.0, 0.5]), shifted._pipeline.scheduler.sigmas[:2]
    assert np.allclose(steps, 3 * own / (1 + 2 * own), atol=1e-6)


# -- the structure check -------------------------------------------------------------------------


def test_a_still_that_shows_something_else_is_rejected_after_all_attempts(folder: Path) -> None:
    strict = Qwen(settings(folder, structure_threshold=0.7, attempts=3), CPU)
    drawn: list[int] = []
    strict._pipeline.vae.decoder.register_forward_pre_hook(lambda *_: drawn.append(1))
    with pytest.raises(ReferenceRejected, match=r"Frame 7: none of 3 stills") as caught:
        strict.make(grey(), "", 1, [])
    assert len(drawn) == 3
    assert "--reference" in caught.value.remedy


def test_an_attempt_is_the_next_seed(folder: Path, part: Qwen) -> None:
    """The threshold lies between the likeness of a seed's still and a higher one of the next's."""
    frame = grey()
    made = [part.make(frame, "", seed, []) for seed in range(6)]
    found = [likeness(still.lab[..., 0], frame.lstar) for still in made]
    seed = next(i for i in range(5) if found[i] < found[i + 1])
    between = (found[seed] + found[seed + 1]) / 2
    picky = Qwen(settings(folder, structure_threshold=between, attempts=2), CPU)
    assert picky.make(frame, "", seed, []).digest == made[seed + 1].digest


def test_a_still_without_colour_is_rejected(folder: Path) -> None:
    """A decoder whose last layer gives the same to red, green and blue."""
    part = Qwen(settings(folder, attempts=2), CPU)
    with torch.no_grad():
        last = part._pipeline.vae.decoder.conv_out
        for values in (last.weight, last.bias):
            values.copy_(values[:1].expand_as(values).clone())
    with pytest.raises(ReferenceRejected, match="2 had no colour"):
        part.make(grey(), "", 1, [])


# -- loading -------------------------------------------------------------------------------------


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="which qwen needs") as caught:
        Qwen(settings(tmp_path / "nowhere"), CPU).make(grey(), "", 1, [])
    assert "qwen.weights" in caught.value.remedy


def test_facts_need_no_weights() -> None:
    own = QwenSettings()
    facts = Qwen(own, CPU).facts
    assert facts.weights == f"{own.weights}@{own.revision}"
    assert facts.network_calls == 60 and facts.kindred == 2 and not facts.enlarges
    assert facts.working_size(720, 576) == (720, 576)
    assert 55e9 < facts.memory.fixed < 65e9


@pytest.mark.parametrize("key", [{"offload": "model"}, {"quantization": "4bit"}])
def test_options_for_gpus_are_refused_on_a_cpu(folder: Path, key: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="for GPUs"):
        Qwen(settings(folder, **key), CPU).make(grey(), "", 1, [])


def test_quantized_networks_move_as_a_whole(folder: Path) -> None:
    with pytest.raises(ValidationError, match="as a whole"):
        settings(folder, quantization="4bit", offload="sequential")


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is there")
def test_missing_library_for_quantization(folder: Path) -> None:
    part = Qwen(settings(folder, quantization="4bit"), Device("cuda"))
    with pytest.raises(WeightsMissing, match="bitsandbytes") as caught:
        part.make(grey(), "", 1, [])
    assert "kinecolor[quantization]" in caught.value.remedy


def test_the_processor_of_the_published_layout(folder: Path, tmp_path: Path) -> None:
    """The published folder has the picture part's configuration in a file of its own."""
    home = tmp_path / "processor"
    home.mkdir()
    for file in (folder / "processor").iterdir():
        (home / file.name).write_bytes(file.read_bytes())
    nested = home / "processor_config.json"
    own = json.loads(nested.read_text("utf-8"))["image_processor"]
    own["image_processor_type"] = "Qwen2VLImageProcessorFast"
    (home / "preprocessor_config.json").write_text(json.dumps(own), "utf-8")
    nested.unlink()
    found: Any
    expected: Any
    found, expected = (ImageOnlyProcessor.load(each) for each in (home, folder / "processor"))
    text = "Picture 1: <|vision_start|><|image_pad|><|vision_end|>"
    image = Image.fromarray(colour_picture(3, 0, 96, 64))
    for key, values in expected(text=[text], images=[image], return_tensors="pt").items():
        assert torch.equal(found(text=[text], images=[image], return_tensors="pt")[key], values)


# -- a LoRA --------------------------------------------------------------------------------------


def some_lora(rank: int = 2) -> dict[str, torch.Tensor]:
    """One for the first block's queries."""
    shape = (48, rank)
    return {
        f"transformer.transformer_blocks.0.attn.to_q.{name}.weight": values
        for name, values in (
            ("lora_A", torch.ones(shape[::-1])),
            ("lora_B", torch.ones(shape)),
        )
    }


def save_lora(folder: Path, *names: str) -> Path:
    from safetensors.torch import save_file

    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(some_lora(), folder / name)
    return folder


def test_a_loras_file_has_to_be_clear(folder: Path, tmp_path: Path) -> None:
    several = str(save_lora(tmp_path, "a.safetensors", "b/c.safetensors"))
    with pytest.raises(SettingError, match="2 LoRA files") as caught:
        lora_bytes(settings(folder, lora=several))
    assert "a.safetensors, b/c.safetensors" in caught.value.remedy
    assert lora_bytes(settings(folder, lora=several, lora_file="b/c.safetensors")) == 4 * 192


def test_results_are_named_by_the_lora_too(folder: Path, tmp_path: Path) -> None:
    own = settings(folder, lora=str(save_lora(tmp_path, "a.safetensors")))
    assert Qwen(own, CPU).facts.weights.endswith("+" + lora_identity(own))
    published = settings(folder, lora="some/lora", lora_revision="a" * 40, lora_file="x/y.st")
    assert lora_identity(published) == f"some/lora@{'a' * 40}/x/y.st"


def test_a_lora_changes_the_still(folder: Path, tmp_path: Path, part: Qwen) -> None:
    own = settings(folder, lora=str(save_lora(tmp_path, "x/a.safetensors")))
    if find_spec("peft") is None:
        with pytest.raises(WeightsMissing, match="peft"):
            Qwen(own, CPU).make(grey(), "", 1, [])
    else:
        still = Qwen(own, CPU).make(grey(), "", 1, [])
        assert still.digest != part.make(grey(), "", 1, []).digest


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "condition_pixels", "kindred"),
    [(256, 4096, 0), (128, 65_536, 1), (256, 65_536, 2), (320, 4096, 0)],
)
def test_memory_is_as_declared(
    folder: Path, part: Qwen, side: int, condition_pixels: int, kindred: int
) -> None:
    own = settings(
        folder,
        pixel_budget=side * side,
        condition_pixels=condition_pixels,
        kindred=kindred,
        steps=1,
    )
    made = Qwen(own, CPU)
    made.__dict__["_pipeline"] = part._pipeline  # weights exist before, and are not counted
    frame = grey(side, side)
    measured = peak_bytes(lambda: made.make(frame, "", 1, stills(kindred)))
    weights = weight_bytes(own, Footprint.of(own).sizes)
    declared = made.facts.memory.need(side * side) - weights
    assert measured <= declared <= 1.6 * measured


@pytest.mark.parametrize("tokens", [256, 1024])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_of_the_transformer(tokens: int, dtype: torch.dtype) -> None:
    """Alone, since in tiny pipelines the VAE needs more."""
    torch.set_default_dtype(dtype)
    try:
        network = QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=32,
            num_attention_heads=8,
            joint_attention_dim=16,
            axes_dims_rope=(16, 8, 8),
        )
    finally:
        torch.set_default_dtype(torch.float32)
    side = round(tokens**0.5)
    text = 64

    def run() -> Sequence[torch.Tensor]:
        return network(
            hidden_states=torch.zeros(1, tokens, 16, dtype=dtype),
            encoder_hidden_states=torch.zeros(1, text, 16, dtype=dtype),
            timestep=torch.ones(1, dtype=dtype),
            img_shapes=[[(1, side, side)]],
            return_dict=False,
        )

    with torch.inference_mode():
        run()
        measured = peak_bytes(run)
    number = torch.finfo(dtype).bits // 8
    declared = Footprint(Sizes(width=256), number).token * (tokens + text)
    assert measured <= declared <= 1.3 * measured


def test_weights_in_each_mode() -> None:
    """Of the published networks, in gigabytes."""
    found = {
        name: round(weight_bytes(QwenSettings(**more), Sizes()) / 1e9, 1)
        for name, more in {
            "whole": {},
            "model": {"offload": "model"},
            "sequential": {"offload": "sequential"},
            "8bit": {"quantization": "8bit"},
            "4bit": {"quantization": "4bit"},
            "both": {"quantization": "4bit", "offload": "model"},
        }.items()
    }
    assert found == {
        "whole": 57.7,
        "model": 41.1,
        "sequential": 1.1,
        "8bit": 30.1,
        "4bit": 18.0,
        "both": 11.7,
    }
