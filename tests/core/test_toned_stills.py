"""One tone over a whole film: what changes, what stays, what is found again and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from colorize_core.claim import hold
from colorize_core.engines.contract import ColourStill
from colorize_core.film import open_film
from colorize_core.local import LocalPool, colorize_film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import SegmentRow, ShotRow
from colorize_core.media.color import lab_of_pixels
from colorize_core.paths import FilmPaths
from colorize_core.prepare import prepare_run
from colorize_core.references.settings import ToneSettings
from colorize_core.references.stills import as_png, keep_still, load_still, still_of
from colorize_core.request import FilmRequest
from colorize_core.shot_work import ShotChoice
from colorize_core.summary import RunSummary
from colorize_core.sweep import sweep
from colorize_core.toned_stills import bring_together
from colorize_core.work import StillRef
from tests.core.references.test_tone import apart
from tests.film import quiet
from tests.one_scene import COOL, FRAMES, SHOTS, WARM, Light, lit, middle, scene_request
from tests.tiny.qwen import save_tiny_qwen

LIGHTS = {2: WARM, 4: COOL}


def run(request: FilmRequest) -> tuple[RunSummary, FilmPaths, list[ShotRow]]:
    summary = colorize_film(request, quiet, "cpu")
    assert summary.status == "published" and summary.frames_out == SHOTS * FRAMES
    paths = FilmPaths(summary.work, Path(summary.film).name)
    return summary, paths, list(latest(paths, ShotRow).rows)


def written(summary: RunSummary, *folders: str) -> dict[str, int]:
    return {
        f"{folder}/{each.name}": each.stat().st_mtime_ns
        for folder in folders
        for each in Path(summary.film, folder).iterdir()
    }


ALL = ("references", "anchors", "segments", "chunks")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunSummary, list[ShotRow]]:
    """A film with tone left as the stills have it, which is what a person's stills get unasked."""
    folder = tmp_path_factory.mktemp("scene")
    summary, _, rows = run(scene_request(folder, lights=LIGHTS))
    return folder, summary, rows


def test_a_persons_stills_are_left_alone_unless_asked(
    first: tuple[Path, RunSummary, list[ShotRow]],
) -> None:
    folder, summary, rows = first
    assert all(row.tone_shift is None and not row.references_before_tone for row in rows)
    before = written(summary, *ALL)
    off, _, unchanged = run(scene_request(folder, "tone.scope=off", lights=LIGHTS))
    assert off.recomputed_segments == 0 and written(off, *ALL) == before
    assert [row.references for row in unchanged] == [row.references for row in rows]


def test_shots_of_one_scene_come_to_one_tone(
    first: tuple[Path, RunSummary, list[ShotRow]],
) -> None:
    folder, summary, rows = first
    before = written(summary, *ALL)
    request = scene_request(folder, "tone.scope=all", lights=LIGHTS)
    toned, paths, after = run(request)
    assert {row.shot for row in after if row.tone_shift} == {2, 4}
    for old, new in zip(rows, after, strict=True):
        if new.shot not in LIGHTS:
            assert (new.references, new.chunks) == (old.references, old.chunks)
            continue
        assert new.references_before_tone == old.references != new.references
        assert new.reference_choice.startswith(f"{old.reference_choice}; tone moved by")
        assert new.reference_choice.endswith("to that of shots 1, 3, 5")
        true = lab_of_pixels(lit(new.shot, {}))
        was, now = (load_still(paths.reference(d)).lab for d in (*old.references, *new.references))
        assert apart(now, true) < 0.2 * apart(was, true)
        assert np.abs(now[..., 0] - was[..., 0]).mean() < 0.2
    assert before.items() <= written(toned, *ALL).items(), "nothing that was there is made again"
    assert toned.reused_segments > 0 and toned.recomputed_segments > 0
    assert "tone moved by" in Path(toned.report).read_text()
    assert not toned.warnings

    made = written(toned, *ALL)
    again, _, same = run(request)
    assert again.recomputed_segments == 0 and written(again, *ALL) == made
    assert [row.references for row in same] == [row.references for row in after]


