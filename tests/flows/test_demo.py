"""The demo film: what it promises to be, and that its measure measures."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from colorize_core.errors import VerificationFailed
from flows.demo import DemoFilm, before_after_sheet, make_demo_film, measure
from flows.demo_scenes import FADE_FRAMES, SCENES, SHOT_STARTS, pictures, sound


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[int, int]]) -> DemoFilm:
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    return make_demo_film(folder, progress=lambda done, total: seen.append((done, total)))


@pytest.fixture(scope="module")
def luma(demo: DemoFilm) -> np.ndarray:
    """The film's Y' at a quarter of its size, float32 ``[frames, 90, 160]``."""
    with av.open(str(demo.film)) as film:
        planes = [frame.to_ndarray()[:360] for frame in film.decode(video=0)]
    return np.stack(
        [cv2.resize(p, (160, 90), interpolation=cv2.INTER_AREA) for p in planes]
    ).astype(np.float32)


def test_the_film_is_whole_and_plain(demo: DemoFilm, seen: list[tuple[int, int]]) -> None:
    with av.open(str(demo.film)) as film:
        picture, speaker = film.streams.video[0], film.streams.audio[0]
        tags = picture.codec_context
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (tags.colorspace, tags.color_primaries, tags.color_trc, tags.color_range) == (1,) * 4
        assert (speaker.codec_context.name, picture.average_rate) == ("aac", 24)
        assert picture.time_base is not None
        pts = []
        for frame in film.decode(video=0):
            assert (frame.width, frame.height) == (640, 360)
            assert (frame.to_ndarray()[360:] == 128).all()
            pts.append(frame.pts)
        times = [ticks * picture.time_base for ticks in pts]
    assert times == [Fraction(i, 24) for i in range(demo.frames)]
    assert demo.frames >= 200
    assert demo.shots >= 5
    assert seen == [(i + 1, demo.frames) for i in range(demo.frames)]
    assert not list(demo.film.parent.glob("*.part"))


def test_its_sound_is_as_long_as_its_picture(demo: DemoFilm) -> None:
    with av.open(str(demo.film)) as film:
        blocks = [block.to_ndarray() for block in film.decode(audio=0)]
    samples = np.concatenate(blocks, axis=1)
    assert abs(samples.shape[1] - demo.frames * 2000) <= 2048  # one AAC frame at either end
    assert 0.02 < np.abs(samples).max() < 0.5


def test_cuts_are_hard_and_one_boundary_fades_through_black(luma: np.ndarray) -> None:
    change = np.abs(np.diff(luma, axis=0)).mean(axis=(1, 2))  # of frame i + 1 from frame i
    cuts = [start for start, scene in zip(SHOT_STARTS, SCENES, strict=True) if not scene.fades_in][
        1:
    ]
    inside = np.delete(change, [cut - 1 for cut in cuts])
    assert change[[cut - 1 for cut in cuts]].min() > 3 * inside.max()
    fade = next(start for start, s in zip(SHOT_STARTS, SCENES, strict=True) if s.fades_in)
    means = luma.mean(axis=(1, 2))
    assert (means[fade - 1 : fade + 1] < 18).all()
    assert (np.diff(means[fade - FADE_FRAMES : fade]) < 0).all()
    assert (np.diff(means[fade : fade + FADE_FRAMES]) > 0).all()


def test_every_shot_has_a_still_that_is_a_true_frame(demo: DemoFilm) -> None:
    assert len(demo.stills) == len(SCENES)
    assert sorted(demo.still_folder.iterdir()) == sorted(still.path for still in demo.stills)
    frames = {still.frame: still for still in demo.stills}
    with av.open(str(demo.truth)) as truth:
        for i, frame in enumerate(truth.decode(video=0)):
            if i in frames:
                still = frames[i]
                assert still.path.stem.endswith(f"@f{i}")
                stored = cv2.imread(str(still.path))
                assert stored is not None
                np.testing.assert_array_equal(stored[..., ::-1], frame.to_ndarray(format="rgb24"))
    for still, start, scene in zip(demo.stills, SHOT_STARTS, SCENES, strict=True):
        assert start + FADE_FRAMES < still.frame < start + scene.frames - FADE_FRAMES


def test_grey_is_far_from_the_truth_and_the_luma_is_near(demo: DemoFilm, luma: np.ndarray) -> None:
    assert 15 < measure(demo.film, demo.truth) < 25
    with av.open(str(demo.truth)) as truth:
        rgb = next(truth.decode(video=0)).to_ndarray(format="rgb24").astype(np.float32)
    expected = 16 + 219 / 255 * (rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32))
    small = cv2.resize(expected, (160, 90), interpolation=cv2.INTER_AREA)
    assert np.abs(luma[0] - small).mean() < 1


def test_the_content_is_the_same_every_time() -> None:
    for once, again in zip(islice(pictures(), 3), islice(pictures(), 3), strict=True):
        np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(sound(100), sound(100))


# -- the measure -----------------------------------------------------------------------------


def _clip(path: Path, frames: list[np.ndarray], source: str, stored: str) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=24)
        stream.height, stream.width = (
            frames[0].shape[-2:] if source == "yuv444p" else frames[0].shape[:2]
        )
        stream.pix_fmt = stored
        if source == "yuv444p":
            tags = stream.codec_context
            tags.colorspace, tags.color_range = 1, 1  # BT.709, limited
        for i, data in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(data, source)
            frame.pts, frame.time_base = i, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def _flat(*levels: int) -> Iterator[np.ndarray]:
    for level in levels:
        yield np.full((32, 48, 3), level, np.uint8)


def test_psnr_by_hand(tmp_path: Path) -> None:
    truth = _clip(tmp_path / "truth.mkv", list(_flat(100, 100, 7)), "rgb24", "bgr0")
    made = _clip(tmp_path / "made.mkv", list(_flat(110, 101, 7)), "rgb24", "bgr0")
    expected = (20 * np.log10(255 / 10) + 20 * np.log10(255) + 100) / 3
    assert measure(made, truth) == pytest.approx(expected, abs=1e-6)


def test_yuv_is_read_as_bt709_of_limited_range(tmp_path: Path) -> None:
    yuv = np.empty((3, 32, 48), np.uint8)
    yuv[:] = np.array([63, 102, 240], np.uint8)[:, None, None]  # pure red in BT.709
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 255
    made = _clip(tmp_path / "made.mkv", [yuv], "yuv444p", "yuv444p")
    assert measure(made, _clip(tmp_path / "truth.mkv", [red], "rgb24", "bgr0")) > 46


def test_films_of_unequal_length_are_not_compared(tmp_path: Path) -> None:
    long = _clip(tmp_path / "long.mkv", list(_flat(9, 9, 9)), "rgb24", "bgr0")
    short = _clip(tmp_path / "short.mkv", list(_flat(9, 9)), "rgb24", "bgr0")
    for made, truth in ((long, short), (short, long)):
        with pytest.raises(VerificationFailed, match="frame 2"):
            measure(made, truth)


# -- the sheet -------------------------------------------------------------------------------


def test_the_sheet_shows_grey_above_colour(demo: DemoFilm, tmp_path: Path) -> None:
    picture = tmp_path / "before-after.jpg"
    before_after_sheet(demo.film, demo.truth, picture)
    assert picture.stat().st_size < 200_000
    sheet = cv2.imread(str(picture))
    assert sheet is not None
    assert sheet.shape == (180 + 6 + 180, 5 * 320 + 4 * 6, 3)
    spread = np.ptp(sheet.astype(np.int16), axis=2)
    assert spread[:180].mean() < 3
    for tile in range(5):
        assert spread[186:, tile * 326 : tile * 326 + 320].mean() > 20


def test_a_sheet_of_frames_that_are_not_there(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "clip.mkv", list(_flat(1, 2)), "rgb24", "bgr0")
    with pytest.raises(VerificationFailed, match="no frame 5"):
        before_after_sheet(clip, clip, tmp_path / "sheet.png", [0, 5])
    assert not (tmp_path / "sheet.png").exists()
