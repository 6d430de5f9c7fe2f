"""The whole film in one process: made, resumed, repaired, changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from colorize_core.errors import Unfinished
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow, ShotRow
from colorize_core.paths import FilmPaths
from colorize_core.request import FilmRequest
from colorize_core.summary import RunSummary
from colorize_core.verify import verify_film
from tests.film import MADE, SCENES, film_request, quiet
from tests.media_factory import luma_frames


def _run(request: FilmRequest) -> RunSummary:
    return colorize_film(request, quiet)


def _paths(summary: RunSummary) -> FilmPaths:
    return FilmPaths(summary.work, Path(summary.film).name)


def _digest(path: str | None) -> str:
    assert path is not None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _objects(summary: RunSummary, folder: str) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (Path(summary.film) / folder).iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[FilmRequest, RunSummary]:
    """A finished run; tests of it only look."""
    request = film_request(tmp_path_factory.mktemp("first"))
    return request, _run(request)


def test_a_film_comes_out(first: tuple[FilmRequest, RunSummary]) -> None:
    request, summary = first
    assert summary.status == "published"
    assert summary.frames_in == summary.frames_out == sum(SCENES)
    assert summary.shots == 3 and summary.grey_shots == ()
    assert summary.segments == {"done": 6, "failed": 0}  # a still inside each shot splits it
    assert (summary.recomputed_segments, summary.reused_segments) == (6, 0)
    assert summary.luma_exact
    assert verify_film(request.output, request.source).ok
    assert Path(summary.report).read_text().startswith("<!doctype html>")
    assert not [p for p in Path(request.output).parent.iterdir() if p.name.startswith(".")]


def test_luma_is_the_sources_and_colour_is_there(first: tuple[FilmRequest, RunSummary]) -> None:
    request, _ = first
    colourful = 0
    with av.open(request.output) as container:
        for frame, luma in zip(container.decode(video=0), luma_frames(MADE), strict=True):
            planes = frame.to_ndarray()
            assert np.array_equal(planes[: MADE.height], luma.astype(np.uint16) << 2)
            colourful += int(np.abs(planes[MADE.height :].astype(int) - 512).max() > 40)
    assert colourful == sum(SCENES)


def test_manifest(first: tuple[FilmRequest, RunSummary]) -> None:
    _, summary = first
    paths = _paths(summary)
    (film,) = latest(paths, FilmRow).rows
    assert (film.status, film.frames_out, film.luma_exact) == ("published", sum(SCENES), True)
    shots = latest(paths, ShotRow).rows
    assert [(shot.start, shot.end, shot.status) for shot in shots] == [
        (0, 10, "done"),
        (10, 24, "done"),
        (24, 36, "done"),
    ]
    segments = latest(paths, SegmentRow).rows
    assert [frame for row in segments for frame in range(row.start, row.end)] == list(range(36))
    for row in segments:
        assert row.status == "done" and row.uri and row.attempts == 1
        assert _digest(paths.resolve(row.uri)) == row.digest


def test_the_second_run_makes_nothing(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    before = _run(request)
    digest, chunks = _digest(before.output), _objects(before, "chunks")
    again = _run(request)
    assert (again.recomputed_segments, again.reused_segments) == (0, 6)
    assert _digest(again.output) == digest
    assert _objects(again, "chunks") == chunks
    Path(request.output).unlink()
    once_more = _run(request)
    assert once_more.recomputed_segments == 0
    assert _digest(once_more.output) == digest


def test_same_film_elsewhere_gives_the_same_bytes(
    first: tuple[FilmRequest, RunSummary], tmp_path: Path
) -> None:
    assert _digest(_run(film_request(tmp_path)).output) == _digest(first[1].output)


def test_what_is_lost_or_damaged_is_made_again(
    first: tuple[FilmRequest, RunSummary], tmp_path: Path
) -> None:
    request = film_request(tmp_path)
    before = _run(request)
    rows = latest(_paths(before), SegmentRow).rows
    lost, damaged = (Path(_paths(before).resolve(rows[i].uri or "")) for i in (1, 4))
    lost.unlink()
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for chunk in (Path(before.film) / "chunks").iterdir():
        chunk.unlink()
    Path(request.output).unlink()
    after = _run(request)
    assert (after.recomputed_segments, after.reused_segments) == (2, 4)
    assert any("damaged" in warning for warning in after.warnings)
    assert _digest(after.output) == _digest(first[1].output)


def test_a_changed_reference_changes_only_its_shot(tmp_path: Path) -> None:
    request = film_request(tmp_path)
    before = _run(request)
    chunks = _objects(before, "chunks")
    changed = film_request(tmp_path, stills=(5, 20, 30))
    after = _run(changed)
    assert after.recomputed_segments == 2
    kept = _objects(after, "chunks")
    assert len(kept) == 4 and chunks.items() <= kept.items()


def test_a_shot_that_no_reference_serves_stays_grey(tmp_path: Path) -> None:
    summary = _run(film_request(tmp_path, stills=(5, 30)))
    assert summary.status == "published" and summary.frames_out == sum(SCENES)
    assert summary.grey_shots == (2,)
    shots = latest(_paths(summary), ShotRow).rows
    assert [shot.status for shot in shots] == ["done", "grey", "done"]
    assert "no still" in shots[1].reference_choice
    with av.open(summary.output or "") as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert all((frames[i][MADE.height :] == 512).all() for i in range(10, 24))


def test_failed_segments_are_named_and_nothing_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize_core.engines.exemplar.flow import Flow

    fill = Flow.fill

    def poisoned(self: Flow, frames, start, end, seed):  # type: ignore[no-untyped-def]
        if frames[0].frame == 17:
            raise ZeroDivisionError("poison")
        return fill(self, frames, start, end, seed)

    request = film_request(tmp_path)
    monkeypatch.setattr(Flow, "fill", poisoned)
    with pytest.raises(Unfinished, match="poison") as caught:
        _run(request)
    summary = RunSummary.model_validate(caught.value.summary)
    assert summary.failed_segments == ("0002-0002",)
    assert summary.segments == {"done": 5, "failed": 0, "quarantined": 1}
    assert not Path(request.output).exists()
    assert "poison" in Path(summary.report).read_text()
    monkeypatch.undo()
    mended = _run(request)
    assert (mended.recomputed_segments, mended.reused_segments) == (1, 5)


def test_lab_merge(tmp_path: Path) -> None:
    summary = _run(film_request(tmp_path, "merge=lab"))
    assert not summary.luma_exact
    with av.open(summary.output or "") as container:
        assert container.streams.video[0].format.name == "yuv444p10le"


def test_access_copy(tmp_path: Path) -> None:
    request = film_request(tmp_path).model_copy(update={"output": str(tmp_path / "out.mp4")})
    summary = _run(request)
    assert summary.frames_out == sum(SCENES) and not summary.luma_exact
    with av.open(request.output) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == sum(SCENES)
