"""`estimate`, `fetch-weights`, and what `colorize` says of weights, licences and GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from colorize_core.request import FilmRequest
from tests.flows.conftest import Kinecolor
from tests.tiny.paper import paper_settings


def assignments(folder: Path) -> list[str]:
    return [part for each in paper_settings(folder) for part in ("--set", each)]


def test_an_estimate_before_anything_runs(
    kinecolor: Kinecolor, made: FilmRequest, tmp_path: Path
) -> None:
    said = kinecolor(
        *("estimate", made.source, "--shots", str(made.shots), "--work", tmp_path / "w"),
        *(part for still in made.references for part in ("--reference", still)),
    )
    assert said.code == 0 and "36 frames, 3 shots, 0 stills" in said.out
    for word in ("match/2", "flow/2", "finish/1", "In all"):
        assert word in said.out
    (film,) = (tmp_path / "w" / "films").iterdir()
    assert not (film / "segments").exists() and not (film / "manifest").exists()
    assert "36,36" not in (film / "shots.csv").read_text(), "its own shot list stays"


def test_an_estimate_of_the_paper_preset(
    kinecolor: Kinecolor, made: FilmRequest, paper_models: Path, tmp_path: Path
) -> None:
    said = kinecolor(
        *("estimate", made.source, "--preset", "paper", *assignments(paper_models)),
        *("--shots", str(made.shots), "--work", tmp_path / "w", "--device", "cpu", "--json"),
    )
    assert said.code == 0
    stages = {stage["stage"]: stage for stage in said.json["stages"]}
    assert (said.json["stills"], said.json["seconds"]) == (3, None)
    assert stages["interpolation"]["part"] == "svd/1"
    assert all(stages[name]["memory_bytes"] > 0 for name in ("reference", "anchors"))
    assert all(stages[name]["network_calls"] > 0 for name in ("reference", "interpolation"))


def test_an_estimate_says_what_is_missing(
    kinecolor: Kinecolor, made: FilmRequest, paper_models: Path, tmp_path: Path
) -> None:
    said = kinecolor(
        *("estimate", made.source, "--preset", "fast", *assignments(paper_models)),
        *("--work", tmp_path / "w"),
    )
    assert said.code == 0 and "unknown" in said.out
    assert "Not to be run here: There is no GPU here" in said.err


def test_a_run_replaces_shipped_figures_by_measured_ones(
    kinecolor: Kinecolor, made: FilmRequest, tmp_path: Path
) -> None:
    stills = [part for still in made.references for part in ("--reference", still)]
    place = ("--shots", str(made.shots), "--work", tmp_path / "w")
    said = kinecolor(
        "colorize", made.source, *stills, *place, "--local", "-o", tmp_path / "out.mkv"
    )
    assert said.code == 0
    estimated = kinecolor("estimate", made.source, *stills, *place, "--json").json
    assert all(stage["measured"] for stage in estimated["stages"])
    assert estimated["seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("--preset", "paper"), 1, "Stability AI"),
        (("flow",), 1, "flow has no weights"),
        (("dual_attention", "--set", "dual_attention.revision=main"), 1, "no commit"),
    ],
)
def test_what_fetch_weights_refuses(
    kinecolor: Kinecolor, arguments: tuple[str, ...], code: int, what: str
) -> None:
    said = kinecolor("fetch-weights", *arguments)
    assert said.code == code and what in said.error[0]


def test_local_weights_need_no_network(kinecolor: Kinecolor, paper_models: Path) -> None:
    said = kinecolor("fetch-weights", *assignments(paper_models), "--accept-licence", "--json")
    assert said.code == 0
    assert [each["part"] for each in said.json["weights"]] == ["qwen", "dual_attention", "svd"]
    assert all(len(each["digest"]) == 64 for each in said.json["weights"])
    assert not any(each["downloaded"] for each in said.json["weights"])


def test_colorize_names_the_command_that_brings_weights(
    kinecolor: Kinecolor,
    made: FilmRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    said = kinecolor(
        *("colorize", made.source, "--preset", "fast", "--device", "cpu", "--local"),
        *("--set", "dual_attention.pixel_budget=4096", "--set", "qwen.offload=none"),
        *("--work", tmp_path / "w", "-o", tmp_path / "out.mkv"),
    )
    what, remedy = said.error
    assert said.code == 1 and "not on this machine" in what
    assert "kinecolor fetch-weights" in remedy
    assert not (tmp_path / "w" / "films").exists()
