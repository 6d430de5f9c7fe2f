"""Scores, tables and the page, without a server: the pipeline runs in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from colorize_core import storage
from colorize_core.archive.ended import FilmEnd, ended_row
from colorize_core.archive.rollup import RollUp
from colorize_core.archive.sources import archive_films
from colorize_core.archive.todo import films_to_do
from colorize_core.evaluation.measure import Evaluation, measure, write_tables
from colorize_core.evaluation.page import build_page
from colorize_core.evaluation.perceptual import Perceptual, frechet_distance, perceptual
from colorize_core.evaluation.prepare import PreparedClip, archive_request, prepare
from colorize_core.evaluation.request import EvaluationRequest
from colorize_core.local import colorize_film
from colorize_core.paths import ArchivePaths
from tests.film import quiet
from tests.media_factory import Film, colour_frames

FRAMES = 8
MADE = Film(width=96, height=64, frames=FRAMES, colour=True)
NOTHING = Perceptual(None, None, {"lpips": "get lpips", "fid": "get fid"})


@pytest.fixture(scope="module")
def request_here(tmp_path_factory: pytest.TempPathFactory) -> EvaluationRequest:
    folder = tmp_path_factory.mktemp("evaluation")
    for clip, dim in (("bright", 1), ("dark", 3)):
        (folder / "set" / clip).mkdir(parents=True)
        for index, frame in enumerate(colour_frames(MADE)):
            Image.fromarray(np.ascontiguousarray(frame) // dim).save(
                folder / "set" / clip / f"{index:05d}.png"
            )
    return EvaluationRequest(dataset=str(folder / "set"), output=str(folder / "out"))


def colorized(request: EvaluationRequest) -> list[PreparedClip]:
    prepared = prepare(request, quiet)
    work = archive_request(request).work
    rollup = RollUp(ArchivePaths(work))
    for todo in films_to_do(archive_films(archive_request(request)), rollup):
        if todo.due:
            colorize_film(todo.request, quiet)
            rollup.update([ended_row(todo.row, FilmEnd(status="published"), work, ())])
    rollup.flush()
    return prepared


@pytest.fixture(scope="module")
def evaluation(request_here: EvaluationRequest) -> Evaluation:
    return measure(request_here, colorized(request_here), NOTHING, quiet)


def test_every_clip_has_its_figures(evaluation: Evaluation) -> None:
    assert {clip.clip for clip in evaluation.clips} == {"bright", "dark"}
    for clip in evaluation.clips:
        assert clip.scores is not None and clip.error == ""
        assert clip.frames == clip.scores.frames == clip.scores.counted == FRAMES
        assert 20 < clip.scores.psnr < 60 and 0.5 < clip.scores.ssim <= 1
        assert clip.scores.colorfulness == pytest.approx(clip.scores.true_colorfulness, rel=0.3)
        assert clip.scores.lpips is None and clip.scores.cdc is not None
    psnr = [clip.scores.psnr for clip in evaluation.clips if clip.scores]
    assert psnr == sorted(psnr), "the worst first"
    assert evaluation.overall.psnr == pytest.approx(np.mean(psnr))
    assert evaluation.overall.frames == 2 * FRAMES and evaluation.overall.fid is None


def test_the_reference_frame_is_the_best_and_need_not_count(
    request_here: EvaluationRequest, evaluation: Evaluation
) -> None:
    held_out = request_here.model_copy(update={"protocol": "held-out"})
    without = measure(held_out, prepare(held_out, quiet), NOTHING, quiet)
    by_name = {clip.clip: clip.scores for clip in evaluation.clips}
    for clip in without.clips:
        everything = by_name[clip.clip]
        assert clip.scores is not None and everything is not None
        assert np.argmax(everything.psnr_by_frame) == FRAMES // 2
        assert clip.scores.counted == FRAMES - 1 and clip.scores.psnr < everything.psnr
    assert any("do not count" in line for line in without.protocol)


def test_what_is_scored_is_not_scored_again(
    request_here: EvaluationRequest, evaluation: Evaluation
) -> None:
    prepared = prepare(request_here, quiet)
    counted: list[int] = []
    again = measure(
        request_here, prepared, NOTHING, lambda stage, done, total: counted.append(done)
    )
    assert counted == [2 * FRAMES]
    assert again == evaluation


def test_a_clip_is_never_scored_on_missing_frames(
    request_here: EvaluationRequest, evaluation: Evaluation
) -> None:
    folder = Path(request_here.output)
    kept = (folder / "colour" / "dark.mkv").read_bytes()
    try:
        (folder / "colour" / "dark.mkv").write_bytes(_shorter(folder / "grey" / "dark.mkv", folder))
        found = measure(request_here, prepare(request_here, quiet), NOTHING, quiet)
    finally:
        (folder / "colour" / "dark.mkv").write_bytes(kept)
    dark = next(clip for clip in found.clips if clip.clip == "dark")
    assert dark.scores is None and "differ in number or size" in dark.error
    assert found.clips[-1] is dark and found.overall.clips == 1
    assert b"Not scored: dark: its result" in build_page(found)


def _shorter(film: Path, folder: Path) -> bytes:
    """A 4:4:4 film of one frame less."""
    from tests.media_factory import write_film

    made = Film(width=96, height=64, frames=FRAMES - 1, pix_fmt="yuv444p10le", colour=True)
    return write_film(folder / "short.mkv", made).read_bytes()


def test_tables_and_page_say_the_same(evaluation: Evaluation, tmp_path: Path) -> None:
    write_tables(evaluation, tmp_path)
    rows = pq.read_table(tmp_path / "clips.parquet").to_pylist()
    with (tmp_path / "clips.csv").open(newline="") as file:
        text = list(csv.DictReader(file))
    stored = json.loads((tmp_path / "evaluation.json").read_bytes())
    assert Evaluation.model_validate(stored) == evaluation
    for row, line, clip in zip(rows, text, evaluation.clips, strict=True):
        assert clip.scores is not None
        assert row["clip"] == line["clip"] == clip.clip
        assert row["psnr"] == float(line["psnr"]) == clip.scores.psnr
        assert row["lpips"] is None and line["lpips"] == ""
    page = build_page(evaluation).decode()
    assert "middle frame were given as its reference" in page
    assert page.count("not available</td>") == 2 and "get lpips" in page and "get fid" in page
    assert "Kimura and Yanai" in page and "26.28" in page
    for line in evaluation.protocol:
        assert line.split(":")[0] in page
    assert page.count("<polyline") == 2


def test_measures_whose_weights_are_there_are_taken(
    request_here: EvaluationRequest, evaluation: Evaluation
) -> None:
    """The real networks are not on this machine: stand-ins show that they are asked and kept."""

    def features(frames: object) -> np.ndarray:
        return np.stack([np.asarray(each, np.float64).mean(axis=(0, 1)) for each in frames])  # type: ignore[attr-defined]

    measures = Perceptual(lambda made, true: 0.25, features, {})
    found = measure(request_here, prepare(request_here, quiet), measures, quiet)
    assert found.overall.lpips == 0.25
    assert found.overall.fid is not None and 0 <= found.overall.fid < 50
    assert measure(request_here, prepare(request_here, quiet), measures, quiet) == found


def test_what_is_not_on_the_machine_has_the_command_that_gets_it() -> None:
    found = perceptual()
    assert set(found.missing) == {
        name
        for name, there in (("lpips", found.distance), ("fid", found.features))
        if there is None
    }
    assert all(
        command.startswith(("pip install", "python -c")) for command in found.missing.values()
    )


def test_frechet_distance_of_gaussians() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(0, 1, (4000, 3)), draw.normal(2, 3, (4000, 3))
    # of N(0, 1) and N(2, 3) in each of three dimensions: 3·(2² + (1 − 3)²)
    assert frechet_distance(first, second) == pytest.approx(24, rel=0.05)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="two frames"):
        frechet_distance(first[:1], second)


def test_prepared_clips_stay_until_their_frames_change(request_here: EvaluationRequest) -> None:
    prepare(request_here, quiet)
    grey = Path(request_here.output) / "grey" / "dark.mkv"
    before = storage.fingerprint(str(grey))
    prepare(request_here, quiet)
    assert storage.fingerprint(str(grey)) == before
