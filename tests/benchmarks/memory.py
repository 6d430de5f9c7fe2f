"""Peak resident memory of driver and workers, for a short and a long film of the same kind.

    python -m tests.benchmarks.memory [--frames 1000 4000] [--shot 250] [--size 192x108]

Makes both films, colorizes each through the real command line (Prefect, Ray), and prints the peak
of the driver and of the largest worker, as the kernel kept them (VmHWM), and their ratio. The bar
is 1.10. ``--shot 0`` makes each film one single shot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from tests.media_factory import Film, colour_picture, write_film

POLL_S = 0.2


def _make(folder: Path, frames: int, shot: int, width: int, height: int) -> tuple[Path, list[str]]:
    scenes = (shot,) * (frames // shot) if shot else (frames,)
    film = Film(
        width=width, height=height, frames=sum(scenes), scenes=scenes, colour=False, codec="libx264"
    )
    write_film(folder / "film.mkv", film)
    options = []
    for scene, (start, length) in enumerate(zip(film.starts, scenes, strict=True)):
        picture = colour_picture(film.seed * 1000 + scene, length // 2, width, height)
        name = f"{folder}/still{scene}.png"
        Image.fromarray(np.ascontiguousarray(picture)).save(name)
        options += ["--reference", f"{name}@f{start + length // 2}"]
    starts = [*film.starts, film.frames]
    rows = [f"{i + 1},{a},{b}" for i, (a, b) in enumerate(pairwise(starts))]
    (folder / "shots.csv").write_text("\n".join(["shot,start,end", *rows]) + "\n")
    return folder / "film.mkv", options


def _high_water_bytes(process: psutil.Process) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "ray::Worker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def measure(frames: int, shot: int, width: int, height: int) -> tuple[int, int, float]:
    """Peak bytes of the driver and of the largest worker, and seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film, options = _make(folder, frames, shot, width, height)
        command = [sys.executable, "-m", "flows.cli", "colorize", str(film), *options, "--json"]
        command += ["--shots", f"{folder}/shots.csv", "--work", f"{folder}/work"]
        command += ["-o", f"{folder}/out.mkv"]
        began = time.monotonic()
        with (folder / "out.json").open("w") as out, (folder / "err.txt").open("w") as err:
            run = subprocess.Popen(command, stdout=out, stderr=err)
            driver, peak_driver, peak_worker = psutil.Process(run.pid), 0, 0
            while run.poll() is None:
                peak_driver = max(peak_driver, _high_water_bytes(driver))
                for child in driver.children(recursive=True):
                    if _is_worker(child):
                        peak_worker = max(peak_worker, _high_water_bytes(child))
                time.sleep(POLL_S)
        if run.returncode != 0:
            raise SystemExit((folder / "err.txt").read_text())
        summary = json.loads((folder / "out.json").read_text())
        assert summary["frames_out"] == sum((frames // shot) * [shot]) if shot else frames
        return peak_driver, peak_worker, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of driver and workers.")
    parser.add_argument("--frames", type=int, nargs=2, default=[1000, 4000])
    parser.add_argument("--shot", type=int, default=250, help="frames of a shot; 0: one shot")
    parser.add_argument("--size", default="192x108")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    found = [measure(frames, arguments.shot, width, height) for frames in arguments.frames]
    for frames, (driver, worker, seconds) in zip(arguments.frames, found, strict=True):
        print(
            f"{frames:6d} frames: driver {driver / 2**20:7.1f} MiB, "
            f"worker {worker / 2**20:7.1f} MiB, {seconds:.0f} s"
        )
    for name, i in (("driver", 0), ("worker", 1)):
        print(f"{name}: {found[1][i] / found[0][i]:.3f} of the short film's peak (bar: 1.10)")


if __name__ == "__main__":
    main()
