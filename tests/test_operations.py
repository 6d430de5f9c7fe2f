"""docs/operations.md: its commands are run as they stand there, in order, or it says why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.archive_factory import add_film
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^(<!-- (?P<mark>.*?) -->\n)?```sh\n(?P<commands>.*?)^```", re.M | re.S)
LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and what the page says of who runs them."""

    mark: str
    commands: str


BLOCKS = [Block(each["mark"] or "", each["commands"]) for each in BLOCK.finditer(PAGE)]


def test_each_block_of_commands_says_who_runs_it() -> None:
    assert len(BLOCKS) == PAGE.count("```sh")
    for block in BLOCKS:
        other = re.fullmatch(r"run by (tests/\S+\.py)", block.mark)
        assert block.mark == "run" or other or block.mark.startswith("not run here: "), block
        assert not other or (ROOT / other[1]).is_file()


@pytest.mark.cluster
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(600)
def test_the_commands(tmp_path: Path, prefect_server: str, ray_cluster: str) -> None:
    add_film(tmp_path, "reel1")
    (tmp_path / "reels").rename(tmp_path / "films")
    script = "".join(block.commands for block in BLOCKS if block.mark == "run")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PREFECT_API_URL": prefect_server,
            "RAY_ADDRESS": ray_cluster,
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr + done.stdout
    assert (tmp_path / "colour" / "reel1.mkv").is_file()
    assert re.search(r"^[0-9a-f]{16} \d.* worker seconds$", done.stdout, re.M)
