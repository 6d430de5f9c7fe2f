"""Part `dual_attention` with tiny random networks of the real classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from pydantic import ValidationError
from torch import Tensor

from colorize_core.engines.contract import CPU, Chroma, ColourStill, GreyFrame
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.dual_attention.attention import (
    DualUNet,
    InputFeatures,
    Mix,
    Recording,
    ReferenceFeatures,
    dual_attention,
    processors,
)
from colorize_core.engines.diffusion.dual_attention.loop import Ladder
from colorize_core.engines.diffusion.dual_attention.memory import Footprint, Widths
from colorize_core.engines.diffusion.dual_attention.networks import DualNetworks
from colorize_core.engines.diffusion.dual_attention.part import DualAttention
from colorize_core.engines.diffusion.settings import DualAttentionSettings
from colorize_core.errors import WeightsMissing
from colorize_core.media.color import srgb_to_lab
from colorize_core.timebase import FrameSpan
from tests.media_factory import colour_picture
from tests.peak_tensors import peak_bytes
from tests.tiny.sd import save_tiny_sd


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(models: Path, **changed: Any) -> DualAttentionSettings:
    quick = {"passes": 1, "start_step": 2, "precision": "fp32", "pixel_budget": 4096}
    return DualAttentionSettings.model_validate({"weights": str(models), **quick, **changed})


def part(models: Path, **changed: Any) -> DualAttention:
    return DualAttention(settings(models, **changed), CPU)


# -- a film of one shot --------------------------------------------------------------------------


def picture(shift: float, width: int = 64, height: int = 64, seed: int = 3) -> np.ndarray:
    """L*a*b* float32 ``[H, W, 3]``."""
    rgb = colour_picture(seed, shift, width, height).astype(np.float32) / np.float32(255)
    return srgb_to_lab(rgb)


def grey(frame: int, lab: np.ndarray) -> GreyFrame:
    return GreyFrame(frame, np.ascontiguousarray(lab[..., 0]))


class Shot:
    """Its frames 0, 1, 2, …; counts those that are read."""

    def __init__(self, count: int, width: int = 64, height: int = 64) -> None:
        self.lab = [picture(i / 8, width, height) for i in range(count)]
        self.read_frames: list[int] = []

    def read(self, span: FrameSpan) -> Iterator[GreyFrame]:
        for frame in span:
            self.read_frames.append(frame)
            yield grey(frame, self.lab[frame])


def coloured(
    part: DualAttention, shot: Shot, anchors: Sequence[int], *stills: ColourStill
) -> dict[int, Chroma]:
    found = list(part.colorize(anchors, stills, shot, seed=1))
    assert sorted(frame for frame, _ in found) == list(anchors)
    return dict(found)


def evaluations(networks: DualNetworks, run: Callable[[], object]) -> list[int]:
    """Rows of each call of the U-Net while `run` runs."""
    rows: list[int] = []
    unet = networks.loop.unet.unet
    hook = unet.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    try:
        run()
    finally:
        hook.remove()
    return rows


# -- the attention -------------------------------------------------------------------------------

B, H, N, M, D = 2, 3, 20, 28, 4


def random_features() -> dict[str, Tensor]:
    torch.manual_seed(0)
    sizes = {"q_in": N, "k_in": N, "q_live": N, "v_live": N, "k_grey": M, "k_ref": M, "v_ref": M}
    rows = {name: B if size == N else 1 for name, size in sizes.items()}
    return {name: torch.randn(rows[name], H, size, D) for name, size in sizes.items()}


def fused(given: dict[str, Tensor], mix: Mix) -> Tensor:
    keys = torch.cat([given["k_ref"], given["k_grey"]])
    reference = ReferenceFeatures.of(keys, keys, given["v_ref"].expand(2, -1, -1, -1), mix)
    own = InputFeatures.of(given["q_in"], given["k_in"], given["k_in"], mix)
    return dual_attention(given["q_live"], given["v_live"], own, reference, mix, D**-0.5)


def written_out(x: dict[str, Tensor], mix: Mix) -> Tensor:
    """The formula with its maps."""
    grey, colour = (
        D**-0.5 * q @ k.mT for q, k in ((x["q_in"], x["k_grey"]), (x["q_live"], x["k_ref"]))
    )
    if mix.form == "logits":
        found = (mix.gamma * grey + (1 - mix.gamma) * colour).softmax(-1)
    else:
        found = mix.gamma * grey.softmax(-1) + (1 - mix.gamma) * colour.softmax(-1)
    own = (D**-0.5 * x["q_in"] @ x["k_in"].mT).softmax(-1) @ x["v_live"]
    return (1 - mix.beta) * found @ x["v_ref"] + mix.beta * own


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_the_fused_attention_is_the_formula(gamma: float, beta: float, form: Any) -> None:
    given, mix = random_features(), Mix(gamma, beta, form)
    assert (fused(given, mix) - written_out(given, mix)).abs().max() < 1e-5


def test_only_needed_features_are_kept() -> None:
    row = torch.zeros(2, H, M, D)

    def kept(mix: Mix) -> tuple[int, ...]:
        own, reference = (
            InputFeatures.of(row, row, row, mix),
            ReferenceFeatures.of(row, row, row, mix),
        )
        tensors = (own.q, own.k, reference.keys, reference.values)
        return tuple(each.untyped_storage().nbytes() // (4 * H * M * D) for each in tensors)

    assert kept(Mix(0.5, 0.5)) == (2, 2, 2, 1)  # q, k of both rows; keys of both kinds; values
    assert kept(Mix(1, 0)) == (2, 0, 1, 1)
    assert kept(Mix(0, 0)) == (0, 0, 1, 1)
    assert kept(Mix(0.5, 1)) == (2, 2, 0, 0)


def test_no_map_is_built() -> None:
    tokens = 1024
    q, k = torch.randn(1, H, tokens, D), torch.randn(2, H, tokens, D)
    mix = Mix(0.5, 0.5)
    own, reference = InputFeatures.of(q, q, q, mix), ReferenceFeatures.of(k, k, k, mix)
    used = peak_bytes(lambda: dual_attention(q, q, own, reference, mix, D**-0.5))
    assert used < 0.1 * (4 * H * tokens**2)


def test_processors_are_put_back_after_an_error(models: Path) -> None:
    unet = part(models).networks.loop.unet
    before = dict(unet.unet.attn_processors)
    recording = [Recording(InputFeatures.of, mix) for mix in unet.mixes]
    with pytest.raises(ZeroDivisionError), processors(unet.layers, recording):
        assert sum(a is not b for a, b in pairs(before, unet.unet.attn_processors)) == 6
        raise ZeroDivisionError
    assert all(a is b for a, b in pairs(before, unet.unet.attn_processors))


def pairs(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    return ((before[name], after[name]) for name in before)


# -- the loop ------------------------------------------------------------------------------------


def test_the_listed_layers(models: Path) -> None:
    unet = part(models, gamma1=0.25, gamma2=0.75).networks.loop.unet
    names = {id(module): name for name, module in unet.unet.named_modules()}
    assert [names[id(layer)] for layer in unet.layers] == [
        f"up_blocks.{block}.attentions.{i}.transformer_blocks.0.attn1"
        for block in (2, 3)
        for i in range(3)
    ]
    assert [mix.gamma for mix in unet.mixes] == [0.75] * 3 + [0.25] * 3


def test_exact_start_begins_where_inversion_ended() -> None:
    official, exact = Ladder(50, 5), Ladder(50, 5, exact_start=True)
    assert official.sampled == exact.sampled == (81, 61, 41, 21, 1)
    assert (official.top, exact.top) == (121, 81)


def test_exact_start_without_guidance_gives_the_picture_back(models: Path) -> None:
    """Down the ladder that was climbed, by ordinary attention: nearly the latent of before."""
    away = {}
    for exact in (True, False):
        loop = part(models, exact_start=exact, guidance=0).networks.loop
        z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            top, own = loop.studied(z, InputFeatures.of)
            _, reference = loop.studied(torch.cat([z, z]), ReferenceFeatures.of)
            away[exact] = (loop.sampled(top, own, reference) - z).abs().mean().item()
    assert away[True] < 0.5 * away[False]


def test_a_batch_of_one_is_a_batch_of_many(models: Path) -> None:
    loop = part(models, start_step=5).networks.loop
    z = torch.randn(3, 4, 16, 8, generator=torch.Generator().manual_seed(1))

    def result(z: Tensor) -> Tensor:
        top, own = loop.studied(z, InputFeatures.of)
        return loop.sampled(top, own, reference)

    with torch.inference_mode():
        _, reference = loop.studied(torch.randn(2, 4, 8, 8), ReferenceFeatures.of)
        many = result(z)
        ones = torch.cat([result(one) for one in z.split(1)])
    assert (many - ones).abs().max() < 1e-4


def test_recomputed_features_are_the_stored_ones_in_less_memory(models: Path) -> None:
    shot, used, found = Shot(1), {}, {}
    still = ColourStill("still", picture(1, seed=5))
    for features in ("store", "recompute"):
        for exact in (False, True):
            built = part(models, features=features, start_step=5, exact_start=exact)
            assert built.networks

            def run(
                built: DualAttention = built, key: tuple[str, bool] = (features, exact)
            ) -> None:
                found[key] = coloured(built, shot, [0], still)[0].ab

            rows = evaluations(built.networks, run)
            assert sum(rows) == built.facts.network_calls + reference_rows(features, exact)
            used[features, exact] = peak_bytes(
                lambda built=built: built.networks.loop.studied(
                    torch.zeros(2, 4, 32, 32), ReferenceFeatures.of
                )
            )
    for exact in (False, True):
        assert np.abs(found["store", exact] - found["recompute", exact]).max() < 1e-5
        assert used["recompute", exact] < used["store", exact]


def reference_rows(features: str, exact: bool) -> int:
    """Of the U-Net for one reference, at T = 5 and one pass: two in every evaluation."""
    climbed, sampled = (4 if exact else 6), 5
    return 2 * (climbed + (sampled if features == "recompute" else int(exact)))


# -- the part ------------------------------------------------------------------------------------


def test_reference_work_is_done_once_for_each_reference(models: Path) -> None:
    built, shot = part(models), Shot(4)
    still = ColourStill("still", picture(1, seed=5))
    first = evaluations(built.networks, lambda: coloured(built, shot, [0], still))
    # T = 2: three evaluations of the two rows of a reference, three of the input, two of both.
    assert first == [2, 2, 2, 1, 1, 1, 2, 2]
    later = evaluations(built.networks, lambda: coloured(built, shot, [1, 2, 3], still))
    assert later == [1, 1, 1, 2, 2] * 3
    frames = [grey(i, lab) for i, lab in enumerate(shot.lab[:3])]
    batch = evaluations(built.networks, lambda: built.coloured(frames, still))
    assert batch == [3, 3, 3, 6, 6]  # batched, with both halves of the guidance in one call
    other = ColourStill("another", picture(1, seed=6))
    changed = evaluations(built.networks, lambda: coloured(built, shot, [0], other))
    assert changed == first


def test_anchors_go_in_batches_of_the_size_asked_for(models: Path) -> None:
    built, shot = part(models, batch=2), Shot(3)
    still = ColourStill("still", picture(1, seed=5))
    calls = evaluations(built.networks, lambda: coloured(built, shot, [0, 1, 2], still))
    assert calls == [2, 2, 2, *(2, 2, 2, 4, 4), *(1, 1, 1, 2, 2)]


def test_a_batch_colours_as_one_by_one(models: Path) -> None:
    built, shot = part(models, guidance=1), Shot(3)
    still = ColourStill("still", picture(1, seed=5))
    frames = [grey(i, lab) for i, lab in enumerate(shot.lab)]
    ones = [built.coloured([frame], still)[0] for frame in frames]
    for one, many in zip(ones, built.coloured(frames, still), strict=True):
        # Where the last digit moves an 8-bit step, by that step.
        assert (np.abs(one.ab - many.ab) < 1e-4).mean() > 0.98
        assert np.abs(one.ab - many.ab).max() < 4


def test_same_input_same_bytes(models: Path) -> None:
    shot, still = Shot(2, 61, 47), ColourStill("still", picture(1, 80, 40, seed=5))
    once, again = (coloured(part(models, passes=2), shot, [0, 1], still) for _ in range(2))
    for frame in (0, 1):
        assert np.array_equal(once[frame].ab, again[frame].ab)
        assert np.array_equal(once[frame].confidence, again[frame].confidence)
        assert once[frame].ab.shape == (47, 61, 2)
        assert 0 <= once[frame].confidence.min() <= once[frame].confidence.max() <= 1


def test_anchors_take_the_still_most_like_them(models: Path) -> None:
    shot = Shot(3)
    shot.lab[2] = picture(0.05, seed=8)
    other = ColourStill("other", picture(0, 80, 80, seed=8))
    stills = [ColourStill("first", shot.lab[0], 0), other]
    found = coloured(part(models), shot, [0, 1, 2], *stills)
    assert [found[i].references for i in range(3)] == [("first",), ("first",), ("other",)]
    assert np.array_equal(found[0].ab, shot.lab[0][..., 1:]) and found[0].confidence.min() == 1
    assert (found[1].confidence == 0.5).all()  # one pass: nothing to compare it with


def test_frames_are_read_batch_by_batch(models: Path) -> None:
    shot = Shot(3)
    still = ColourStill("still", picture(1, seed=5))
    results = part(models).colorize([0, 1, 2], [still], shot, seed=1)
    shot.read_frames.clear()
    next(results)
    before = set(shot.read_frames[3:])
    assert before == {0}  # after the choice, in which each frame is seen once


def test_no_references_no_colours(models: Path) -> None:
    found = coloured(part(models), Shot(1), [0])[0]
    assert not found.ab.any() and not found.confidence.any()


def test_a_grey_reference_gives_a_grey_picture(models: Path) -> None:
    lab = picture(1, seed=5) * np.array([1, 0, 0], np.float32)
    found = coloured(part(models), Shot(1), [0], ColourStill("grey", lab))[0]
    assert np.abs(found.ab).max() < 3  # 8-bit rounding of a and b


def test_half_precision_runs(models: Path) -> None:
    built = part(models, precision="bf16")
    found = coloured(built, Shot(1), [0], ColourStill("still", picture(1, seed=5)))[0]
    assert np.isfinite(found.ab).all()
    (reference,) = built._references.values()
    assert {f.keys.dtype for f in reference.features.at(1)} == {torch.bfloat16}


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    missing = part(tmp_path / "nowhere")
    with pytest.raises(WeightsMissing, match="dual_attention"):
        _ = missing.networks


def test_more_steps_than_levels_are_refused() -> None:
    assert DualAttentionSettings(start_step=48).start_step == 48
    assert DualAttentionSettings(start_step=50, exact_start=True).exact_start
    with pytest.raises(ValidationError, match="at most 48"):
        DualAttentionSettings(start_step=49)


# -- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", ["store", "recompute"])
@pytest.mark.parametrize(("width", "height", "count"), [(64, 64, 1), (64, 64, 4), (128, 128, 2)])
def test_the_memory_formula_holds(
    models: Path, features: str, width: int, height: int, count: int
) -> None:
    changed = {"features": features, "start_step": 3}
    built = part(models, **changed, pixel_budget=width * height)
    assert built.networks
    frames = [grey(i, lab) for i, lab in enumerate(Shot(count, width, height).lab)]
    still = ColourStill("still", picture(1, width, height, seed=5), 0)
    measured = peak_bytes(lambda: built.coloured(frames, still))
    of = Footprint.of(settings(models, **changed))
    pixels = width * height
    formula = pixels * (of.reference_features + of.alone + count * of.anchor)
    assert measured <= formula <= 1.6 * measured
    # What the part declares allows for padding, and for two references.
    memory = built.facts.memory
    assert memory.need(pixels, count) > formula


def test_the_memory_of_wider_networks() -> None:
    """Where the U-Net's rows outweigh all else, as in the published one."""
    widths = Widths(unet=(32, 64, 64, 64), vae=(16, 32, 32, 32))
    shallow, deep = Mix(0.5, 0.5), Mix(1, 0)
    of = Footprint(widths, shallow, deep, steps=1, number=4)
    z = torch.randn(3, 4, 16, 24)
    network = UNet2DConditionModel(
        block_out_channels=widths.unet,  # pyright: ignore[reportArgumentType]
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    unet = DualUNet(network.eval(), torch.randn(1, 77, 8), shallow, deep)
    vae = AutoencoderKL(
        block_out_channels=widths.vae,  # pyright: ignore[reportArgumentType]
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        norm_num_groups=8,
    ).eval()
    with torch.inference_mode():
        own = unet.recorded(z, 1, InputFeatures.of)[1]
        reference = unet.recorded(z[:2], 1, ReferenceFeatures.of)[1]
        guided = peak_bytes(lambda: unet.both(z, 1, own, reference))
        codings: list[Callable[[], Any]] = [
            lambda: vae.decode(z[:1]),  # pyright: ignore[reportArgumentType]
            lambda: vae.encode(torch.zeros(1, 3, 128, 192)),
        ]
        coded = [peak_bytes(coding) for coding in codings]
    pixels = 128 * 192
    assert guided <= 6 * of.unet * pixels <= 1.1 * guided
    assert max(coded) <= of.vae * pixels <= 1.1 * max(coded)


def test_declared_memory_covers_padding() -> None:
    of = Footprint.of(DualAttentionSettings())
    memory = of.memory(0, 262_144)
    for aspect in (0.75, 1.0, 4 / 3, 16 / 9, 2.39):
        width, height = (262_144 * aspect) ** 0.5, (262_144 / aspect) ** 0.5
        padded = -(-width // 64) * 64 * (-(-height // 64) * 64)
        for count in (1, 8):
            need = padded * (2 * of.reference_features + count * of.anchor)
            assert memory.need(int(width * height), count) >= need


def test_published_networks_are_known_without_their_weights() -> None:
    found = DualAttention(DualAttentionSettings(), CPU).facts
    assert found.weights == weights.identity(
        DualAttentionSettings().weights, DualAttentionSettings().revision
    )
    assert found.network_calls == 3 * (6 + 10)
    one, eight = (found.memory.need(262_144, count) / 2**30 for count in (1, 8))
    assert 2 < one < 4 < eight < 8  # GiB, in fp16
    of = Footprint(Widths(), Mix(0.5, 0.5), Mix(1, 0), steps=5, number=2)
    assert of.input_features * 512 * 512 == 5 * 2 * 3 * (4096 * 320 * 2 + 1024 * 640)
    assert of.reference_features * 512 * 512 == 5 * 2 * 3 * (4096 * 320 * 3 + 1024 * 640 * 2)
