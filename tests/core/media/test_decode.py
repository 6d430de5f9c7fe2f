"""Reading spans: every container gives the frames of the sequential pass, and no others."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from colorize_core import storage
from colorize_core.errors import FramesLost, SourceChanged
from colorize_core.media import decode
from colorize_core.media.color import lstar_from_luma, resolve_tags
from colorize_core.media.decode import FilmReader, SizedReader
from colorize_core.media.probe import Scan, scan
from colorize_core.timebase import FrameSpan, Timeline
from tests.media_factory import (
    B_FRAMES,
    Film,
    copy_packets,
    flip_bytes,
    luma_frames,
    truncate,
    write_film,
    write_raw_stream,
)

FRAMES = 200
H264: dict[str, Any] = {"codec": "libx264", "options": tuple(B_FRAMES.items())}
MPEG2: dict[str, Any] = {
    "codec": "mpeg2video",
    "rate": Fraction(25),
    "options": (("g", "12"), ("bf", "2")),
}


def x264(parameters: str) -> dict[str, Any]:
    return {"codec": "libx264", "options": (("preset", "ultrafast"), ("x264-params", parameters))}


OPEN_GOP = x264("open-gop=1:keyint=24:bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0")
REFRESH = x264("intra-refresh=1:keyint=24:bframes=0")
ONE_GOP = x264("keyint=1000:bframes=3:scenecut=0")
FRAGMENTED = {"container_options": (("movflags", "frag_keyframe+empty_moov"),)}
UNEVEN = {"shown_at": tuple(i * 3 // 2 for i in range(FRAMES))}

FILMS: dict[str, dict[str, Any]] = {
    "h264.mp4": {**H264, "rate": Fraction(24000, 1001)},
    "late.mp4": {**H264, "start_s": Fraction(3)},
    "uneven.mp4": {**H264, **UNEVEN},
    "fragmented.mp4": {**H264, **FRAGMENTED},
    "open_gop.mp4": OPEN_GOP,
    "one_gop.mp4": ONE_GOP,
    "refresh.mp4": REFRESH,
    "h264.mkv": {**H264, "start_s": Fraction(7), "audio": ("pcm_s16le",)},
    "h264.ts": {**H264, "audio": ("mp2",)},
    "open_gop.ts": OPEN_GOP,
    "h264.avi": H264,
    "h264.flv": H264,
    "hevc.mp4": {"codec": "libx265"},
    "hevc.ts": {"codec": "libx265"},
    "hevc10.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "mpeg1.mpg": {**MPEG2, "codec": "mpeg1video"},
    "mpeg2.mpg": {**MPEG2, "audio": ("mp2",)},
    "mpeg2.ts": MPEG2,
    "mpeg2.mxf": MPEG2,
    "mpeg4.avi": {"codec": "mpeg4", "options": (("g", "12"), ("bf", "2"))},
    "ffv1.mkv": {"pix_fmt": "gray16le", "width": 65, "height": 47},
    "ffv1.avi": {"pix_fmt": "yuv422p10le"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "full_range": True},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": (("deadline", "realtime"), ("cpu-used", "8"))},
}


def digest(luma: np.ndarray) -> str:
    return hashlib.sha256(luma.tobytes()).hexdigest()


def sequential(found: Scan) -> list[str]:
    with FilmReader(found.info, found.timeline) as reader:
        whole = FrameSpan(0, found.info.frames)
        return [digest(each.luma) for each in reader.frames(whole)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[VideoFrame]:
    """Every frame that a reader's decoder puts out: what reading costs."""
    frames: list[VideoFrame] = []

    class Counted(decode.Decoding):
        def __iter__(self) -> Iterator[VideoFrame]:
            for frame in super().__iter__():
                frames.append(frame)
                yield frame

    monkeypatch.setattr(decode, "Decoding", Counted)
    return frames


