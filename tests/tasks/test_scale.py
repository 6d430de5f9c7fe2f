"""The benchmark of orchestration, in small: that it works, not how fast that is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


def test_the_benchmark_of_orchestration_works() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:4] for line in done.stdout.splitlines()[2:]]
    found = {name.strip(): (int(segments), int(items)) for name, segments, items in rows}
    runner = found.pop("prefect-ray's RayTaskRunner", (20, 20))  # where it is installed
    assert runner == (20, 20)
    assert found == {
        "kinecolor": (20, 48),  # anchors on each side of a still, segments, chunks
        "one shot": (20, 42),
        "plain Ray tasks": (20, 20),
        "2 workers that sleep": (20, 48),
    }
