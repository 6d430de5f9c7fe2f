"""The GPU benchmark (`python -m tests.benchmarks.gpu`) at tiny size, and what it compares with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from colorize_core.engines.contract import CPU, ColourStill
from colorize_core.engines.diffusion.dual_attention.attention import DualUNet
from colorize_core.engines.diffusion.dual_attention.loop import DualLoop
from colorize_core.engines.diffusion.dual_attention.networks import DualNetworks, mixes
from colorize_core.engines.diffusion.dual_attention.part import DualAttention
from colorize_core.engines.diffusion.published import PUBLISHED
from colorize_core.engines.diffusion.settings import DualAttentionSettings
from colorize_core.engines.diffusion.svd.bidirectional import Plan
from colorize_core.engines.diffusion.svd.networks import Networks
from colorize_core.engines.diffusion.svd.part import Passage, Segment
from tests.benchmarks import full_size, gpu
from tests.benchmarks.gpu_job import TINY, Job, grey_frames, picture, save_models
from tests.benchmarks.gpu_rows import Meter, Results
from tests.benchmarks.gpu_stages import (
    anchor_settings,
    anchor_ways,
    halves_apart,
    reference,
    segment_settings,
    segment_ways,
)
from tests.benchmarks.plain_paper import PlainAnchors, built_maps, one_clip_a_call


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    results = Results(Meter(cuda=False, repeats=1), "the CPU", TINY.segments)
    job = Job(TINY, CPU, tmp_path_factory.mktemp("models"), results)
    save_models(job, ["anchors", "segments", "reference"])
    return job


# -- the benchmark ---------------------------------------------------------------------------------


# What inductor imports; not compiled here, see `gpu.main`.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_tiny_fills_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert gpu.main(["--tiny", "--repeats", "1", "--json", str(file)]) == 0
    table, figures = capsys.readouterr().out, json.loads(file.read_text())

    ways = [way.name for way in (*anchor_ways(TINY.at_once), *segment_ways(TINY.few, TINY.steps))]
    assert [row["way"] for row in figures["speed"]] == [*ways, "as shipped, 2 steps"]
    for row in figures["speed"]:
        assert row["seconds"] > 0 and not row["note"]
        assert (row["ratio"] is not None) == bool(row["against"])
        assert f"| {row['stage']} | {row['way']} |" in table
    for row in figures["memory"]:
        assert len(row["peak_bytes"]) == len(TINY.segments)
        # More segments take no more memory, and no more than the part declares.
        assert row["peak_bytes"][-1] == pytest.approx(row["peak_bytes"][0], rel=0.02)
        assert row["peak_bytes"][-1] <= row["declared_bytes"]
    assert set(figures["frames_per_second"]) == {"as shipped", "plain"}


def test_without_a_gpu_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    shown = capsys.readouterr()
    assert not shown.out
    assert "--tiny" in shown.err and "NVIDIA" in shown.err


def test_what_does_not_fit_is_named(job: Job) -> None:
    results = Results(job.results.meter, "a small GPU", TINY.segments)
    small = replace(job.device, memory_bytes=24 * 2**30)
    reference(Job(replace(TINY, qwen_precision="bf16"), small, job.folder, results))
    (row,) = results.speed
    assert row.seconds is None
    assert row.note.startswith("not run: needs ") and row.note.endswith(" GiB, 24.0 GiB here")


# -- full size -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "component"), full_size.NETWORKS)
def test_configurations_have_the_published_size(part: str, component: str) -> None:
    network = full_size.made(part, component, "meta", torch.float16)
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert counted == PUBLISHED[part].parameters([component])


# -- the plain way gives what the parts give -------------------------------------------------------

# In float64, where the order of sums does not matter: what is left is the formulas.


def exact(networks: DualNetworks, settings: DualAttentionSettings) -> DualNetworks:
    loop = networks.loop
    prompt = torch.randn(1, 77, 16, dtype=torch.float64)  # any; the part's own is float32
    unet = DualUNet(loop.unet.unet.double(), prompt, *mixes(settings))
    return DualNetworks(
        networks.vae.double(), DualLoop(unet, loop.ladder, settings.guidance, store=True)
    )


def test_plain_anchors_are_the_parts(job: Job) -> None:
    settings = anchor_settings(job, passes=2)
    part = DualAttention(settings, CPU)
    part.networks = exact(part.networks, settings)
    still = ColourStill("still", picture(9, TINY.anchor))
    frames = grey_frames(2, TINY.anchor)
    found = [each.ab for each in part.coloured(frames, still)]
    plain = PlainAnchors(part.networks, settings)
    for frame, ab in zip(frames, found, strict=True):
        np.testing.assert_allclose(plain.coloured(frame.lstar, still.lab), ab, atol=1e-4)

    for within in (built_maps, halves_apart):
        with within():
            again = part.coloured(frames, still)
        np.testing.assert_allclose([each.ab for each in again], found, atol=1e-4)


@torch.inference_mode()
def test_plain_segments_are_the_parts(job: Job) -> None:
    def colours(batching: str) -> np.ndarray:
        """Of a segment that has features injected at two of its three steps."""
        settings = segment_settings(job, batching=batching, steps=3, tau_attn=0.4, tau_f=0.7)
        networks = exact_video(Networks.load(settings, CPU))
        lstar = [frame.lstar for frame in grey_frames(TINY.frames, TINY.segment)]
        start, end = (picture(time, TINY.segment)[..., 1:] for time in (0, TINY.frames - 1))
        plan = Plan.of(settings, TINY.frames, together=batching == "both")
        return Passage(settings, networks, plan, Segment(lstar, start, end), seed=3).colours()

    together = colours("both")
    with one_clip_a_call():
        plain = colours("one")
    np.testing.assert_allclose(plain, together, atol=1e-3)


def exact_video(networks: Networks) -> Networks:
    controlnet = networks.controlnet
    assert controlnet is not None
    for network in (networks.unet, networks.vae, networks.image_encoder, controlnet):
        torch.nn.Module.double(network)
    for zero in controlnet.down_zeros:  # one that has an effect
        torch.nn.init.constant_(zero.weight, 0.05)  # pyright: ignore[reportArgumentType]
    return networks
