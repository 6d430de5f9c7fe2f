"""The GPU parts in full size: seconds, memory, and what each optimisation gives.

    python -m tests.benchmarks.gpu [--stage anchors ...] [--repeats 3] [--json FILE]
    python -m tests.benchmarks.gpu --tiny            tiny networks on the CPU: does it work?
    python -m tests.benchmarks.gpu --cpu-full sd     Stable Diffusion's own size on the CPU, once

Networks of the published configurations with random weights (`full_size.py`), loaded and run by
the parts' own code, beside a plain way to do the same in the same run (`plain_paper.py`). Seconds
are from frames to colours, references' share and the work on the CPU included; medians of the
repeats after a warm-up. Optical flow is DIS, on the CPU: UniMatch's weights cannot be made up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from colorize_core.engines.contract import CPU, ColourStill, Device
from colorize_core.engines.diffusion.dual_attention.part import DualAttention
from colorize_core.engines.diffusion.settings import DualAttentionSettings
from tests.benchmarks.full_size import save_sd
from tests.benchmarks.gpu_job import FULL, TINY, Job, grey_frames, picture, save_models
from tests.benchmarks.gpu_rows import GIB, Meter, Results
from tests.benchmarks.gpu_stages import STAGES

_NO_GPU = """\
No GPU that torch can use was found: nothing was measured.
Run this on a machine with an NVIDIA GPU (24 GiB for anchors and segments, 80 GiB for the reference
too) and a CUDA build of torch. Without one: --tiny shows that the benchmark works, --cpu-full sd
measures Stable Diffusion 1.4 in its own size on the CPU."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 where there is nothing to measure on."""
    asked = _parser().parse_args(arguments)
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    if asked.cpu_full:
        return cpu_full(asked.json)
    if not asked.tiny and not torch.cuda.is_available():
        print(_NO_GPU, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        job = _job(asked.tiny, asked.repeats, Path(folder))
        save_models(job, asked.stage)
        # Tiny networks show that the benchmark works: compiling them takes a minute and shows none.
        stance = "force_eager" if asked.tiny else "default"
        with torch.compiler.set_stance(stance):
            for stage in asked.stage:
                STAGES[stage](job)
    print(job.results.markdown())
    print(f"\n{_film(job)}")
    if asked.json:
        asked.json.write_text(json.dumps(_as_json(job), indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu", description="The GPU parts in full size."
    )
    parser.add_argument("--stage", nargs="+", choices=tuple(STAGES), default=list(STAGES))
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each way")
    parser.add_argument("--tiny", action="store_true", help="tiny networks on the CPU")
    parser.add_argument("--cpu-full", choices=["sd"], help="one network in full size on the CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    return parser


def _job(tiny: bool, repeats: int, folder: Path) -> Job:
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    if tiny:
        machine = f"the CPU, tiny networks (these are no figures of performance), {versions}"
        return Job(TINY, CPU, folder, Results(Meter(False, repeats), machine, TINY.segments))
    free = torch.cuda.mem_get_info()[0]
    card = torch.cuda.get_device_properties(0)
    machine = (
        f"{card.name}, {card.total_memory / GIB:.0f} GiB, CUDA {torch.version.cuda}, {versions}"
    )
    results = Results(Meter(True, repeats), machine, FULL.segments)
    return Job(FULL, Device("cuda", free), folder, results)


# -- what a film takes -----------------------------------------------------------------------------


def film_rates(job: Job) -> dict[str, float]:
    """Frames per second of a long shot, by the parts and by the plain way: every `frames` - 1
    frames cost an anchor and a segment. Empty where one of them did not run."""
    scale, seconds = job.scale, job.results.seconds
    ways = {
        "as shipped": (f"as shipped, {scale.at_once} at once", f"as shipped, {scale.steps} steps"),
        "plain": ("plain", f"plain, {scale.steps} steps"),
    }
    found = {}
    for name, (anchor, segment) in ways.items():
        costs = seconds("anchors", anchor), seconds("segments", segment)
        if all(costs):
            found[name] = (scale.frames - 1) / sum(cost for cost in costs if cost)
    return found


def _film(job: Job) -> str:
    rates = [f"{rate:.3f} frames/s {way}" for way, rate in film_rates(job).items()]
    if not rates:
        return "Frames per second of a film: not known without both anchors and segments."
    return f"A long shot, reference not counted: {', '.join(rates)}."


def _as_json(job: Job) -> dict[str, Any]:
    results = job.results
    return {
        "machine": results.machine,
        "repeats": results.meter.repeats,
        "scale": asdict(job.scale),
        "speed": [asdict(row) for row in results.speed],
        "memory": [asdict(row) for row in results.memory],
        "frames_per_second": film_rates(job),
    }


# -- one real size without a GPU -------------------------------------------------------------------


def cpu_full(file: Path | None) -> int:
    """Stable Diffusion 1.4 in float32 on the CPU: one anchor of 512 × 512, one pass of one step."""
    size = FULL.anchor
    with tempfile.TemporaryDirectory() as folder:
        settings = DualAttentionSettings(
            weights=str(save_sd(Path(folder, "sd"), "cpu", torch.float32)),
            precision="fp32",
            passes=1,
            start_step=1,
        )
        part = DualAttention(settings, CPU)
        part.networks  # noqa: B018  loaded here, outside of the seconds
        calls = _timed_calls(part)
        began = time.perf_counter()
        part.coloured(grey_frames(1, size), ColourStill("still", picture(9, size)))
        whole = time.perf_counter() - began
    figures = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores, torch {torch.__version__}, float32",
        "anchor_seconds": whole,
        "unet_seconds": {rows: statistics.median(taken) for rows, taken in calls.items()},
        "unet_calls": {rows: len(taken) for rows, taken in calls.items()},
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(_cpu_table(figures))
    if file:
        file.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _timed_calls(part: DualAttention) -> dict[int, list[float]]:
    """Seconds of the U-Net's calls from now on, by their number of rows."""
    found: dict[int, list[float]] = {}
    began = 0.0

    def before(unet: torch.nn.Module, given: tuple[Any, ...]) -> None:
        nonlocal began
        began = time.perf_counter()

    def after(unet: torch.nn.Module, given: tuple[Any, ...], output: Any) -> None:
        found.setdefault(len(given[0]), []).append(time.perf_counter() - began)

    unet = part.networks.loop.unet.unet
    unet.register_forward_pre_hook(before)
    unet.register_forward_hook(after)
    return found


def _cpu_table(figures: dict[str, Any]) -> str:
    lines = [
        f"Stable Diffusion 1.4 in full size on the CPU ({figures['machine']}).",
        "",
        "| what | figure |",
        "|---|---|",
    ]
    for rows, seconds in sorted(figures["unet_seconds"].items()):
        calls = figures["unet_calls"][rows]
        lines.append(f"| U-Net, 512 × 512, {rows} rows, median of {calls} | {seconds:.1f} s |")
    lines += [
        f"| one anchor: one pass, one step, its reference | {figures['anchor_seconds']:.0f} s |",
        f"| peak resident memory | {figures['peak_resident_bytes'] / GIB:.2f} GiB |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
