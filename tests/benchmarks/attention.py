"""Dual attention beside the plain way to compute it: memory, time, evaluations of the U-Net.

    python -m tests.benchmarks.attention [--tokens 4096] [--runs 5] [--anchors 4] [--side 256]

1. One layer of Stable Diffusion 1.4 (8 heads of 40, γ = 0.5, with β = 0.5 and without), fused and
   with its N×N maps built as the formula reads. Bars: memory below 0.1, time below 0.35 of it.
2. Memory of a part with stored and with recomputed features, at Stable Diffusion 1.4's widths.
3. The whole loop on a smaller U-Net: the part's way (reference work once, anchors in a batch, both
   halves of the guidance in one call) and one by one with built maps, as in the official code.

On a CPU, float32, in one run. Memory is the process's real peak, as the kernel kept it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from colorize_core.engines.diffusion.dual_attention.attention import (
    DualUNet,
    InputFeatures,
    Mix,
    Processor,
    ReferenceFeatures,
    dual_attention,
    processors,
)
from colorize_core.engines.diffusion.dual_attention.loop import (
    DualLoop,
    Features,
    Ladder,
    adain,
    moved,
)
from colorize_core.engines.diffusion.dual_attention.memory import KEPT_REFERENCES, Footprint
from colorize_core.engines.diffusion.dual_attention.networks import mixes
from colorize_core.engines.diffusion.settings import DualAttentionSettings
from tests.peak_tensors import peak_bytes

HEADS, WIDTH = 8, 40
MEMORY_BAR, TIME_BAR = 0.1, 0.35
MIB = 2**20


# -- one layer -----------------------------------------------------------------------------------


def built(
    q_live: Tensor,
    v_live: Tensor,
    own: InputFeatures,
    reference: ReferenceFeatures,
    mix: Mix,
    scale: float,
) -> Tensor:
    """The formula as it reads, with its maps. Both kinds of keys, or the grey one alone."""
    keys = reference.keys.split(q_live.shape[-1], dim=-1)
    likeness = mix.gamma * scale * (own.q @ keys[0].mT)
    if len(keys) == 2:
        likeness = likeness + (1 - mix.gamma) * scale * (q_live @ keys[1].mT)
    found = likeness.softmax(-1) @ reference.values
    if not mix.beta:
        return found
    itself = (scale * (own.q @ own.k.mT)).softmax(-1) @ v_live
    return (1 - mix.beta) * found + mix.beta * itself


def _status_bytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


def resident_growth(run: Callable[[], Any]) -> int:
    """How far the process's resident memory rose above what it was, at its highest."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status_bytes("VmRSS")
    run()
    return max(0, _status_bytes("VmHWM") - before)


def seconds(ways: Sequence[Callable[[], Any]], runs: int) -> list[float]:
    """The quickest of `runs` of each, taken in turn: other programs disturb all alike."""
    taken = [[] for _ in ways]
    for _ in range(runs):
        for way, so_far in zip(ways, taken, strict=True):
            began = time.perf_counter()
            way()
            so_far.append(time.perf_counter() - began)
    return [min(each) for each in taken]


def layer(tokens: int, beta: float, runs: int) -> None:
    torch.manual_seed(0)
    mix = Mix(0.5, beta)
    q, k, v, q_live, v_live = torch.randn(5, 1, HEADS, tokens, WIDTH)
    rows = torch.randn(2, HEADS, tokens, WIDTH)
    own, reference = InputFeatures.of(q, k, v, mix), ReferenceFeatures.of(rows, rows, rows, mix)
    ways = [
        partial(attention, q_live, v_live, own, reference, mix, WIDTH**-0.5)
        for attention in (built, dual_attention)
    ]
    results = [way() for way in ways]
    memory = [(peak_bytes(way), resident_growth(way)) for way in ways]
    figures = [(taken, *used) for taken, used in zip(seconds(ways, runs), memory, strict=True)]
    away = (results[0] - results[1]).abs().max().item()
    print(f"\nOne layer, {tokens} tokens, {HEADS} heads of {WIDTH}, γ = 0.5, β = {beta}")
    for name, (taken, counted, resident) in zip(("built map", "fused"), figures, strict=True):
        print(
            f"  {name:10s} {taken:7.3f} s  tensors {counted / MIB:7.0f} MiB  "
            f"resident {resident / MIB:7.0f} MiB"
        )
    (slow, most, high), (quick, least, low) = figures
    print(
        f"  {'ratio':10s} {quick / slow:7.3f} (bar {TIME_BAR})  {least / most:.3f}  "
        f"{low / high:.3f} (bar {MEMORY_BAR})  largest difference {away:.0e}"
    )


# -- features stored or recomputed ---------------------------------------------------------------


