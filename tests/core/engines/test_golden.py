"""Dual attention against numbers of the official code: every array of the golden data.

`KINECOLOR_GOLDEN` names another folder of the same form: nothing here but the tolerances is of
one set. They are the README's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from colorize_core.engines.diffusion.dual_attention.attention import (
    DualUNet,
    Halves,
    InputFeatures,
    Mix,
    ReferenceFeatures,
    joined,
    processors,
)
from colorize_core.engines.diffusion.dual_attention.colour_statistics import (
    ColourStatistics,
    matched,
    truncated,
    with_statistics,
)
from colorize_core.engines.diffusion.dual_attention.loop import (
    ALPHA_BAR,
    DualLoop,
    Ladder,
    adain,
    moved,
)

ROOT = Path(os.environ.get("KINECOLOR_GOLDEN") or Path(__file__).parents[4] / "shared" / "golden")
ATTENTION, LOOP = "attention/attention.safetensors", "unet_loop/unet_loop.safetensors"
POST, E2E = "post/post.safetensors", "e2e/e2e.safetensors"

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no golden data at {ROOT} (KINECOLOR_GOLDEN names another folder)"
)


@cache
def meta(file: str) -> dict[str, Any]:
    if not ROOT.is_dir():
        return {"cases": {}, "scenarios": {}, "variants": {}, "arrays": {}}
    return json.loads((ROOT / "meta.json").read_text("utf-8"))["files"][file]


@cache
def arrays(file: str) -> dict[str, Tensor]:
    return load_file(ROOT / file)


def case(file: str, name: str) -> dict[str, Tensor]:
    """The arrays of one case, by their own names."""
    prefix = f"{name}/"
    return {k.removeprefix(prefix): v for k, v in arrays(file).items() if k.startswith(prefix)}


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    worst = (found.double() - expected.double()).abs().max().item()
    assert worst <= tolerance, f"{worst:.2e} > {tolerance:.0e}"


def names(file: str, ending: str, part: str = "") -> list[str]:
    """Names of a file's arrays."""
    return [n for n in meta(file)["arrays"] if part in n and n.endswith(ending)]


def form_of(parameters: Mapping[str, Any]) -> Any:
    return "probabilities" if parameters["pre_softmax"] else "logits"


# -- attention/: one layer -----------------------------------------------------------------------


def layer(arrays: Mapping[str, Tensor], parameters: Mapping[str, Any]) -> Attention:
    """diffusers' own attention layer with the case's weights."""
    width, heads, dim = (parameters[key] for key in ("width", "heads", "dim_head"))
    built = Attention(query_dim=width, heads=heads, dim_head=dim)
    weights = {name: arrays[name] for name in ("to_q.weight", "to_k.weight", "to_v.weight")}
    out = {f"to_out.0.{name}": arrays[f"to_out.{name}"] for name in ("weight", "bias")}
    built.load_state_dict(weights | out)
    return built.eval()


@pytest.mark.parametrize("name", meta(ATTENTION)["cases"])
@torch.inference_mode()
def test_a_layer(name: str) -> None:
    parameters, given = meta(ATTENTION)["cases"][name], case(ATTENTION, name)
    mix = Mix(parameters["gamma"], parameters["beta"], form_of(parameters))
    q_in, k_in, k_grey, k_ref, v_ref = (
        given[key][None] for key in ("q_in", "k_in", "k_refL", "k_ref", "v_ref")
    )
    own = InputFeatures.of(q_in, k_in, k_in, mix)
    rows = [torch.cat(pair) for pair in ((k_ref, k_grey), (v_ref, v_ref))]
    reference = ReferenceFeatures.of(rows[0], rows[0], rows[1], mix)
    built, x = layer(given, parameters), given["x"]
    with processors([built], [Halves(own, reference, mix)]):
        plain, dual = built(torch.cat([x, x])).chunk(2)
    assert_close(dual, given["out"], 1e-5)
    assert_close(plain, given["out_plain"], 1e-5)
    assert_close(built(x), given["out_plain"], 1e-5)  # the layer's own processor is back


@pytest.mark.parametrize("name", [n.split("/")[0] for n in names(ATTENTION, "/attn_dual")])
def test_joined_queries_and_keys_give_the_stored_map(name: str) -> None:
    parameters, given = meta(ATTENTION)["cases"][name], case(ATTENTION, name)
    assert not parameters["pre_softmax"]
    mix = Mix(parameters["gamma"], parameters["beta"])
    heads, scale = parameters["heads"], parameters["scale"]
    q_live = (given["x"] @ given["to_q.weight"].T).unflatten(-1, (heads, -1)).transpose(1, 2)[0]
    q = joined(mix.gamma * given["q_in"], (1 - mix.gamma) * q_live, mix)
    keys = joined(given["k_refL"], given["k_ref"], mix)
    assert_close((scale * q @ keys.mT).softmax(-1), given["attn_dual"], 1e-5)