def test_a_lost_or_damaged_toned_still_is_made_again_and_named(tmp_path: Path) -> None:
    request = scene_request(tmp_path, "tone.scope=all", lights=LIGHTS)
    _, paths, rows = run(request)
    lost, damaged = (Path(paths.reference(rows[i].references[0])) for i in (1, 3))
    content = damaged.read_bytes()
    lost.unlink()
    damaged.write_bytes(content[:-30] + b"\0" + content[-29:])
    summary, _, _ = run(request)
    assert sorted(summary.warnings) == sorted(
        f"references/{path.name} was {wrong} and is made again."
        for path, wrong in ((lost, "missing"), (damaged, "damaged"))
    )
    assert damaged.read_bytes() == content and lost.exists()


def test_a_still_that_is_to_keep_its_tone_keeps_it_and_a_limit_is_said(tmp_path: Path) -> None:
    settings = ("tone.scope=all", "tone.most=5")
    summary, _, rows = run(scene_request(tmp_path, *settings, lights=LIGHTS, kept=2))
    assert {row.shot for row in rows if row.tone_shift} == {4}
    assert rows[3].tone_shift == pytest.approx(5, abs=0.2)
    (warning,) = summary.warnings
    assert "The still of shot 4 differs in tone by 1" in warning and "tone.most" in warning


# -- stills that are made ----------------------------------------------------------------------


def made_request(folder: Path, lights: Mapping[int, Light]) -> FilmRequest:
    """A film whose stills are all made: as if the network had made each in its light."""
    save_tiny_qwen(folder / "qwen")
    settings = ("parts.reference=qwen", "qwen.precision=fp32", f"qwen.weights={folder / 'qwen'}")
    request = scene_request(folder, *settings, lights={}, given=())
    film = open_film(request, quiet)
    with hold(film.paths, quiet) as claim:
        planned = prepare_run(film, request, LocalPool(), quiet, claim)
    for work in planned.shots:
        (item,) = work.choice.making
        still = ColourStill("made", lab_of_pixels(lit(item.shot, lights)))
        Path(item.output).parent.mkdir(exist_ok=True)
        Path(item.output).write_bytes(as_png(still, Path(item.output).name))
    return request


def test_made_stills_come_to_one_tone_unasked_and_are_found_again(tmp_path: Path) -> None:
    request = made_request(tmp_path, LIGHTS)
    summary, paths, rows = run(request)
    assert {row.shot for row in rows if row.tone_shift} == {2, 4}
    for row in rows:
        assert row.reference_choice.startswith("made from the prompt")
        segments = [each for each in latest(paths, SegmentRow).rows if each.shot == row.shot]
        assert {each.references for each in segments} == {row.references}
    before = written(summary, *ALL)
    again, _, same = run(request)
    assert again.recomputed_segments == 0 and written(again, *ALL) == before
    assert [row.references for row in same] == [row.references for row in rows]
    swept = sweep(summary.work, datetime.now(UTC), delete=False, progress=quiet)
    kinds = {each.kind for film in swept for each in film.leftovers}
    assert kinds <= {"manifest", "claims"}, "the stills as they were made are kept"


@pytest.mark.parametrize("kept", [False, True])
def test_made_stills_come_to_a_persons_which_stays(kept: bool, tmp_path: Path) -> None:
    paths = FilmPaths(str(tmp_path), "0" * 16)
    choices = {}
    for shot in range(1, SHOTS + 1):
        still = still_of(lit(shot, {1: WARM}))
        ref = StillRef(still.digest, paths.reference(still.digest), middle(shot))
        keep_still(still, ref.uri)
        given = frozenset({still.digest} if shot == 1 else ())
        fixed, apart = (frozenset[str](), given) if kept else (given, frozenset[str]())
        choices[shot] = ShotChoice((ref,), "why", 1.0, fixed=fixed, apart=apart)
    toned = bring_together(paths, choices, ToneSettings(), (), quiet)
    assert toned.warnings == ()
    assert set(toned.choices) == (set() if kept else {2, 3, 4, 5})
    for choice in toned.choices.values():
        assert choice.tone and choice.tone.said.endswith("to that of shot 1")
