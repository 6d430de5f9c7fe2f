"""Part `svd`: exact against diffusers' own pipeline, symmetric in time, and whole by its class."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    StableVideoDiffusionPipeline,
)

from colorize_core.engines.contract import CPU, F32, Chroma, Device, GreyFrame
from colorize_core.engines.diffusion.settings import SvdSettings
from colorize_core.engines.diffusion.svd import memory as svd_memory
from colorize_core.engines.diffusion.svd.bidirectional import (
    Condition,
    Controls,
    Direction,
    Network,
    Plan,
    Row,
    Source,
    denoise,
    invert,
)
from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet
from colorize_core.engines.diffusion.svd.euler import Schedule, scaled, step
from colorize_core.engines.diffusion.svd.networks import Networks
from colorize_core.engines.diffusion.svd.part import Passage, Segment, Svd, pinned
from colorize_core.engines.exemplar.flow import Flow
from colorize_core.engines.exemplar.settings import FlowSettings
from colorize_core.errors import EngineFailed, SettingError, WeightsMissing
from colorize_core.media.color import srgb_to_lab
from tests.media_factory import colour_picture
from tests.peak_tensors import peak_bytes
from tests.tiny.svd import save_tiny_svd, svd_scheduler, tiny_svd_unet

FRAMES, SIDE, STEPS = 3, 128, 2
LATENTS = (FRAMES, 4, SIDE // 8, SIDE // 8)
FLOW = Flow(FlowSettings())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_svd(tmp_path_factory.mktemp("svd"))


@pytest.fixture(scope="module")
def controlnet(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ControlNet that has an effect: its zero convolutions are not zero any more."""
    network = SVDControlNet.from_unet(tiny_svd_unet(folder))
    torch.manual_seed(3)
    for name, weight in network.named_parameters():
        if "zero" in name:
            torch.nn.init.normal_(weight, std=0.2)
    home = tmp_path_factory.mktemp("controlnet")
    network.save_pretrained(home)
    return home


@pytest.fixture(scope="module")
def settings(folder: Path) -> SvdSettings:
    return SvdSettings(
        weights=str(folder),
        precision="fp32",
        steps=STEPS,
        pixel_budget=SIDE * SIDE,
        tau_attn=0,
        tau_f=0,
        flow="dis",
    )


@pytest.fixture(scope="module")
def networks(settings: SvdSettings) -> Networks:
    return Networks.load(settings, CPU)


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def drawn(shape: Sequence[int], seed: int) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def photograph(seed: int) -> PIL.Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return PIL.Image.fromarray(small).resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)


def seen(networks: Networks, seed: int) -> Condition:
    """The condition of a photograph."""
    unit = np.asarray(photograph(seed)).astype(np.float32).transpose(2, 0, 1) / 255
    picture = torch.from_numpy(np.ascontiguousarray(unit)) * 2 - 1
    return networks.condition(picture, drawn((3, SIDE, SIDE), 9), 0.02)


NOISE, RENEWED = drawn(LATENTS, 5), drawn(LATENTS, 77)


def sampled(
    networks: Networks,
    plan: Plan,
    directions: tuple[Direction, Direction],
    noise: torch.Tensor = NOISE,
    fresh: torch.Tensor = RENEWED,
) -> torch.Tensor:
    schedule = Schedule.of(networks.scheduler, plan.steps)
    network = Network(networks.unet, torch.tensor([6, 127, 0.02]), networks.controlnet)
    return denoise(network, schedule, noise * schedule.first_noise, directions, plan, lambda: fresh)


def controls(seed: int) -> Controls:
    shape = (FRAMES, 3, SIDE, SIDE)
    return Controls(drawn(shape, seed).clamp(0, 1), drawn(shape, seed + 1).clamp(0, 1))


def source(networks: Networks, seed: int, levels: range) -> Source:
    return Source(seen(networks, seed), {i: drawn(LATENTS, seed + i) for i in levels})


# -- sampling, exactly -------------------------------------------------------------------------


