"""The presets `paper` and `fast`, every stage's real code with tiny random networks, in one
process. The same through Prefect and Ray, killed and resumed: tests/flows/test_paper_flow.py."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from colorize_core.chroma_file import decode_chroma
from colorize_core.claim import hold
from colorize_core.config import load_config
from colorize_core.engines.contract import Chroma
from colorize_core.errors import DeviceMissing, LicenceNotAccepted, Unfinished
from colorize_core.film import open_film
from colorize_core.local import LocalPool, colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow, ShotRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.prepare import prepare_run
from colorize_core.request import FilmRequest, check_request
from tests.film import film_request, quiet
from tests.tiny.paper import paper_settings

pytestmark = pytest.mark.xdist_group("paper")  # the film is made once


def paths_of(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


def digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, paper_models: Path) -> FilmRequest:
    """A film of three shots without any still of a user, colorized by `paper` on the CPU."""
    folder = tmp_path_factory.mktemp("paper")
    request = film_request(folder, *paper_settings(paper_models), stills=(), preset="paper")
    summary = colorize_film(request, quiet, "cpu")
    assert summary.status == "published" and summary.frames_in == summary.frames_out
    assert summary.luma_exact and not summary.grey_shots
    return request


def test_every_shot_has_a_still_of_its_middle_frame(published: FilmRequest) -> None:
    paths = paths_of(published)
    shots = latest(paths, ShotRow).rows
    assert [row.status for row in shots] == ["done"] * 3
    for row in shots:
        (still,) = row.references
        assert Path(paths.reference(still)).read_bytes().startswith(b"\x89PNG")
        assert row.reference_choice.startswith("made from the prompt")


def test_the_manifest_names_parts_weights_and_the_accepted_licence(published: FilmRequest) -> None:
    paths = paths_of(published)
    segments = latest(paths, SegmentRow).rows
    assert {row.reference_part for row in segments} == {"qwen/1"}
    assert {row.anchors_part for row in segments} == {"dual_attention/1"}
    assert {row.interpolation_part for row in segments} == {"svd/1"}
    for row in segments:
        assert row.anchor_references == row.references and len(row.references) == 1
    (film,) = latest(paths, FilmRow).rows
    assert [line.split()[0] for line in film.weights] == ["dual_attention", "qwen", "svd"]
    assert all("sha256:" in line for line in film.weights)
    assert film.weights[2].count("sha256:") == 2, "the ControlNet's, too"
    assert len(film.accepted_licences) == 1 and "Stab" in film.accepted_licences[0]


def test_a_second_run_in_another_place_gives_the_same_bytes(
    published: FilmRequest, tmp_path: Path
) -> None:
    places = {"output": str(tmp_path / "out.mkv"), "work": str(tmp_path / "work")}
    again = published.model_copy(update=places)
    colorize_film(again, quiet, "cpu")
    assert digest(again.output) == digest(published.output)


def test_a_changed_prompt_remakes_its_shot_alone(published: FilmRequest, tmp_path: Path) -> None:
    shots = tmp_path / "shots.csv"
    shots.write_text("shot,start,end,prompt\n1,0,10,\n2,10,24,A red coat.\n3,24,36,\n")
    changed = published.model_copy(update={"shots": str(shots), "output": str(tmp_path / "o.mkv")})
    summary = colorize_film(changed, quiet, "cpu")
    rows = latest(paths_of(published), SegmentRow).rows
    by_shot = Counter(row.shot for row in rows)
    assert (summary.recomputed_segments, summary.reused_segments) == (
        by_shot[2],
        by_shot[1] + by_shot[3],
    )
    assert {row.prompt for row in rows if row.shot == 2} == {"A red coat."}


def test_a_users_still_comes_before_a_made_one(
    published: FilmRequest, paper_models: Path, tmp_path: Path
) -> None:
    request = film_request(tmp_path, *paper_settings(paper_models), stills=(17,), preset="fast")
    film = open_film(request, quiet)
    with hold(film.paths, quiet) as claim:
        run = prepare_run(film, request, LocalPool(), quiet, claim)
    assert [bool(work.choice.making) for work in run.shots] == [True, False, True]


def test_a_still_that_cannot_be_made_fails_its_shot_with_its_name(
    paper_models: Path, tmp_path: Path
) -> None:
    settings = paper_settings(paper_models, "qwen.structure_threshold=1", "qwen.attempts=1")
    request = film_request(tmp_path, *settings, stills=(5, 17), preset="fast")
    with pytest.raises(Unfinished, match="ReferenceRejected"):
        colorize_film(request, quiet, "cpu")
    assert not Path(request.output).exists()
    rows = latest(paths_of(request), SegmentRow).rows
    assert {row.shot for row in rows if row.status == "failed"} == {3}
    assert {row.error_class for row in rows if row.shot == 3} == {"ReferenceRejected"}


def test_batch_of_one_is_batch_of_many(published: FilmRequest, tmp_path: Path) -> None:
    """To 1e-4 before they are stored in steps of 1/32: so a step at most."""
    one: Any = published.config.model_dump()
    one["dual_attention"] |= {"batch": 1}
    one["svd"] |= {"batching": "one"}
    request = published.model_copy(
        update={
            "output": str(tmp_path / "out.mkv"),
            "work": str(tmp_path / "work"),
            "config": type(published.config).model_validate(one),
        }
    )
    colorize_film(request, quiet, "cpu")
    for known, made in zip(segments(published), segments(request), strict=True):
        if known.prompt != made.prompt:  # of a test before this one
            continue
        assert known.uri and made.uri and known.uri != made.uri
        for first, second in zip(
            stored(paths_of(published), known.uri), stored(paths_of(request), made.uri), strict=True
        ):
            assert abs(first.ab - second.ab).max() <= 1 / 32


def segments(request: FilmRequest) -> Sequence[SegmentRow]:
    return latest(paths_of(request), SegmentRow).rows


def stored(paths: FilmPaths, name: str) -> list[Chroma]:
    uri = paths.resolve(name)
    return decode_chroma(Path(uri).read_bytes(), uri)


# -- what is refused before anything starts ----------------------------------------------------


def test_a_licence_that_limits_use_wants_accepting(paper_models: Path, tmp_path: Path) -> None:
    request = film_request(tmp_path, *paper_settings(paper_models), stills=(), preset="paper")
    with pytest.raises(LicenceNotAccepted, match=r"svd[^\n]*\n.*--accept-licence"):
        check_request(request.model_copy(update={"accept_licence": False}))
    check_request(request)


def test_without_a_gpu_nothing_falls_back_to_the_cpu(paper_models: Path, tmp_path: Path) -> None:
    request = film_request(tmp_path, *paper_settings(paper_models), stills=(), preset="fast")
    with pytest.raises(DeviceMissing, match="no GPU here for qwen and dual_attention"):
        colorize_film(request, quiet)
    assert not Path(request.work, "films").exists()


def test_presets_are_the_papers() -> None:
    config = load_config("paper")
    assert config.anchor_interval == 24 and config.seed == 42
    assert (config.qwen.steps, config.dual_attention.guidance, config.svd.steps) == (30, 10, 25)