@pytest.mark.parametrize("name", FILMS)
def test_random_spans_equal_the_sequential_pass(tmp_path: Path, name: str) -> None:
    film = Film(**{"width": 64, "height": 48, "frames": FRAMES, **FILMS[name]})
    path = write_film(tmp_path / name, film)
    seen: list[str] = []
    found = scan(str(path), watch=lambda _, luma: seen.append(digest(luma)))
    assert found.info.frames == FRAMES
    truth = sequential(found)
    if found.info.depth == 8:
        assert truth == seen
    if film.codec == "ffv1":
        assert truth == [digest(luma) for luma in luma_frames(film)]
    draw = random.Random(0)
    with FilmReader(found.info, found.timeline) as reader:
        for start in [0, FRAMES - 1, *draw.sample(range(FRAMES), 14)]:
            span = FrameSpan(start, min(FRAMES, start + draw.randrange(1, 7)))
            frames = list(reader.frames(span))
            assert [each.frame for each in frames] == list(span)
            assert [each.pts for each in frames] == found.timeline.pts[list(span)].tolist()
            assert [digest(each.luma) for each in frames] == [truth[i] for i in span]


def test_elementary_stream(tmp_path: Path) -> None:
    film = Film(frames=60, **H264)
    found = scan(str(write_raw_stream(tmp_path / "film.h264", film, "h264")))
    truth = sequential(found)
    with FilmReader(found.info, found.timeline) as reader:
        for start in (50, 7, 30):
            (frame,) = reader.frames(FrameSpan(start, start + 1))
            assert digest(frame.luma) == truth[start]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_film_cut_without_encoding(tmp_path: Path, suffix: str) -> None:
    whole = write_film(tmp_path / f"whole.{suffix}", frames=120, **OPEN_GOP)
    found = scan(str(copy_packets(whole, tmp_path / f"cut.{suffix}", after_s=2.2)))
    truth = sequential(found)
    with FilmReader(found.info, found.timeline) as reader:
        for start in range(found.info.frames - 5, -1, -11):
            frames = list(reader.frames(FrameSpan(start, start + 5)))
            assert [digest(each.luma) for each in frames] == truth[start : start + 5]


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_the_readable_part_of_a_damaged_film(tmp_path: Path, harm: str) -> None:
    faststart = (("movflags", "faststart"),)
    whole = write_film(tmp_path / "whole.mp4", frames=96, **H264, container_options=faststart)
    bad = tmp_path / "bad.mp4"
    path = truncate(whole, bad, 0.6) if harm == "cut" else flip_bytes(whole, bad, 0.6, 150)
    found = scan(str(path), accept_damage=True)
    assert found.info.damage is not None
    truth = sequential(found)
    with FilmReader(found.info, found.timeline) as reader:
        last = found.info.frames - 1
        for start in (last, 10, last - 3):
            frames = list(reader.frames(FrameSpan(start, last + 1)))
            assert [digest(each.luma) for each in frames] == truth[start:]


def test_frames_are_the_callers_own(tmp_path: Path) -> None:
    film = Film(frames=3, width=97, height=63, pix_fmt="yuv444p")
    found = scan(str(write_film(tmp_path / "film.mkv", film)))
    with FilmReader(found.info, found.timeline) as reader:
        frames = list(reader.frames(FrameSpan(0, 3)))
    for frame, luma in zip(frames, luma_frames(film), strict=True):
        assert frame.luma.flags.c_contiguous and frame.luma.flags.writeable
        np.testing.assert_array_equal(frame.luma, luma)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray10le"])
def test_grey_is_the_lightness_at_working_size(tmp_path: Path, pix_fmt: str) -> None:
    film = Film(frames=4, pix_fmt=pix_fmt)
    found = scan(str(write_film(tmp_path / "film.mkv", film)))
    tags = resolve_tags(found.info)
    with FilmReader(found.info, found.timeline) as reader:
        frames = list(SizedReader(reader, 48, 32).read(FrameSpan(1, 4)))
        full = list(reader.grey(FrameSpan(1, 4), film.width, film.height))
    for small, whole, luma in zip(frames, full, list(luma_frames(film))[1:], strict=True):
        area = cv2.resize(luma, (48, 32), interpolation=cv2.INTER_AREA).astype(luma.dtype)
        np.testing.assert_array_equal(small.lstar, lstar_from_luma(area, film.depth, tags))
        np.testing.assert_array_equal(whole.lstar, lstar_from_luma(luma, film.depth, tags))
        assert small.lstar.dtype == np.float32
    assert [each.frame for each in frames] == [1, 2, 3]


# -- what reading costs ----------------------------------------------------------------------


def test_spans_that_follow_each_other_do_not_seek(
    tmp_path: Path, decoded: list[VideoFrame]
) -> None:
    found = scan(str(write_film(tmp_path / "film.mp4", frames=96, **H264)))
    with FilmReader(found.info, found.timeline) as reader:
        for start in range(0, 96, 8):
            list(reader.frames(FrameSpan(start, start + 6)))
    assert len(decoded) <= 96


