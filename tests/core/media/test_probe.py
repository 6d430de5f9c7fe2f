"""The scan: what passes the gate, what is found out, and each refusal."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from av.stream import Disposition

from colorize_core import storage
from colorize_core.errors import (
    DamagedSource,
    EmptyVideo,
    InterlacedSource,
    NotAVideo,
    NoVideoStream,
    SourceError,
    SourceUnreadable,
    UnsupportedSource,
)
from colorize_core.media.probe import Scan, scan
from tests.media_factory import (
    B_FRAMES,
    Film,
    copy_packets,
    flip_bytes,
    luma_frames,
    truncate,
    write_film,
    write_raw_stream,
    write_sound,
)

H264: dict[str, Any] = {"codec": "libx264", "options": tuple(B_FRAMES.items())}
FASTSTART: dict[str, Any] = {"container_options": (("movflags", "faststart"),)}
FRAGMENTED: dict[str, Any] = {"container_options": (("movflags", "frag_keyframe+empty_moov"),)}
MPEG2: dict[str, Any] = {
    "codec": "mpeg2video",
    "rate": Fraction(25),
    "options": (("g", "12"), ("bf", "2")),
}


def is_sound(packet: av.Packet) -> bool:
    return packet.stream.type == "audio"


def seconds(found: Scan) -> list[Fraction]:
    return [int(pts) * found.timeline.time_base for pts in found.timeline.pts]


# -- what it finds out -----------------------------------------------------------------------


def test_facts_of_a_film(tmp_path: Path) -> None:
    film = Film(
        **H264,
        rate=Fraction(24000, 1001),
        sar=Fraction(16, 15),
        rotation=90,
        matrix=1,
        primaries=1,
        transfer=1,
        audio=("aac", "aac"),
    )
    path = write_film(tmp_path / "film.mp4", film)
    info = scan(str(path)).info
    assert info.uri == str(path)
    assert info.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.bytes == path.stat().st_size
    assert (info.width, info.height, info.frames) == (96, 64, 24)
    assert (info.codec, info.pix_fmt, info.depth, info.chroma) == ("h264", "yuv420p", 8, "420")
    assert (info.sar, info.rotation) == (Fraction(16, 15), 90)
    assert (info.tags.matrix, info.tags.primaries, info.tags.transfer, info.tags.range) == (
        1,
        1,
        1,
        1,
    )
    assert [(each.kind, each.codec) for each in info.carried] == [("audio", "aac")] * 2
    assert info.damage is None and not info.concealed and not info.counted


def test_streams_that_are_carried(tmp_path: Path) -> None:
    path = write_film(
        tmp_path / "film.mkv",
        audio=("pcm_s16le", "flac"),
        subtitles=("one", "two"),
        attachment=b"note",
    )
    kinds = [(each.kind, each.codec) for each in scan(str(path)).info.carried]
    assert kinds == [
        ("audio", "pcm_s16le"),
        ("audio", "flac"),
        ("subtitle", "srt"),
        ("attachment", "unknown"),
    ]


@pytest.mark.parametrize(
    ("pix_fmt", "depth", "chroma"),
    [
        ("gray", 8, "grey"),
        ("gray10le", 10, "grey"),
        ("gray16le", 16, "grey"),
        ("yuv420p", 8, "420"),
        ("yuv422p", 8, "422"),
        ("yuv444p", 8, "444"),
        ("yuv440p", 8, "440"),
        ("yuv411p", 8, "411"),
        ("yuv410p", 8, "410"),
        ("yuv420p10le", 10, "420"),
        ("yuv422p12le", 12, "422"),
        ("yuv444p16le", 16, "444"),
    ],
)
def test_pixel_formats(tmp_path: Path, pix_fmt: str, depth: int, chroma: str) -> None:
    film = Film(frames=2, pix_fmt=pix_fmt)
    seen: list[np.ndarray] = []
    path = write_film(tmp_path / "film.mkv", film)
    info = scan(str(path), watch=lambda _, luma: seen.append(luma.copy())).info
    assert (info.pix_fmt, info.depth, info.chroma) == (pix_fmt, depth, chroma)
    for luma, truth in zip(seen, luma_frames(film), strict=True):
        assert luma.dtype == np.uint8
        np.testing.assert_array_equal(luma, truth >> (depth - 8))


def test_watch_and_progress_hear_every_frame_in_order(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", **H264, width=97, height=63, pix_fmt="yuv444p")
    frames: list[int] = []
    steps: list[tuple[int, int]] = []

    def watch(frame: int, luma: np.ndarray) -> None:
        assert luma.shape == (63, 97) and luma.dtype == np.uint8 and not luma.flags.writeable
        frames.append(frame)

    scan(str(path), watch=watch, progress=lambda done, total: steps.append((done, total)))
    assert frames == list(range(24))
    assert steps == [(done, 24) for done in range(1, 25)]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_colour_is_noticed(tmp_path: Path, colour: bool, codec: str) -> None:
    path = write_film(tmp_path / "film.mkv", codec=codec, colour=colour)
    assert scan(str(path)).info.has_colour is colour


def test_full_range_is_read(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", full_range=True)
    assert scan(str(path)).info.tags.range == 2


# -- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_the_nominal_rate_is_exact(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    found = scan(str(write_film(tmp_path / f"film.{suffix}", **H264, rate=rate)))
    assert found.timeline.rate == rate
    assert len(found.timeline) == 24
    assert found.timeline.time_s(23) == pytest.approx(23 / rate, abs=1e-3)


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    shown_at = tuple(i * 3 // 2 for i in range(24))
    found = scan(str(write_film(tmp_path / "film.mp4", **H264, shown_at=shown_at)))
    assert seconds(found) == [Fraction(tick, 24) for tick in shown_at]
    assert found.timeline.rate == Fraction(23 * 24, shown_at[-1])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_late_start_is_kept(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"film.{suffix}", **H264, start_s=Fraction(2))
    assert seconds(scan(str(path)))[0] == 2


def test_one_frame(tmp_path: Path) -> None:
    found = scan(str(write_film(tmp_path / "film.mp4", **H264, frames=1)))
    assert (found.info.frames, found.timeline.rate) == (1, 24)


@pytest.mark.parametrize("kind", ["h264", "m4v"])
def test_elementary_streams_are_counted(tmp_path: Path, kind: Literal["h264", "m4v"]) -> None:
    codec = {"h264": "libx264", "m4v": "mpeg4"}[kind]
    film = Film(codec=codec, options=(("bf", "2"),), rate=Fraction(30000, 1001))
    found = scan(str(write_raw_stream(tmp_path / f"film.{kind}", film, kind)))
    assert found.info.counted
    if kind == "h264":  # the headers of MPEG-4 name no rate
        assert found.timeline.rate == film.rate
    step = 1 / found.timeline.rate
    assert seconds(found) == pytest.approx([i * step for i in range(24)])


def test_reordered_frames_in_avi_are_counted(tmp_path: Path) -> None:
    found = scan(str(write_film(tmp_path / "film.avi", **H264)))
    assert found.info.counted
    assert seconds(found) == [Fraction(i, 24) for i in range(24)]


def test_guessed_stamps_of_a_program_stream_are_mended(tmp_path: Path) -> None:
    """Many pictures to a pack: only some have a stamp, and FFmpeg's guesses collide."""
    film = Film(**MPEG2, width=64, height=48, frames=120, audio=("mp2",))
    found = scan(str(write_film(tmp_path / "film.mpg", film)))
    assert np.all(np.diff(found.timeline.pts) == 3600)
    assert len(found.timeline) == 120