def features_table(side: int = 512) -> None:
    print(f"\nMemory at Stable Diffusion 1.4's widths, fp16, {side} × {side}, by formula, in MiB")
    print("  features    of an anchor  of a reference  1 anchor  4 anchors  8 anchors, no weights")
    for features in ("store", "recompute"):
        of = Footprint.of(DualAttentionSettings(features=features))
        scale = side * side / MIB
        once = KEPT_REFERENCES * of.reference_features + of.alone
        totals = "  ".join(f"{(once + n * of.anchor) * scale:8.0f}" for n in (1, 4, 8))
        print(
            f"  {features:10s} {of.input_features * scale:13.1f} "
            f"{of.reference_features * scale:15.1f}  {totals}"
        )


# -- the loop ------------------------------------------------------------------------------------


class OnlyDual(Processor):
    """Dual attention for all rows, with built maps."""

    def __init__(self, own: InputFeatures, reference: ReferenceFeatures, mix: Mix) -> None:
        self._given = own, reference, mix

    def attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        return built(q, v, *self._given, scale)


def one_by_one(loop: DualLoop, z: Tensor, pair: Tensor, passes: int, w: float) -> Tensor:
    """One anchor as the official code does it: 60 evaluations of one row at T = 5, three passes."""
    top, own = loop.studied(z, InputFeatures.of)
    rows = [loop.studied(row, lambda q, k, v, mix: (q, k, v)) for row in pair.split(1)]
    z = adain(top, rows[0][0])
    for left in reversed(range(passes)):
        for t in loop.ladder.sampled:
            reference = joined_features(loop, rows[0][1], rows[1][1], t)
            halves = zip(own.at(t), reference, loop.unet.mixes, strict=True)
            with processors(loop.unet.layers, [OnlyDual(*half) for half in halves]):
                dual = loop.unet.plain(z, t)
            plain = loop.unet.plain(z, t)
            z = moved(z, plain + w * (dual - plain), t, max(0, t - loop.ladder.gap))
        if left:
            z = loop.inverted(z)
    return z


def joined_features(
    loop: DualLoop, colour: Features[Any], grey: Features[Any], t: int
) -> list[ReferenceFeatures]:
    pairs = zip(colour.at(t), grey.at(t), loop.unet.mixes, strict=True)
    return [
        ReferenceFeatures.of(*map(torch.cat, zip(ours, theirs, strict=True)), mix=mix)
        for ours, theirs, mix in pairs
    ]


def batched(loop: DualLoop, z: Tensor, pair: Tensor, passes: int) -> Tensor:
    """All anchors at once, as the part does it."""
    tops, reference = loop.studied(pair, ReferenceFeatures.of)
    top, own = loop.studied(z, InputFeatures.of)
    z = adain(top, tops[:1])
    for left in reversed(range(passes)):
        z = loop.sampled(z, own, reference)
        if left:
            z = loop.inverted(z)
    return z


def eighth_loop(settings: DualAttentionSettings) -> DualLoop:
    """With a U-Net of an eighth of Stable Diffusion 1.4's widths, and heads as wide as its own."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(40, 80, 160, 160),
        layers_per_block=2,
        cross_attention_dim=96,
        attention_head_dim=1,  # the number of heads, by its old name
        norm_num_groups=8,
    ).eval()
    dual = DualUNet(unet, torch.randn(1, 77, 96), *mixes(settings))
    ladder = Ladder(settings.ddim_steps, settings.start_step)
    return DualLoop(dual, ladder, settings.guidance, store=True)


def loops(anchors: int, side: int) -> None:
    chosen = DualAttentionSettings()
    loop = eighth_loop(chosen)
    z = torch.randn(anchors, 4, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    pair = torch.randn(2, 4, side // 8, side // 8, generator=torch.Generator().manual_seed(1))
    rows: list[int] = []
    loop.unet.unet.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    ways: dict[str, Callable[[], Tensor]] = {
        "one by one": lambda: torch.cat(
            [one_by_one(loop, each, pair, chosen.passes, chosen.guidance) for each in z.split(1)]
        ),
        "batched": lambda: batched(loop, z, pair, chosen.passes),
    }
    print(f"\nThe loop on a U-Net of an eighth of the widths, N = {chosen.passes}")
    print(f"  {anchors} anchors of {side} × {side}, one reference")
    taken = {}
    for name, run in ways.items():
        rows.clear()
        began = time.process_time()
        run()
        taken[name] = time.process_time() - began
        print(
            f"  {name:10s} {taken[name]:7.2f} s of processor time, "
            f"{len(rows)} calls of the U-Net, {sum(rows)} rows"
        )
    print(f"  {'ratio':10s} {taken['batched'] / taken['one by one']:7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Dual attention, fused and built.")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--anchors", type=int, default=4)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with torch.inference_mode():
        for beta in (0.0, 0.5):
            layer(arguments.tokens, beta, arguments.runs)
        features_table()
        loops(arguments.anchors, arguments.side)


if __name__ == "__main__":
    main()