# -- unet_loop/: inversion, features, AdaIN, guided steps ----------------------------------------


@cache
def unet(double: bool = False) -> UNet2DConditionModel:
    found = UNet2DConditionModel.from_pretrained(ROOT / "unet_loop" / "unet").eval()
    return found.double() if double else found


def loop_of(parameters: Mapping[str, Any], double: bool = False) -> DualLoop:
    config, form = parameters["config"], form_of(parameters["config"])
    shallow = Mix(config["gamma1"], config["beta1"], form)
    deep = Mix(config["gamma2"], config["beta2"], form)
    prompt = arrays(LOOP)["context"]
    network = DualUNet(unet(double), prompt.double() if double else prompt, shallow, deep)
    steps = meta(LOOP)["schedule"]["Tmax"]
    return DualLoop(network, Ladder(steps, parameters["T"]), float(parameters["w"]), store=True)


def scenario_of(variant: str) -> str:
    """The scenario whose clean latents a variant starts from."""
    names = [name for name in meta(LOOP)["scenarios"] if variant.startswith(name)]
    return max(names, key=len)


def runs() -> list[tuple[str, bool]]:
    """Every scenario and variant, and the scenarios in float64."""
    loop = meta(LOOP)
    single = [*loop["scenarios"], *loop["variants"]]
    return [(name, False) for name in single] + [(name, True) for name in loop["scenarios"]]


@torch.inference_mode()
def levels(loop: DualLoop, z: Tensor) -> Tensor:
    """What inversion passes through: a row for each level it reaches."""
    seen: list[Tensor] = []

    def watched(z: Tensor, t: int) -> Tensor:
        seen.append(z)
        return loop.unet.plain(z, t)

    return torch.cat([*(top := loop._climb(z, watched), seen)[1][1:], top])


class Watched:
    """The stages of one run, by the names of their arrays."""

    def __init__(self, name: str, parameters: Mapping[str, Any], double: bool) -> None:
        self.loop = loop_of(parameters, double)
        clean = case(LOOP, scenario_of(name))
        cast: Callable[[Tensor], Tensor] = (lambda z: z.double()) if double else (lambda z: z)
        z_input, z_ref, z_grey = (cast(clean[f"z0_{who}"]) for who in ("input", "ref", "refL"))
        refined = case(LOOP, name).get("z0") if name in meta(LOOP)["variants"] else None
        self.clean = {"input": z_input, "ref": z_ref, "refL": z_grey}
        top, self.own = self.loop.studied(z_input, InputFeatures.of)
        like, self.reference = self.loop.studied(torch.cat([z_ref, z_grey]), ReferenceFeatures.of)
        self.start = top
        if refined is not None:
            self.clean = {"": cast(refined)}
            self.start = self.loop.inverted(cast(refined))
        self.adain = parameters["adain"]
        if self.adain:
            self.start = adain(top, like[:1])

    def steps(self) -> dict[str, Tensor]:
        z, found = self.start, {"eps_plain": [], "eps_dual": [], "z_steps": []}
        for t in self.loop.ladder.sampled:
            own, reference = self.own.at(t), self.reference.at(t)
            plain, dual = self.loop.unet.both(z, t, own, reference)
            z = self.loop.stepped(z, t, own, reference)
            for name, row in (("eps_plain", plain), ("eps_dual", dual), ("z_steps", z)):
                found[name].append(row)
        return {name: torch.cat(rows) for name, rows in found.items()}


@pytest.mark.parametrize(("name", "double"), runs())
@torch.inference_mode()
def test_a_loop(name: str, double: bool) -> None:
    parameters = (meta(LOOP)["scenarios"] | meta(LOOP)["variants"])[name]
    expected = case(LOOP, f"{name}_f64" if double else name)
    run = Watched(name, parameters, double)
    checked = set()
    for who, clean in run.clean.items():
        key = f"inv_{who}" if who else "inv"
        if key in expected:
            assert_close(levels(run.loop, clean), expected[key], 1e-6 if double else 2e-5)
            checked.add(key)
    found = run.steps()
    assert_close(run.loop.sampled(run.start, run.own, run.reference), found["z_steps"][-1:], 1e-6)
    w = float(parameters["w"])
    found["eps"] = found["eps_plain"] + w * (found["eps_dual"] - found["eps_plain"])
    if run.adain:
        found["z_adain"] = run.start
    tolerances = {"eps_plain": 5e-5, "eps_dual": 5e-5, "eps": 3e-4, "z_steps": 5e-5}
    tolerances["z_adain"] = 1e-6 if double else 2e-5
    for key in found.keys() & expected.keys():
        assert_close(found[key], expected[key], tolerances[key])
        checked.add(key)
    clean = {"z0", "z0_input", "z0_ref", "z0_refL"}
    watched = {key for key in expected if key.startswith(("feat_", "dual_"))}
    assert checked == expected.keys() - clean - watched  # no array is left out