def test_frames_at_the_same_time_are_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", frames=6, shown_at=(0, 1, 2, 2, 3, 4))
    with pytest.raises(UnsupportedSource, match="Frame 3 ") as caught:
        scan(str(path))
    assert "setpts" in caught.value.remedy


# -- healthy films that look odd -------------------------------------------------------------

OPEN_GOP = "open-gop=1:keyint=12:bframes=3:b-adapt=0:scenecut=0"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    "film",
    [
        Film(frames=48, **H264, audio=("aac",)),
        Film(frames=48, codec="libx264", options=(("x264-params", OPEN_GOP),)),
        Film(frames=48, codec="libx265"),
    ],
    ids=["h264", "open-gop", "hevc"],
)
def test_a_film_cut_without_encoding_is_healthy(tmp_path: Path, film: Film, suffix: str) -> None:
    whole = write_film(tmp_path / f"whole.{suffix}", film)
    cut = copy_packets(whole, tmp_path / f"cut.{suffix}", after_s=1.1)
    info = scan(str(cut)).info
    assert info.damage is None and 8 <= info.frames <= 36


def test_a_fragmented_film_declares_no_length(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", **H264, **FRAGMENTED)
    assert scan(str(path)).info.frames == 24


def test_sound_that_outlasts_the_pictures(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mkv", frames=48, audio=("pcm_s16le",))
    short = copy_packets(
        whole,
        tmp_path / "short.mkv",
        keep=lambda packet: is_sound(packet) or (packet.pts or 0) <= 900,
    )
    assert scan(str(short)).info.frames == 22


def test_frames_that_an_edit_list_hides_are_not_shown(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", frames=48, **H264)
    path = tmp_path / "edited.mp4"
    with (
        av.open(str(whole)) as reading,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as writing,
    ):
        stream = writing.add_stream_from_template(reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - 5 * 512, packet.dts - 5 * 512
                packet.stream = stream
                writing.mux(packet)
    found = scan(str(path))
    assert (found.info.frames, seconds(found)[0]) == (43, 0)


def test_cover_art_is_not_the_film(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", **H264)
    path = tmp_path / "cover.mp4"
    with av.open(str(whole)) as reading, av.open(str(path), "w") as writing:
        cover = writing.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        film = writing.add_stream_from_template(reading.streams.video[0])
        picture = av.VideoFrame(64, 48, "yuvj420p")
        picture.pts = 0
        writing.mux([*cover.encode(picture), *cover.encode(None)])
        for packet in reading.demux(video=0):
            if packet.dts is not None:
                packet.stream = film
                writing.mux(packet)
    info = scan(str(path)).info
    assert (info.codec, info.width, info.frames, info.carried) == ("h264", 96, 24, ())


def test_a_colon_in_the_name_is_no_protocol(tmp_path: Path) -> None:
    assert scan(str(write_film(tmp_path / "a:b.mkv", frames=2))).info.frames == 2


def test_a_url(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", **H264, audio=("aac",))
    storage.replace_atomically("memory://films/film.mp4", path.read_bytes())
    here, there = scan(str(path)), scan("memory://films/film.mp4")
    assert there.info == here.info.model_copy(update={"uri": "memory://films/film.mp4"})
    np.testing.assert_array_equal(there.timeline.pts, here.timeline.pts)


# -- refusals --------------------------------------------------------------------------------


def refused(path: Path | str, error: type[SourceError]) -> SourceError:
    with pytest.raises(error) as caught:
        scan(str(path))
    assert type(caught.value) is error
    assert caught.value.what and caught.value.remedy
    assert "\n" not in caught.value.what + caught.value.remedy
    return caught.value


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "missing.mp4", SourceUnreadable)
    refused(tmp_path, SourceUnreadable)
    refused("memory://films/missing.mp4", SourceUnreadable)


def test_not_media(tmp_path: Path) -> None:
    for name, data in (("a.mp4", b""), ("b.mp4", b"not a video\n" * 400), ("c.txt", b"text\n")):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, NotAVideo)


def test_a_still_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1, options={})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    refused(path, NotAVideo)


def test_sound_only(tmp_path: Path) -> None:
    assert "audio" in refused(write_sound(tmp_path / "sound.m4a"), NoVideoStream).what


def test_a_video_stream_without_frames(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", audio=("pcm_s16le",))
    refused(copy_packets(film, tmp_path / "empty.mkv", keep=is_sound), EmptyVideo)


def test_interlaced(tmp_path: Path) -> None:
    film = Film(**{**MPEG2, "options": (("flags", "+ildct+ilme"),)})
    for frames in (6, 60):
        path = write_film(tmp_path / f"film{frames}.mpg", film, frames=frames)
        assert "bwdif" in refused(path, InterlacedSource).remedy


def test_no_luma_plane(tmp_path: Path) -> None:
    error = refused(write_film(tmp_path / "film.mkv", pix_fmt="gbrp10le"), UnsupportedSource)
    assert "gbrp10le" in error.what and "ffmpeg" in error.remedy


def test_a_size_that_changes(tmp_path: Path) -> None:
    small = write_film(tmp_path / "small.ts", **MPEG2)
    large = write_film(tmp_path / "large.ts", **MPEG2, width=128, height=96, start_s=Fraction(1))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    assert "128×96" in refused(both, UnsupportedSource).what


def test_a_size_that_is_no_picture(tmp_path: Path) -> None:
    refused(write_film(tmp_path / "film.mkv", width=64, height=2), UnsupportedSource)


# -- damage ----------------------------------------------------------------------------------


def damaged_films(folder: Path) -> dict[str, Path]:
    fast = write_film(folder / "fast.mp4", frames=48, **H264, **FASTSTART, audio=("aac",))
    fragments = write_film(folder / "fragments.mp4", frames=48, **H264, **FRAGMENTED)
    mkv = write_film(folder / "whole.mkv", frames=48, **H264, audio=("aac",))
    ffv1 = write_film(folder / "ffv1.mkv", frames=48)
    return {
        "cut mp4": truncate(fast, folder / "cut.mp4", 0.5),
        "cut fragments": truncate(fragments, folder / "cut_fragments.mp4", 0.6),
        "cut mkv": truncate(mkv, folder / "cut.mkv", 0.5),
        "cut ffv1": truncate(ffv1, folder / "cut_ffv1.mkv", 0.5),
        "bytes of mp4": flip_bytes(fast, folder / "flipped.mp4", 0.6, 200),
        "bytes of ffv1": flip_bytes(ffv1, folder / "flipped.mkv", 0.5, 200),
    }


def test_damage_names_the_frame_or_keeps_what_can_be_read(tmp_path: Path) -> None:
    for name, path in damaged_films(tmp_path).items():
        with pytest.raises(DamagedSource) as caught:
            scan(str(path))
        frame = caught.value.frame
        assert 0 < frame < 48, name
        assert f"after {frame} frames" in caught.value.what
        kept = scan(str(path), accept_damage=True)
        assert kept.info.frames == len(kept.timeline) == frame, name
        assert kept.info.damage is not None and str(frame) in kept.info.damage
        steps = np.diff(np.array(seconds(kept), float))
        assert steps.max() < 1.5 / 24, f"{name}: a frame is missing inside the readable part"


def test_a_film_without_its_index_is_damaged(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", **H264)
    cut = truncate(whole, tmp_path / "cut.mp4", 0.5)
    for accept in (False, True):
        with pytest.raises(DamagedSource) as caught:
            scan(str(cut), accept_damage=accept)
        assert caught.value.frame == 0


ODD: dict[str, type[SourceError] | int] = {
    "c2pa_C-recorded-as-mov.mov": 310,
    "decord_corrupted.mp4": DamagedSource,
    "decord_video_90.mov": 3,
    "flower_1frame.mp4": 1,
    "flower_2audio_subs.mkv": 150,
    "flower_audio_only.m4a": NoVideoStream,
    "flower_bitrot.mp4": 150,
    "flower_interlaced_pal.mpg": InterlacedSource,
    "flower_oddsize_641x359_444.mp4": 60,
    "flower_rot90.mp4": 150,
    "flower_truncated_faststart.mp4": DamagedSource,
    "flower_vfr.mp4": 107,
    "mdn_flower-fragmented.mp4": 150,
    "not_a_video.mp4": NotAVideo,
}


@pytest.mark.footage
@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_footage(footage: Path, name: str) -> None:
    expected, path = ODD[name], footage / "odd" / name
    if isinstance(expected, int):
        assert scan(str(path)).info.frames == expected
    else:
        refused(path, expected)


@pytest.mark.footage
def test_black_and_white_footage_has_no_colour(footage: Path) -> None:
    assert not scan(str(footage / "bw" / "mdn_friday.mp4")).info.has_colour
    assert scan(str(footage / "bw" / "friday_sepia.mp4")).info.has_colour
