"""A film with segments that fail: not published, or published with their frames grey."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from colorize_core.errors import StorageFull, Unfinished
from colorize_core.frame_list import list_name, read_frame_list
from colorize_core.local import colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import FilmRow, SegmentRow, ShotRow
from colorize_core.paths import FilmPaths, film_ids
from colorize_core.plan import plan_shot
from colorize_core.request import FilmRequest
from colorize_core.scope import Scope
from colorize_core.timebase import FrameSpan
from colorize_core.verify import verify_film
from tests.film import MADE, film_request, quiet
from tests.poison import Kind, poison, take_poison

LOST = range(13, 16)  # the frames of segment 0002-0002


@pytest.fixture
def poisoned() -> Iterator[Callable[[FilmRequest, dict[int, Kind]], None]]:
    def give(request: FilmRequest, segments: dict[int, Kind]) -> None:
        poison(request, segments)
        take_poison(request.work)

    yield give
    take_poison("/nowhere/work")


def paths(request: FilmRequest) -> FilmPaths:
    return FilmPaths(request.work, film_ids(request.work)[0])


def chroma(path: str) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray()[MADE.height :] for frame in container.decode(video=0)]


def test_published_grey_and_mended_later(tmp_path: Path, poisoned: Callable) -> None:
    request = film_request(tmp_path, "anchor_interval=3", "on_failure=grey")
    poisoned(request, {LOST.start: "raise"})
    summary = colorize_film(request, quiet)
    assert (summary.status, summary.frames_out, summary.luma_exact) == ("published", 36, True)
    assert summary.failed_segments == ("0002-0002",)
    assert any("0002-0002" in each and "kinecolor retry" in each for each in summary.warnings)
    # the film: these frames are grey, and only these
    grey = [frame for frame, planes in enumerate(chroma(request.output)) if (planes == 512).all()]
    assert grey == list(LOST)
    # its sidecar
    listed = {row.frame: row.colour for row in read_frame_list(list_name(request.output))}
    assert {frame for frame, colour in listed.items() if colour == "failed"} == set(LOST)
    assert {colour for frame, colour in listed.items() if frame not in LOST} == {"made"}
    checked = verify_film(request.output, request.source)
    assert checked.ok and any("3 frames are grey" in note for note in checked.notes)
    # the report
    report = Path(summary.report).read_text()
    assert "partly grey" in report and "kinecolor retry" in report and "0002-0002" in report
    # the manifest
    (film,) = latest(paths(request), FilmRow).rows
    assert (film.status, film.failed_frames) == ("published", len(LOST))
    assert [row.status for row in latest(paths(request), ShotRow).rows] == [
        "done",
        "partial",
        "done",
    ]
    (row,) = (each for each in latest(paths(request), SegmentRow).rows if each.status != "done")
    assert (row.id, row.status, row.grey, row.error_class) == (
        "0002-0002",
        "quarantined",
        True,
        "EngineFailed",
    )

    poisoned(request, {})
    mended = colorize_film(request, quiet)
    assert (mended.recomputed_segments, mended.failed_segments) == (1, ())
    assert not any((planes == 512).all() for planes in chroma(request.output))
    (film,) = latest(paths(request), FilmRow).rows
    assert film.failed_frames == 0
    plain = film_request(tmp_path, "anchor_interval=3").model_copy(
        update={"work": str(tmp_path / "plain"), "output": str(tmp_path / "plain.mkv")}
    )
    colorize_film(plain, quiet)
    assert Path(plain.output).read_bytes() == Path(request.output).read_bytes()


def test_a_whole_shot_that_fails_is_grey(tmp_path: Path, poisoned: Callable) -> None:
    request = film_request(tmp_path, "on_failure=grey")
    poisoned(request, {10: "memory", 17: "memory"})
    summary = colorize_film(request, quiet)
    assert summary.failed_segments == ("0002-0001", "0002-0002")
    grey = [frame for frame, planes in enumerate(chroma(request.output)) if (planes == 512).all()]
    assert grey == list(range(10, 24))


def test_what_is_not_picked_stays_as_it_is(tmp_path: Path, poisoned: Callable) -> None:
    request = film_request(tmp_path, "anchor_interval=3")
    poisoned(request, {3: "raise", LOST.start: "raise"})
    with pytest.raises(Unfinished):
        colorize_film(request, quiet)
    poisoned(request, {})
    with pytest.raises(Unfinished, match="0002-0002"):
        colorize_film(request, quiet, scope=Scope(shots=frozenset({1})))
    found = {row.id: row for row in latest(paths(request), SegmentRow).rows}
    assert found["0001-0002"].status == "done"
    assert (found["0002-0002"].status, found["0002-0002"].attempts) == ("quarantined", 2)
    assert colorize_film(request, quiet).recomputed_segments == 1


def test_an_error_that_concerns_all_ends_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not segment by segment: nothing else could go on."""
    from colorize_core import colorize

    def full(*_: object) -> None:
        raise StorageFull("No space is left.", "Free some.")

    request = film_request(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(colorize, "_kept", full)
        with pytest.raises(StorageFull):
            colorize_film(request, quiet)
    (film,) = latest(paths(request), FilmRow).rows
    assert film.status == "failed" and "No space is left" in str(film.error)
    assert {row.status for row in latest(paths(request), SegmentRow).rows} == {"pending"}
    assert colorize_film(request, quiet).status == "published"


def test_anchors_that_fail_together_fail_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot be made takes only the segments at its sides along."""
    from colorize_core.engines.exemplar.match import Match

    colorize = Match.colorize
    bad = plan_shot(2, FrameSpan(10, 24), 3, [17]).anchors[-2]

    def poisoned(self, anchors, references, reader, seed):  # type: ignore[no-untyped-def]
        if bad in anchors:
            raise ZeroDivisionError("poison")
        yield from colorize(self, anchors, references, reader, seed)

    request = film_request(tmp_path, "anchor_interval=3")
    with monkeypatch.context() as patch:
        patch.setattr(Match, "colorize", poisoned)
        with pytest.raises(Unfinished):
            colorize_film(request, quiet)
    failed = [row for row in latest(paths(request), SegmentRow).rows if row.status != "done"]
    assert len(failed) == 2
    assert all(bad in (row.start_anchor, row.end_anchor) for row in failed)
    assert {row.status for row in failed} == {"failed"}
    assert colorize_film(request, quiet).recomputed_segments == len(failed)
