"""Chunks, the master and access copies, read back by plain PyAV."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from colorize_core.errors import FramesLost, ObjectDamaged, ObjectMissing, SettingError
from colorize_core.media.digests import packet_digests
from colorize_core.media.encode import encode_access_copy
from colorize_core.media.join import Chunk, join_master
from colorize_core.media.master import master_format
from colorize_core.media.probe import scan
from colorize_core.timebase import FrameSpan
from tests.finished_film import Finished, decoded_planes, finish_film, write_chunks
from tests.media_factory import Film, luma_frames, write_film

# Matroska's ChromaSitingHorz 1 (left) and ChromaSitingVert 2 (half): PyAV does not read them.
_SITED_LEFT = b"\x55\xb7\x81\x01\x55\xb8\x81\x02"
X264 = (("crf", "12"), ("preset", "ultrafast"), ("bf", "2"), ("g", "8"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_film(finished: Finished, film: Film) -> None:
    """Every frame's luma bit for bit, at its own time."""
    times, planes = zip(*decoded_planes(finished.master), strict=True)
    lumas = list(luma_frames(film))
    assert len(planes) == len(lumas) == film.frames
    shift = finished.form.shift
    for (y, *chroma), luma in zip(planes, lumas, strict=True):
        assert np.array_equal(y, luma.astype(np.uint16) << shift)
        assert any(np.ptp(plane) > 8 for plane in chroma)
    shown = [
        (at + film.start_s * film.rate) / film.rate for at in film.shown_at or range(film.frames)
    ]
    assert max(abs(at - float(wanted)) for at, wanted in zip(times, shown, strict=True)) <= 0.0005


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p12le",
     "gray10le", "yuv444p16le", "yuv410p", "yuv411p", "yuv440p"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(96, 64), (97, 61)])
