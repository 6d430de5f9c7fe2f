"""`kinecolor evaluate` as people start it: a data set through Prefect and Ray, and its page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.flows.program import completed, start
from tests.media_factory import Film, colour_frames

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("ray")]

FRAMES = 6


def clip(folder: Path) -> None:
    folder.mkdir(parents=True)
    for index, frame in enumerate(colour_frames(Film(width=96, height=64, frames=FRAMES))):
        Image.fromarray(np.ascontiguousarray(frame)).save(folder / f"{index:03d}.png")


def test_a_data_set_with_a_bad_clip(tmp_path: Path, prefect_server: str, ray_cluster: str) -> None:
    clip(tmp_path / "set" / "good")
    clip(tmp_path / "set" / "bad")
    (tmp_path / "set" / "bad" / "003.png").write_bytes(b"no picture")

    def evaluate() -> subprocess.Popen[str]:
        return start(
            tmp_path / "out" / "work",
            *("evaluate", str(tmp_path / "set"), "-o", str(tmp_path / "out"), "--workers", "1"),
            PREFECT_API_URL=prefect_server,
            RAY_ADDRESS=ray_cluster,
        )

    code, said, errors = completed(evaluate())
    assert code == 2 and "Traceback" not in errors, errors
    assert "1 of 2 clips have no score: bad" in errors and "is no picture" in errors
    good, bad = said["clips"]
    assert good["clip"] == "good" and good["scores"]["frames"] == FRAMES
    assert bad["scores"] is None
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Not scored" in page and "Kimura and Yanai" in page
    master = (tmp_path / "out" / "colour" / "good.mkv").stat().st_mtime_ns

    (tmp_path / "set" / "bad" / "003.png").write_bytes(
        (tmp_path / "set" / "bad" / "002.png").read_bytes()
    )
    code, said, errors = completed(evaluate())
    assert code == 0, errors
    assert said["overall"]["clips"] == 2 and said["overall"]["frames"] == 2 * FRAMES
    assert (tmp_path / "out" / "colour" / "good.mkv").stat().st_mtime_ns == master