@pytest.mark.parametrize("guidance_end", [8.0, 1.0])
@pytest.mark.parametrize("controlled", [False, True])
def test_forward_alone_is_the_pipeline_of_diffusers(
    folder: Path,
    settings: SvdSettings,
    networks: Networks,
    guidance_end: float,
    controlled: bool,
) -> None:
    """Without injection, and with a ControlNet at its initialisation, too."""
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    preprocess = pipeline.video_processor.preprocess  # its layout makes convolutions round apart
    pipeline.video_processor.preprocess = lambda *a, **k: preprocess(*a, **k).contiguous()
    expected = pipeline(
        photograph(1),
        height=SIDE,
        width=SIDE,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        max_guidance_scale=guidance_end,
        generator=torch.Generator().manual_seed(9),
        latents=NOISE[None],
        return_dict=False,
        output_type="latent",
    )[0]
    plan = replace(
        Plan.of(
            settings.model_copy(update={"guidance_end": guidance_end}),
            FRAMES,
            together=False,  # calls of the pipeline's own batch size
        ),
        forward_share=torch.ones(FRAMES),
    )
    if controlled:
        networks = replace(networks, controlnet=SVDControlNet.from_unet(networks.unet))
    shown = controls(6) if controlled else None
    directions = (Direction(seen(networks, 1), shown), Direction(seen(networks, 2), shown))
    found = sampled(networks, plan, directions)
    assert found.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@dataclass(frozen=True, slots=True, eq=False)
class Everything:
    """A segment with all means at once, and what comes of it."""

    networks: Networks
    plan: Plan
    forward: Direction
    backward: Direction
    result: torch.Tensor


@pytest.fixture(scope="module")
def everything(settings: SvdSettings, controlnet: Path) -> Everything:
    changes = {"steps": 3, "tau_attn": 0.4, "tau_f": 0.7, "repeats": 1}
    every = settings.model_copy(update={**changes, "controlnet": str(controlnet)})
    plan = Plan.of(every, FRAMES, together=True)
    assert (plan.attention_until, plan.residual_until, plan.repeats_until) == (1, 2, 1)
    networks = Networks.load(every, CPU)
    with torch.inference_mode():
        forward = Direction(seen(networks, 1), controls(20), source(networks, 30, plan.sourced))
        backward = Direction(seen(networks, 2), controls(40), source(networks, 50, plan.sourced))
        result = sampled(networks, plan, (forward, backward))
    return Everything(networks, plan, forward, backward, result)


def test_swapped_anchors_and_flipped_noise_and_controls_flip_the_result(
    everything: Everything,
) -> None:
    swapped = sampled(
        everything.networks,
        everything.plan,
        (everything.backward, everything.forward),
        NOISE.flip(0),
        RENEWED.flip(0),
    )
    assert (swapped - everything.result).abs().max() > 0.1
    torch.testing.assert_close(swapped.flip(0), everything.result, rtol=0, atol=1e-4)


@pytest.mark.parametrize("without", ["one call", "controls", "injection", "repeats"])
def test_each_means_has_an_effect_and_one_call_has_none(
    everything: Everything, without: str
) -> None:
    networks, plan = everything.networks, everything.plan
    match without:
        case "one call":
            plan = replace(plan, together=False)
        case "controls":
            networks = replace(networks, controlnet=None)
        case "injection":
            plan = replace(plan, attention_until=0, residual_until=0)
        case "repeats":
            plan = replace(plan, repeats=0)
    found = sampled(networks, plan, (everything.forward, everything.backward))
    difference = float((found - everything.result).abs().max())
    assert difference < 1e-4 if without == "one call" else difference > 1e-3


def test_an_end_knows_of_the_other_anchor_through_temporal_layers_alone(
    settings: SvdSettings, networks: Networks
) -> None:
    """α is 1 at the start and 0 at the end, so that a network of single frames keeps both."""
    plan = Plan.of(settings, FRAMES, together=True)
    assert plan.forward_share[0] == 1 and plan.forward_share[-1] == 0
    single = copy.deepcopy(networks.unet)
    for name, weight in single.named_parameters():
        if name.endswith("mix_factor"):
            weight.fill_(100)  # its sigmoid is exactly 1: all spatial
    start, end, other = (Direction(seen(networks, seed)) for seed in (1, 2, 3))
    for unet in (single, networks.unet):
        of = replace(networks, unet=unet)
        found = sampled(of, plan, (start, end))
        new_end, new_start = sampled(of, plan, (start, other)), sampled(of, plan, (other, end))
        changes = [(found - each).abs().amax(dim=(1, 2, 3)) for each in (new_end, new_start)]
        at_own, at_other = (changes[0][-1], changes[1][0]), (changes[0][0], changes[1][-1])
        assert min(at_own) > 1e-2
        assert max(at_other) < 1e-5 if unet is single else min(at_other) > 1e-5


# -- schedule and inversion --------------------------------------------------------------------