def position(name: str) -> tuple[int, int]:
    """Timestep, and place among the listed layers, in a name like ``…_t81_ob7_…``: the official
    output blocks 6, 7, 8 are the deep ones, 9, 10, 11 the shallow ones."""
    parts = name.split("/")[1].split("_")
    t, block = (next(p for p in parts if p.startswith(k)) for k in ("t", "ob"))
    return int(t[1:]), int(block[2:]) - 6


@pytest.mark.parametrize("name", names(LOOP, "_q", "/feat_"))
@torch.inference_mode()
def test_features(name: str) -> None:
    scenario, label = name.split("/")
    who, (t, place) = label.split("_")[1], position(name)
    loop = loop_of(meta(LOOP)["scenarios"][scenario])
    kept = loop.studied(case(LOOP, scenario)[f"z0_{who}"], lambda q, k, v, mix: (q, k, v))[1]
    for found, letter in zip(kept.at(t)[place], "qkv", strict=True):
        assert_close(found[0], arrays(LOOP)[f"{name[:-1]}{letter}"], 1e-4)


@pytest.mark.parametrize("name", names(LOOP, "_x", "/dual_"))
@torch.inference_mode()
def test_a_layer_inside_the_loop(name: str) -> None:
    scenario, (t, place) = name.split("/")[0], position(name)
    run = Watched(scenario, meta(LOOP)["scenarios"][scenario], double=False)
    z, seen = run.start, {}
    attention = run.loop.unet.layers[place]
    hook = attention.register_forward_hook(
        lambda module, given, out: seen.update(x=given[0].chunk(2)[1], out=out.chunk(2)[1])
    )
    try:
        for step in run.loop.ladder.sampled:
            z = run.loop.stepped(z, step, run.own.at(step), run.reference.at(step))
            if step == t:
                break
    finally:
        hook.remove()
    for key, found in seen.items():
        assert_close(found, arrays(LOOP)[f"{name[:-1]}{key}"], 1e-4)


@pytest.mark.parametrize("name", [n.split("/")[0] for n in names(LOOP, "/z", "plain_")])
@torch.inference_mode()
def test_plain_evaluations(name: str) -> None:
    network = loop_of(next(iter(meta(LOOP)["scenarios"].values()))).unet
    meaning = meta(LOOP)["arrays"][f"{name}/z"]["meaning"]
    given = case(LOOP, name)
    for row, t in enumerate(json.loads(meaning[meaning.index("[") :])):
        found = network.plain(given["z"][row : row + 1], t)
        assert_close(found, given["eps"][row : row + 1], 2e-5)


def test_the_schedule() -> None:
    schedule = meta(LOOP)["schedule"]
    assert np.abs(ALPHA_BAR - arrays(LOOP)["schedule/alpha_bar"].numpy()).max() < 1e-7
    for level, value in schedule["alpha_bar_float64"].items():
        assert abs(ALPHA_BAR[int(level)] - value) < 1e-12
    for parameters in (meta(LOOP)["scenarios"] | meta(LOOP)["variants"]).values():
        ladder = Ladder(schedule["Tmax"], parameters["T"])
        if "inversion_timesteps" in parameters:
            assert list(ladder.climbed) == parameters["inversion_timesteps"]
            assert list(ladder.sampled) == parameters["sampling_timesteps"]
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    ladder = Ladder(schedule["Tmax"], 5)
    for i, t in enumerate(ladder.sampled):
        to = max(0, t - ladder.gap)
        # The official coefficients are rounded to float32 on the way.
        assert abs(moved(one, zero, t, to).item() - schedule["c1_T5"][i]) < 1e-5
        assert abs(moved(zero, one, t, to).item() - schedule["c2_T5"][i]) < 1e-5


# -- post/: colour statistics --------------------------------------------------------------------


