"""The soak (`python -m tests.benchmarks.soak`) at toy length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]


def test_a_film_survives_and_nothing_leaks(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    asked = ["--films", "1", "--minutes", "0", "--kills", "1", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.soak", *asked],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    said = json.loads(report.read_text())
    assert said["ok"] and said["published"] == 1 and said["segments computed"] > 0
    assert said["runs"] >= 1 and said["repeated"] == 0 and said["leaked"] == []