def test_the_plan_has_the_numbers_of_the_paper() -> None:
    plan = Plan.of(SvdSettings(), 25, together=True)
    assert (plan.first, plan.attention_until, plan.residual_until) == (0, 11, 16)
    assert plan.guidance[0] == 1 and plan.guidance[-1] == 8
    assert plan.evaluations == 2 * (25 * 2 + 16 + 25)  # guidance, sources, inversion
    shorter = Plan.of(SvdSettings(strength=0.6, repeats=5), 25, together=True)
    assert (shorter.first, shorter.sourced) == (10, range(10, 16))
    assert shorter.evaluations == 2 * (15 * 2 + 6 + 15 + 5 * (2 + 1) * 2)
    plain = Plan.of(SvdSettings(guidance_end=1, tau_attn=0, tau_f=0), 25, together=True)
    assert plain.evaluations == 2 * 25 and not plain.sourced


def test_the_climb_starts_one_step_below_the_lowest_level() -> None:
    schedule = Schedule.of(svd_scheduler(), 25)
    climb = schedule.climb()
    assert len(climb) == 26 and climb[1] == schedule.sigmas[24] and climb[25] == schedule.sigmas[0]
    assert climb[0] == schedule.sigmas[24] ** 2 / schedule.sigmas[23]
    assert (climb.diff() > 0).all()


def test_another_scheduler_is_refused() -> None:
    scheduler = svd_scheduler()
    scheduler.register_to_config(prediction_type="epsilon")
    with pytest.raises(SettingError, match="scheduler"):
        Schedule.of(scheduler, 25)


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian(Network):
    """Knows the best prediction for clean latents of standard deviation `spread`."""

    spread: float = 0.5

    def predict(
        self, rows: Sequence[Row], sigma: torch.Tensor, injection: object = None
    ) -> torch.Tensor:
        z = torch.stack([row.latents for row in rows])
        clean = z * self.spread**2 / (self.spread**2 + sigma**2)
        return (z / (sigma**2 + 1) - clean) * (sigma**2 + 1) ** 0.5 / sigma


def test_sampling_undoes_inversion() -> None:
    network = Gaussian(unet=None, time_ids=torch.zeros(3))  # pyright: ignore[reportArgumentType]
    clean = 0.5 * drawn(LATENTS, 1)
    errors = []
    for steps in (25, 100, 200):
        schedule = Schedule.of(svd_scheduler(), steps)
        (levels,) = invert(network, schedule, [Row(clean, None, None)], range(0, 2))
        assert set(levels) == {0, 1}
        assert levels[0].std() == pytest.approx(float(schedule.sigmas[0]), rel=0.3)
        z = levels[0]
        for sigma, target in zip(schedule.sigmas[:-1], schedule.sigmas[1:], strict=True):
            z = step(z, network.predict([Row(z, None, None)], sigma)[0], sigma, target)
        errors.append(float((z - clean).abs().max() / clean.abs().max()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05


def test_clips_are_inverted_alike_together_and_alone(networks: Networks) -> None:
    network = Network(networks.unet, torch.tensor([6, 127, 0.02]))
    schedule = Schedule.of(networks.scheduler, STEPS)
    clips = [Row(drawn(LATENTS, i), seen(networks, i), None) for i in (1, 2)]
    together = invert(network, schedule, clips, range(0, 2))
    for clip, levels in zip(clips, together, strict=True):
        (alone,) = invert(network, schedule, [clip], range(0, 2))
        assert set(levels) == set(alone) == {0, 1}
        for level, sigma in enumerate(schedule.sigmas[:2]):
            pair = scaled(levels[level], sigma), scaled(alone[level], sigma)
            torch.testing.assert_close(*pair, rtol=0, atol=1e-4)


# -- the part ----------------------------------------------------------------------------------


def film(width: int, height: int, count: int) -> tuple[list[GreyFrame], Chroma, Chroma]:
    """A picture in motion: its grey frames, and the colours of both ends."""
    lab = [
        srgb_to_lab(colour_picture(3, i / 8, width, height).astype(np.float32) / np.float32(255))
        for i in range(count)
    ]
    grey = [GreyFrame(7 + i, np.ascontiguousarray(each[..., 0])) for i, each in enumerate(lab)]
    sure, unsure = (np.full((height, width), value, np.float32) for value in (1, 0.5))
    start, end = (np.ascontiguousarray(lab[i][..., 1:]) for i in (0, -1))
    return grey, Chroma(start, sure), Chroma(end, unsure)


def part(settings: SvdSettings, **changes: object) -> Svd:
    changed = SvdSettings(**{**settings.model_dump(), **changes})
    return Svd(changed, CPU, FLOW)


@pytest.fixture(scope="module")
def complete(settings: SvdSettings, controlnet: Path) -> Svd:
    return part(settings, controlnet=str(controlnet), tau_attn=0.5, tau_f=1)


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(96, 64, 1), (96, 64, 2), (96, 64, 3), (61, 47, 3), (61, 47, 7), (8, 6, 2), (8, 6, 7)],
)
def test_every_frame_is_filled_and_anchors_stay(
    complete: Svd, width: int, height: int, count: int
) -> None:
    frames, start, end = film(width, height, count)
    found = complete.fill(frames, start, end, seed=1)
    assert len(found) == count
    assert found[0] is start and (count == 1 or found[-1] is end)
    for i, each in enumerate(found[1:-1], start=1):
        assert each.ab.shape == (height, width, 2) and each.ab.dtype == np.float32
        assert np.isfinite(each.ab).all() and np.abs(each.ab).max() <= 110
        np.testing.assert_allclose(each.confidence, 1 - 0.5 * i / (count - 1), atol=1e-6)


