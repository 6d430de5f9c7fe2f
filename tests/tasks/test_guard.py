"""A guard ends what its run started, when the run is killed: also where guards stand in guards."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.conftest import ROOT

GONE_S = 60
INNER = """
import subprocess, time
from tasks.guard import guarded
with guarded():
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print("begun", flush=True)
    time.sleep(1000)
"""
OUTER = f"""
import subprocess, sys
from tasks.guard import guarded
with guarded():
    subprocess.run([sys.executable, "-c", {INNER!r}], start_new_session=True)
"""


def test_a_guard_in_what_another_one_guards() -> None:
    """As a worker's run starts a Ray of its own."""
    outer = subprocess.Popen(
        [sys.executable, "-c", OUTER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    family: list[psutil.Process] = []
    try:
        assert outer.stdout is not None and outer.stdout.readline() == "begun\n"
        family = psutil.Process(outer.pid).children(recursive=True)
        assert {"sleep"} < {each.name() for each in family}
        outer.kill()
        _, alive = psutil.wait_procs(family, timeout=GONE_S)
        assert alive == []
    finally:
        for each in family:
            if each.is_running():
                each.kill()
        outer.kill()
        outer.communicate()