@pytest.mark.parametrize("name", meta(POST)["cases"])
def test_colour_statistics(name: str) -> None:
    given = {key: value.numpy() for key, value in case(POST, name).items()}
    output = truncated(given["x_output"])
    assert np.array_equal(output, given["out_u8"])
    wanted = ColourStatistics.of_reference(given["ref_u8"])
    assert wanted == ColourStatistics.of(given["lab_ref"])
    found = with_statistics(output, given["input_u8"], wanted)
    if "rgb_if_clipped" in given:
        assert np.array_equal(found, given["rgb_if_clipped"])
        assert np.abs(matched(given["lab_out"], wanted) - given["ab_float"]).max() <= 1e-4
    else:  # a grey output has no spread that could be scaled: it stays grey
        assert np.ptp(found.astype(int), axis=2).max() <= 1


# -- e2e/: the official main program -------------------------------------------------------------


class Program:
    """The three passes with the set's own U-Net and VAE, on pictures read as the official code
    reads them."""

    def __init__(self) -> None:
        self.arrays, about = arrays(E2E), meta(E2E)
        scenario = next(iter(meta(LOOP)["scenarios"].values()))
        self.loop = loop_of(scenario | about.get("parameters", {}))
        self.vae = AutoencoderKL.from_pretrained(ROOT / "e2e" / "vae").eval()
        self.scale = about["scale_factor"]
        height, width = self.arrays["pass1/rgb"].shape[:2]
        images = [Image.fromarray(self.arrays[f"{n}_rgb"].numpy()) for n in ("input", "ref")]
        pictures = [images[0], images[1], images[1].convert("L").convert("RGB")]
        self.input, self.ref, self.grey = (
            np.asarray(p.resize((width, height), Image.Resampling.LANCZOS)) for p in pictures
        )
        self.statistics = ColourStatistics.of_reference(as_official(self.ref))

    def encode(self, rgb: np.ndarray) -> Tensor:
        unit = torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]
        posterior = self.vae.encode(unit * 2 - 1, return_dict=False)[0]
        return posterior.mode() * self.scale

    def corrected(self, z: Tensor) -> np.ndarray:
        decoded = self.vae.decode(z / self.scale, return_dict=False)[0][0]
        unit = ((decoded.clamp(-1, 1) + 1) / 2).permute(1, 2, 0).numpy()
        return with_statistics(truncated(unit), as_official(self.input), self.statistics)


def as_official(rgb: np.ndarray) -> np.ndarray:
    """The official code's way through floats: values 1 to 63 come out one lower."""
    unit = torch.from_numpy(rgb.astype(np.float32)) / 255.0
    return ((unit * 2.0 - 1.0 + 1.0) / 2.0 * 255).numpy().astype(np.uint8)


def differences(found: np.ndarray, expected: Tensor) -> np.ndarray:
    return np.abs(found.astype(int) - expected.numpy().astype(int))


@torch.inference_mode()
def test_the_program() -> None:
    program = Program()
    known, loop = program.arrays, program.loop
    z0 = {"input": program.input, "ref": program.ref, "refL": program.grey}
    clean = {who: program.encode(picture) for who, picture in z0.items()}
    for who, z in clean.items():
        assert_close(z, known[f"z0_{who}"], 2e-4)
    top, own = loop.studied(clean["input"], InputFeatures.of)
    tops, reference = loop.studied(torch.cat([clean["ref"], clean["refL"]]), ReferenceFeatures.of)
    for found, who in ((top, "input"), (tops[:1], "ref"), (tops[1:], "refL")):
        assert_close(found, known[f"z_inv_{who}"], 2e-4)
    start = adain(top, tops[:1])
    assert_close(start, known["z_adain"], 5e-4)
    free = None
    for name in sorted({n.split("/")[0] for n in known if n.startswith("pass")}):
        if free is None:
            z = free_z = loop.sampled(start, own, reference)
            decoded = program.vae.decode(z / program.scale, return_dict=False)[0]
            assert_close(decoded, known[f"{name}/x"], 5e-3)
        else:  # teacher-forced, and free-running beside it
            climbed = loop.inverted(known[f"{name}/z0"])
            assert_close(climbed, known[f"{name}/z_inv"], 2e-5)
            z = loop.sampled(climbed, own, reference)
            free_z = loop.sampled(loop.inverted(program.encode(free)), own, reference)
        assert_close(z, known[f"{name}/z"], 5e-4)
        away = differences(program.corrected(z), known[f"{name}/rgb"])
        assert away.max() <= 4 and (away > 0).mean() < 0.005
        free = program.corrected(free_z)
        bound = {"pass1": 0.01, "pass2": 0.3}.get(name, 1.5)
        assert differences(free, known[f"{name}/rgb"]).mean() <= bound
