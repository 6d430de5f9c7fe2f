"""Shot detection on films made in code: what is a boundary, and what only looks like one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scenedetect import FrameTimecode

from colorize_core.media.probe import scan
from colorize_core.shots.detect import Boundary, ShotDetector
from colorize_core.shots.scenedetect_adapter import LumaDetector
from colorize_core.timebase import FrameSpan
from tests.benchmarks.shots import Score, made_films, read_grey, same_size, score, single_shots

F32 = NDArray[np.float32]
WIDTH, HEIGHT = 192, 108


def scenery(seed: int) -> F32:
    """A wide landscape of blobs, bars and grain, grey levels, ``[4 H, 4 W]``."""
    rng = np.random.default_rng(seed)
    picture = np.full((4 * HEIGHT, 4 * WIDTH), 90.0, np.float32)
    for _ in range(120):
        centre = (int(rng.integers(4 * WIDTH)), int(rng.integers(4 * HEIGHT)))
        axes = (int(rng.integers(5, 60)), int(rng.integers(5, 40)))
        shade = float(rng.uniform(10, 240))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, shade, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)  # pyright: ignore[reportReturnType]


def shot(seed: int, frames: int, speed: float = 1.0) -> F32:
    """A camera that moves over a landscape, `speed` pixels a frame, ``[frames, H, W]``."""
    wide = scenery(seed)
    out = []
    for i in range(frames):
        move = np.array([[1, 0, -40 - speed * i], [0, 1, -40 - 0.4 * speed * i]], np.float32)
        out.append(cv2.warpAffine(wide, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT))
    return np.stack(out).astype(np.float32)


def with_grain(film: F32, sigma: float = 4.0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(9).normal(0, sigma, film.shape)
    return np.clip(film + noise, 0, 255).astype(np.uint8)


def boundaries(film: F32) -> tuple[Boundary, ...]:
    detector = ShotDetector()
    for frame, luma in enumerate(with_grain(film)):
        detector.watch(frame, luma)
    return detector.finish()


def frames_of(found: tuple[Boundary, ...]) -> list[int]:
    return [boundary.frame for boundary in found]


def test_a_cut_is_found_at_the_first_frame_of_the_new_shot() -> None:
    assert boundaries(np.concatenate([shot(1, 20), shot(2, 20)])) == (Boundary(20, "cut"),)


def test_shots_of_one_and_two_frames_are_found() -> None:
    film = np.concatenate([shot(1, 20), shot(2, 1), shot(3, 20), shot(4, 2), shot(5, 2)])
    assert frames_of(boundaries(film)) == [20, 21, 41, 43]


def test_cuts_near_both_ends_are_found() -> None:
    film = np.concatenate([shot(1, 1), shot(2, 20), shot(3, 1)])
    assert frames_of(boundaries(film)) == [1, 21]


def test_repeated_frames_are_no_calm_before_a_cut() -> None:
    film = np.repeat(np.concatenate([shot(1, 12, 5.0), shot(2, 12, 5.0)]), 2, axis=0)
    assert frames_of(boundaries(film)) == [24]


def test_a_cut_inside_fast_motion_is_found() -> None:
    film = np.concatenate([shot(1, 15, 8.0), shot(2, 15, 8.0)])
    assert frames_of(boundaries(film)) == [15]


def test_a_cut_between_dark_scenes_is_found() -> None:
    film = np.float32(10) + np.float32(0.12) * np.concatenate([shot(1, 20), shot(2, 20)])
    detector = ShotDetector()
    for frame, luma in enumerate(with_grain(film, 1.0)):
        detector.watch(frame, luma)
    assert frames_of(detector.finish()) == [20]


def _flash(film: F32) -> None:
    film[15:18] = film[15:18] * 1.8 + 40


def _white_frame(film: F32) -> None:
    film[15] = 255


def _black_frames(film: F32) -> None:
    film[15:19] = 0


def _lamp(film: F32) -> None:
    film[15:] = film[15:] * 0.5 + 5


def _flicker(film: F32) -> None:
    film *= np.random.default_rng(3).uniform(0.75, 1.2, (len(film), 1, 1))


def _blotch(film: F32) -> None:
    cv2.ellipse(film[15], (80, 50), (70, 45), 20, 0, 360, 250.0, -1)


def _other_frame(film: F32) -> None:
    film[15:17] = shot(8, 2)


def _scratches(film: F32) -> None:
    film[:, :, 30::37] = 240


def _weave(film: F32) -> None:
    for i, (x, y) in enumerate(np.random.default_rng(4).integers(-3, 4, (len(film), 2))):
        film[i] = np.roll(film[i], (int(y), int(x)), (0, 1))


def _repeated(film: F32) -> None:
    film[:] = film[np.arange(len(film)) // 3 * 3]


def _fades_in_and_out(film: F32) -> None:
    gain = np.minimum(np.arange(len(film)), np.arange(len(film))[::-1])
    film *= np.minimum(1.0, gain / 12.0)[:, None, None]


@pytest.mark.parametrize(
    "spoil",
    [
        _flash, _white_frame, _black_frames, _lamp, _flicker, _blotch, _other_frame, _scratches,
        _weave, _repeated, _fades_in_and_out,
    ],
)  # fmt: skip
def test_what_happens_inside_a_shot_is_no_boundary(spoil: Callable[[F32], None]) -> None:
    film = shot(1, 36, 2.0)
    spoil(film)
    assert boundaries(film) == ()


@pytest.mark.parametrize("speed", [0.0, 6.0, 14.0])
def test_camera_moves_are_no_boundary(speed: float) -> None:
    assert boundaries(shot(1, 30, speed)) == ()


@pytest.mark.parametrize("level", [0.0, 255.0])
def test_a_fade_is_a_boundary_where_the_next_picture_comes(level: float) -> None:
    between = np.full((5, HEIGHT, WIDTH), level, np.float32)
    film = np.concatenate([shot(1, 40), between, shot(2, 40)])
    gain = np.interp(np.arange(85), [28, 40, 44, 56], [1, 0, 0, 1])[:, None, None]
    (found,) = boundaries(np.asarray(film * gain + level * (1 - gain), np.float32))
    assert found.kind == "fade"
    assert 44 <= found.frame <= 47


def test_black_that_lasts_is_a_shot() -> None:
    film = np.concatenate([shot(1, 20), np.zeros((15, HEIGHT, WIDTH), np.float32), shot(2, 20)])
    assert frames_of(boundaries(film)) == [20, 35]


@pytest.mark.parametrize("length", [4, 8, 16])
def test_a_dissolve_is_a_boundary_inside_it(length: int) -> None:
    a, b = shot(1, 40, 0.2), shot(2, 40, 0.2)
    share = (np.arange(1, length + 1) / (length + 1))[:, None, None].astype(np.float32)
    mixed = np.asarray(a[-length:] * (1 - share) + b[:length] * share, np.float32)
    (found,) = boundaries(np.concatenate([a[:-length], mixed, b[length:]]))
    assert found.kind == "dissolve"
    assert 40 - length <= found.frame <= 40


def test_one_blended_frame_does_not_hide_a_cut() -> None:
    a, b = shot(1, 20, 0.5), shot(2, 20, 0.5)
    blended = np.asarray((a[-1:] + b[:1]) / 2, np.float32)
    (found,) = boundaries(np.concatenate([a, blended, b]))
    assert (found.frame in (20, 21), found.kind) == (True, "cut")


def test_shots_tile_the_film() -> None:
    detector = ShotDetector()
    for frame, luma in enumerate(with_grain(np.concatenate([shot(1, 8), shot(2, 9)]))):
        detector.watch(frame, luma)
    detector.finish()
    assert detector.shots() == (FrameSpan(0, 8), FrameSpan(8, 17))


def test_a_film_without_a_picture_is_one_shot() -> None:
    assert boundaries(np.zeros((30, HEIGHT, WIDTH), np.float32)) == ()


def test_frames_come_in_order() -> None:
    detector = ShotDetector()
    with pytest.raises(ValueError, match="frame 1 came where 0 was due"):
        detector.watch(1, np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (7, 5), (720, 1280)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    detector = ShotDetector()
    rng = np.random.default_rng(0)
    for frame in range(12):
        detector.watch(frame, rng.integers(0, 255, size, np.uint8))
    detector.finish()
    assert detector.shots()[-1].end == 12


def test_it_is_a_detector_of_pyscenedetect() -> None:
    detector = LumaDetector()
    film = with_grain(np.concatenate([shot(1, 15), shot(2, 15), shot(3, 4)]))
    cuts: list[FrameTimecode] = []
    for frame, luma in enumerate(film):
        cuts += detector.process_frame(FrameTimecode(frame, 25.0), np.dstack([luma] * 3))
    cuts += detector.post_process(FrameTimecode(len(film) - 1, 25.0))
    assert [cut.frame_num for cut in cuts] == [15, 30]


@pytest.mark.footage
@pytest.mark.parametrize(
    "name", ["cuts/mdn_tears-of-steel-battle.webm", "bw/remaster_a-bomb_blast.mp4"]
)
def test_the_cuts_of_real_films_are_found(footage: Path, name: str) -> None:
    truth = json.loads((footage / "cuts_gt.json").read_text())[Path(name).name]["cuts"]
    detector = ShotDetector()
    scan(str(footage / name), watch=detector.watch)
    result = score(truth, frames_of(detector.finish()))
    assert 2 * result.found / (2 * result.found + result.missed + result.false) >= 0.95, result


@pytest.mark.footage
def test_real_films_of_one_shot_have_one_shot_and_their_joins_are_found(footage: Path) -> None:
    films = [same_size(read_grey(path)) for path in single_shots(footage)]
    assert len(films) >= 11
    for film in films:
        assert boundaries(film.astype(np.float32)) == ()
    total = Score()
    for film, cuts in made_films(films, 6, seed=1):
        total += score(cuts, frames_of(boundaries(film.astype(np.float32))))
    assert 2 * total.found / (2 * total.found + total.missed + total.false) >= 0.93, total