def test_going_backwards_decodes_each_group_once(tmp_path: Path, decoded: list[VideoFrame]) -> None:
    found = scan(str(write_film(tmp_path / "film.mp4", frames=96, **ONE_GOP)))
    with FilmReader(found.info, found.timeline) as reader:
        small = SizedReader(reader, 48, 32)
        for start in range(88, -1, -8):
            frames = [each.frame for each in small.read(FrameSpan(start, start + 8))]
            assert frames == list(range(start, start + 8))
    assert len(decoded) <= 97


def test_kept_frames_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "KEPT_BYTES", 10 * 48 * 32)
    found = scan(str(write_film(tmp_path / "film.mp4", frames=48, **ONE_GOP)))
    with FilmReader(found.info, found.timeline) as reader:
        forwards = [each.lstar for each in reader.grey(FrameSpan(0, 48), 48, 32)]
        for start in range(44, -1, -4):
            for frame in reader.grey(FrameSpan(start, start + 4), 48, 32):
                np.testing.assert_array_equal(frame.lstar, forwards[frame.frame])


def test_a_far_frame_is_reached_by_a_seek(tmp_path: Path, decoded: list[VideoFrame]) -> None:
    found = scan(str(write_film(tmp_path / "film.ts", frames=400, width=64, height=48, **H264)))
    with FilmReader(found.info, found.timeline) as reader:
        list(reader.frames(FrameSpan(390, 391)))
    assert len(decoded) < 100


def test_iterators_may_take_turns(tmp_path: Path) -> None:
    found = scan(str(write_film(tmp_path / "film.mp4", frames=96, **H264)))
    truth = sequential(found)
    with FilmReader(found.info, found.timeline) as reader:
        late, early = reader.frames(FrameSpan(80, 90)), reader.frames(FrameSpan(5, 15))
        for offset in range(10):
            assert digest(next(late).luma) == truth[80 + offset]
            assert digest(next(early).luma) == truth[5 + offset]


# -- sources that are not what they were -----------------------------------------------------


def test_another_file_under_the_name(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv")
    found = scan(str(path))
    write_film(path, seed=1)
    with pytest.raises(SourceChanged), FilmReader(found.info, found.timeline):
        pass


def test_other_times_in_the_file(tmp_path: Path) -> None:
    found = scan(str(write_film(tmp_path / "film.mkv")))
    pts = found.timeline.pts + np.arange(24) // 12
    shifted = Timeline(pts, found.timeline.time_base, found.timeline.rate)
    with FilmReader(found.info, shifted) as reader, pytest.raises(SourceChanged):
        list(reader.frames(FrameSpan(0, 24)))


def test_a_frame_that_does_not_come(tmp_path: Path) -> None:
    found = scan(str(write_film(tmp_path / "film.mkv")))
    pts = np.append(found.timeline.pts, found.timeline.pts[-1] + 42)
    longer = Timeline(pts, found.timeline.time_base, found.timeline.rate)
    with FilmReader(found.info, longer) as reader, pytest.raises(FramesLost, match="Frame 24 "):
        list(reader.frames(FrameSpan(20, 25)))


def test_a_url(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", frames=48, **H264)
    here = scan(str(path))
    storage.replace_atomically("memory://films/read.mp4", path.read_bytes())
    there = scan("memory://films/read.mp4")
    assert sequential(there) == sequential(here)


@pytest.mark.footage
@pytest.mark.parametrize(
    "name",
    [
        "odd/c2pa_C-recorded-as-mov.mov",
        "odd/flower_bitrot.mp4",
        "odd/flower_vfr.mp4",
        "odd/mdn_flower-fragmented.mp4",
        "cuts/mdn_tears-of-steel-battle.webm",
    ],
)
def test_footage(footage: Path, name: str) -> None:
    found = scan(str(footage / name))
    draw = random.Random(0)
    with FilmReader(found.info, found.timeline) as reader:
        whole = FrameSpan(0, min(60, found.info.frames))
        truth = [digest(each.luma) for each in reader.frames(whole)]
        for start in draw.sample(range(len(whole) - 3), 4):
            frames = list(reader.frames(FrameSpan(start, start + 3)))
            assert [digest(each.luma) for each in frames] == truth[start : start + 3]