def test_a_segment_depends_on_its_arguments_alone(complete: Svd) -> None:
    frames, start, end = film(96, 64, 3)
    once = complete.fill(frames, start, end, seed=1)[1]
    between = complete.fill(frames[::-1], end, start, seed=2)[1]
    again = complete.fill(frames, start, end, seed=1)[1]
    assert np.array_equal(again.ab, once.ab) and not np.array_equal(between.ab, once.ab)


@pytest.fixture(scope="module")
def plain(settings: SvdSettings, networks: Networks) -> F32:
    made = part(settings)
    made._networks = networks
    return made.fill(*film(96, 64, 3), seed=1)[1].ab


@pytest.mark.parametrize(
    "changes",
    [
        {"strength": 0.5},
        {"strength": 0.5, "tau_attn": 0.5, "tau_f": 1.0},
        {"tau_f": 0.5, "injection_source": "flow", "batching": "one"},
        {"repeats": 2, "repeat_ratio": 0.5, "guidance_end": 1.0},
        {"precision": "bf16", "channels_last": True},
    ],
)
def test_settings_take_effect(
    settings: SvdSettings, networks: Networks, plain: F32, changes: dict[str, object]
) -> None:
    changed = part(settings, **changes)
    if "precision" not in changes:
        changed._networks = networks
    found = changed.fill(*film(96, 64, 3), seed=1)[1].ab
    assert np.isfinite(found).all() and np.abs(found - plain).max() > 1e-3


def test_batching_is_a_matter_of_memory(settings: SvdSettings) -> None:
    def together(batching: str, memory_bytes: int) -> bool:
        device = Device(memory_bytes=memory_bytes)
        chosen = Svd(settings.model_copy(update={"batching": batching}), device, FLOW)
        return chosen._plan(FRAMES, (SIDE, SIDE)).together

    need = svd_memory.need(settings, SIDE * SIDE, FRAMES, together=True)
    assert together("auto", need) and not together("auto", need - 1)
    assert together("both", 1) and not together("one", need)


def test_half_precision_keeps_the_encoder_in_float32(settings: SvdSettings) -> None:
    """As the pipeline does: SVD's encoder overflows in half precision."""
    half = Networks.load(settings.model_copy(update={"precision": "fp16"}), CPU)
    assert half.vae.config["force_upcast"]
    assert half.vae.encoder.conv_in.weight.dtype == torch.float32
    assert half.vae.decoder.conv_in.weight.dtype == half.unet.dtype == torch.float16


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch.compile's own
def test_compiled_blocks_are_those_without_a_hook(settings: SvdSettings) -> None:
    """Compiled code takes no notice of hooks that come and go."""
    unet = Networks.load(settings.model_copy(update={"compile": True}), CPU).unet
    compiled = {name for name, each in unet.named_modules() if each._compiled_call_impl}
    assert {"down_blocks.0.resnets.0", "up_blocks.3.attentions.2"} < compiled
    assert not compiled & {"", "up_blocks.1", "up_blocks.1.resnets.1", "mid_block"}


def test_everything_is_on_the_device_of_the_networks(
    everything: Everything, settings: SvdSettings
) -> None:
    """A device without memory stands for a GPU: what fails is to take the pictures from it."""
    names = ("unet", "vae", "image_encoder", "controlnet")
    moved = {name: copy.deepcopy(getattr(everything.networks, name)) for name in names}
    for network in moved.values():
        torch.nn.Module.to(network, device="meta")
    networks = replace(everything.networks, device=torch.device("meta"), **moved)
    frames, start, end = film(96, 64, FRAMES)
    segment = Segment([each.lstar for each in frames], start.ab, end.ab, [start.ab] * FRAMES)
    changes = {"steps": 3, "tau_attn": 0.4, "tau_f": 0.7, "repeats": 1, "strength": 0.7}
    changed = settings.model_copy(update=changes)
    plan = Plan.of(changed, FRAMES, together=True)
    with pytest.raises(NotImplementedError, match="copy out of meta"):
        Passage(changed, networks, plan, segment, seed=1).colours()