def test_luma_survives_the_master(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    film = Film(
        width=size[0], height=size[1], frames=4, pix_fmt=pix_fmt, rate=Fraction(30000, 1001)
    )
    finished = finish_film(write_film(tmp_path / "film.mkv", film), cuts=(1, 3))
    assert_film(finished, film)
    assert finished.notes == ()


def test_full_range_variable_rate_and_late_start(tmp_path: Path) -> None:
    film = Film(
        frames=6,
        full_range=True,
        shown_at=(0, 1, 4, 5, 11, 12),
        start_s=Fraction(1, 2),
        audio=("aac",),
    )
    finished = finish_film(write_film(tmp_path / "film.mkv", film))
    assert_film(finished, film)
    with av.open(str(finished.master)) as container:
        assert container.streams.video[0].codec_context.color_range == 2
        assert container.streams.video[0].start_time == 500
        assert container.streams.audio[0].start_time == 0


def test_tags_rotation_and_depth_are_written(tmp_path: Path) -> None:
    film = Film(frames=2, matrix=1, primaries=5, rotation=90, codec="libx264", options=X264)
    finished = finish_film(write_film(tmp_path / "film.mp4", film))
    with av.open(str(finished.master)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 5, 1)
        assert (context.color_range, context.pix_fmt) == (1, "yuv420p10le")
        assert next(container.decode(video=0)).rotation == 90
    assert _SITED_LEFT in finished.master.read_bytes()[:4096]


@pytest.mark.parametrize(
    "sar", [Fraction(16, 15), Fraction(64, 45), Fraction(8, 9), Fraction(4, 3)]
)
@pytest.mark.parametrize("width", [120, 98, 640])
def test_sample_aspect_ratio_is_exact(tmp_path: Path, sar: Fraction, width: int) -> None:
    film = Film(width=width, frames=2, sar=sar, codec="libx264", options=X264, rotation=180)
    finished = finish_film(write_film(tmp_path / "film.mp4", film))
    copy = tmp_path / "copy.mp4"
    encode_access_copy(
        finished.master, copy, finished.scan.info, finished.scan.timeline, finished.form
    )
    for path in (finished.master, copy):
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == sar
            assert abs(next(container.decode(video=0)).rotation) == 180


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", frames=6, audio=("flac",), subtitles=("one",))
    first = finish_film(source, cuts=(3,))
    chunks = [sha256(Path(chunk.uri)) for chunk in first.chunks]
    second = finish_film(source, cuts=(3,), name="again.mkv")
    assert [sha256(Path(chunk.uri)) for chunk in second.chunks] == chunks
    assert sha256(first.master) == sha256(second.master)


def test_everything_else_is_carried(tmp_path: Path) -> None:
    made = write_film(
        tmp_path / "made.mkv", frames=48, audio=("aac", "flac"), subtitles=("one", "two"),
        attachment=b"letter", metadata=(("title", "A film"),),
    )  # fmt: skip
    source = _with_languages_and_chapters(made, tmp_path / "film.mkv")
    finished = finish_film(source, cuts=(20,))
    assert finished.notes == ()
    assert list(packet_digests(str(source)).values()) == list(
        packet_digests(str(finished.master)).values()
    )
    with av.open(str(finished.master)) as container:
        assert container.metadata["title"] == "A film"
        assert [stream.language for stream in container.streams.audio] == ["deu", "jpn"]
        assert [int(s.disposition) & 1 for s in container.streams.audio] == [0, 1]
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["I", "II"]


def _with_languages_and_chapters(source: Path, target: Path) -> Path:
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        streams = {s.index: writing.add_stream_from_template(s) for s in reading.streams}
        for stream, language in zip(writing.streams.audio, ("deu", "jpn"), strict=True):
            stream.metadata["language"] = language
        writing.streams.audio[1].disposition = Disposition.default
        writing.metadata.update(reading.metadata)
        writing.set_chapters([_chapter(0, 0, 1000, "I"), _chapter(1, 1000, 2000, "II")])
        for packet in reading.demux([s for s in reading.streams if s.type != "attachment"]):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                writing.mux(packet)
    return target


def _chapter(number: int, start: int, end: int, title: str) -> Any:
    return {
        "id": number, "start": start, "end": end, "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }  # fmt: skip


def test_primed_sound_keeps_its_negative_time(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mp4", codec="libx264", options=X264, audio=("aac",))
    master = finish_film(source).master
    (sound,) = packet_digests(str(master)).values()
    (original,) = packet_digests(str(source)).values()
    assert original.first_s is not None and original.first_s < 0
    assert sound.first_s is not None and abs(sound.first_s - original.first_s) < Fraction(1, 1000)
    assert sound.sha256 == original.sha256


def test_what_matroska_cannot_hold_is_noted(tmp_path: Path) -> None:
    made = write_film(tmp_path / "made.mp4", codec="libx264", options=X264)
    source = tmp_path / "film.mp4"
    with av.open(str(made)) as reading, av.open(str(source), "w") as writing:
        video = writing.add_stream_from_template(reading.streams.video[0])
        text = writing.add_mux_stream("mov_text")
        packet = av.Packet(b"\0\2Hi")
        packet.stream, packet.pts, packet.dts, packet.duration = text, 0, 0, 1000
        packet.time_base = Fraction(1, 1000)
        for each in reading.demux(video=0):
            if each.size:
                each.stream = video
                writing.mux(each)
        writing.mux(packet)
    (note,) = finish_film(source).notes
    assert "subtitles" in note and "left out" in note


def _joined(tmp_path: Path, chunks: list[Chunk], source: Path) -> None:
    scanned = scan(str(source))
    form = master_format(scanned.info, "exact_luma")
    join_master(chunks, scanned.info, scanned.timeline, form, tmp_path / "joined.mkv")


def test_lost_doubled_and_foreign_frames_are_refused(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", frames=6)
    first, second = write_chunks(tmp_path, scan(str(source)), "exact_luma", cuts=(3,))
    wrong: list[tuple[list[Chunk], type[Exception]]] = [
        ([first], FramesLost),
        ([first, second, second], FramesLost),
        ([first, Chunk(first.uri, second.span)], FramesLost),
        ([Chunk(first.uri, FrameSpan(0, 2)), Chunk(second.uri, FrameSpan(2, 6))], FramesLost),
        ([first, Chunk(str(tmp_path / "none.mkv"), second.span)], ObjectMissing),
        ([first, Chunk(str(_text(tmp_path)), second.span)], ObjectDamaged),
    ]
    whole = {path: path.read_bytes() for path in tmp_path.glob("chunk-*")}
    for chunks, error in wrong:
        for path, data in whole.items():  # one that is refused is removed, to be made anew
            path.write_bytes(data)
        with pytest.raises(error):
            _joined(tmp_path, chunks, source)
    assert not Path(wrong[-1][0][1].uri).exists()


def _text(folder: Path) -> Path:
    path = folder / "text.mkv"
    path.write_text("this is no chunk")
    return path


def test_chunk_of_another_film_is_refused(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", frames=6)
    first, _ = write_chunks(tmp_path, scan(str(source)), "exact_luma", cuts=(3,))
    (tmp_path / "other").mkdir()
    other = write_film(tmp_path / "other" / "film.mkv", frames=6, width=80)
    _, foreign = write_chunks(other.parent, scan(str(other)), "exact_luma", cuts=(3,))
    with pytest.raises(ObjectDamaged):
        _joined(tmp_path, [first, foreign], source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_access_copy(tmp_path: Path, suffix: str) -> None:
    film = Film(frames=12, start_s=Fraction(1, 2), audio=("aac", "flac"), shown_at=(*range(11), 20))
    source = write_film(tmp_path / "film.mkv", film)
    finished = finish_film(source)
    copy = tmp_path / f"copy{suffix}"
    calls: list[tuple[int, int]] = []
    notes = encode_access_copy(
        finished.master, copy, finished.scan.info, finished.scan.timeline, finished.form,
        lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls == [(n, 12) for n in range(1, 13)]
    assert [note for note in notes if "flac" in note] == [] if suffix == ".mkv" else notes
    times, planes = zip(*decoded_planes(copy), strict=True)
    pts, tick = finished.scan.timeline.pts, finished.scan.timeline.time_base
    assert [round(time, 3) for time in times] == [round(float(p * tick), 3) for p in pts.tolist()]
    for (y, *_), luma in zip(planes, luma_frames(film), strict=True):
        assert np.abs(y.astype(int) - luma).mean() < 2
    with av.open(str(copy)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert len(container.streams.audio) == 2


def test_access_copy_of_an_odd_size_keeps_it(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mkv", frames=2, width=97, height=61, pix_fmt="yuv444p")
    finished = finish_film(source)
    copy = tmp_path / "copy.mp4"
    notes = encode_access_copy(
        finished.master, copy, finished.scan.info, finished.scan.timeline, finished.form
    )
    assert any("97×61" in note for note in notes)
    assert [planes[0].shape for _, planes in decoded_planes(copy)] == [(61, 97)] * 2


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    finished = finish_film(write_film(tmp_path / "film.mkv", frames=2))
    with pytest.raises(SettingError):
        encode_access_copy(
            finished.master, tmp_path / "copy.avi", finished.scan.info, finished.scan.timeline,
            finished.form,
        )  # fmt: skip