def test_grey_anchors_give_a_grey_segment_without_any_network(settings: SvdSettings) -> None:
    frames, _, _ = film(96, 64, 4)
    nowhere = part(settings, weights="./nowhere")
    found = nowhere.fill(frames, Chroma.grey(64, 96), Chroma.grey(64, 96), seed=1)
    assert len(found) == 4
    assert all(not each.ab.any() and not each.confidence.any() for each in found)


def test_too_long_a_segment_is_refused(settings: SvdSettings) -> None:
    frames, start, end = film(8, 6, 4)
    with pytest.raises(EngineFailed, match=r"svd\.max_frames"):
        part(settings, max_frames=3).fill(frames, start, end, seed=1)


def test_missing_weights_are_named(settings: SvdSettings, tmp_path: Path) -> None:
    frames, start, end = film(8, 6, 3)
    with pytest.raises(WeightsMissing):
        part(settings, weights=str(tmp_path)).fill(frames, start, end, seed=1)
    with pytest.raises(WeightsMissing, match="ControlNet"):
        part(settings, controlnet=str(tmp_path)).fill(frames, start, end, seed=1)


def test_pinning_takes_out_drift_and_keeps_details() -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(0, 20, (5, 64, 96, 2)).astype(np.float32)
    drift = np.linspace(3, -6, 5, dtype=np.float32).reshape(5, 1, 1, 1)
    np.testing.assert_allclose(pinned(clean + drift, clean[0], clean[-1]), clean, atol=1e-3)
    wrong = clean.copy()
    wrong[0] += rng.normal(0, 5, wrong[0].shape).astype(np.float32)  # details, not drift
    assert np.abs(pinned(wrong, clean[0], clean[-1])[1:] - clean[1:]).mean() < 0.5


# -- facts and memory --------------------------------------------------------------------------


def test_facts_without_weights_are_those_of_the_published_ones() -> None:
    facts = Svd(SvdSettings(), CPU, FLOW).facts
    assert facts.weights == f"{SvdSettings().weights}@{SvdSettings().revision}"
    assert facts.max_frames == facts.memory.frames == 25 and facts.needs_gpu
    assert facts.network_calls == 182
    gib = facts.memory.need(facts.pixel_budget) / 2**30
    assert 8 < gib < 12


def test_facts_of_a_folder_name_its_content(complete: Svd, settings: SvdSettings) -> None:
    assert complete.facts.weights.count("sha256:") == 2
    assert complete.facts.memory.fixed > part(settings).facts.memory.fixed


def test_memory_of_the_published_network_is_as_the_formula_says() -> None:
    """At full size, without memory: what the U-Net makes is counted, and nothing is computed."""
    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20))
    torch.nn.Module.to(unet, device="meta", dtype=torch.float16)
    told = svd_memory.footprint(SvdSettings(tau_attn=0, tau_f=0), 25, together=False)
    half = partial(torch.empty, device="meta", dtype=torch.float16)
    inputs = half(2, 25, 8, 40, 72), half(()), half(2, 1, 1024), half(2, 3)
    measured = peak_bytes(lambda: unet.eval()(*inputs))
    assert told.rows == 2
    assert measured == pytest.approx(told.rows * told.row * 25 * 576 * 320, rel=0.02)


@pytest.mark.parametrize(
    ("size", "count", "changes"),
    [
        ((128, 64), 3, {}),
        ((64, 64), 9, {"batching": "one", "decode_frames": 2}),
        ((128, 128), 3, {"batching": "one", "tau_f": 0.5, "guidance_end": 1}),
        ((64, 128), 3, {"controlnet": "a", "tau_f": 0.5}),
        ((128, 128), 4, {"controlnet": "a", "batching": "one"}),
    ],
)
def test_memory_is_as_the_formula_says(
    settings: SvdSettings,
    networks: Networks,
    everything: Everything,
    controlnet: Path,
    size: tuple[int, int],
    count: int,
    changes: dict[str, object],
) -> None:
    if "controlnet" in changes:
        changes = {**changes, "controlnet": str(controlnet)}
    working = part(settings, **changes)
    told = working._settings
    working._networks = everything.networks if told.controlnet else networks
    frames, start, end = film(*size, count)
    measured = peak_bytes(lambda: working.fill(frames, start, end, seed=1))
    together = told.batching != "one"
    need = svd_memory.need(told, size[0] * size[1], count, together)
    assert measured <= need - svd_memory.weight_bytes(told) <= 1.6 * measured
