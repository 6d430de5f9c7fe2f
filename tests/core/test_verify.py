"""What `verify` proves, and what it finds."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from colorize_core.errors import InputError
from colorize_core.frame_list import list_name, read_frame_list
from colorize_core.media.encode import encode_access_copy
from colorize_core.media.join import join_master
from colorize_core.media.master import master_format
from colorize_core.media.probe import scan
from colorize_core.verify import Verification, verify_film
from tests.finished_film import Finished, finish_film, write_chunks
from tests.media_factory import Film, flip_bytes, truncate, write_film

FILM = Film(frames=12, audio=("aac", "flac"), subtitles=("one",), shown_at=(*range(11), 15))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mkv", FILM)


@pytest.fixture
def finished(source: Path) -> Finished:
    return finish_film(source, cuts=(5,))


def verify(finished: Finished, source: Path, **options: object) -> Verification:
    return verify_film(str(finished.master), str(source), **options)  # type: ignore[arg-type]


def test_a_master_is_believed(finished: Finished, source: Path) -> None:
    calls: list[tuple[int, int]] = []
    found = verify(finished, source, progress=lambda *call: calls.append(call))
    assert found.ok and found.luma_exact and found.pts_equal
    assert (found.frames_in, found.frames_out, found.first_difference) == (12, 12, None)
    assert found.streams_equal == {1: True, 2: True, 3: True}
    assert found.list_matches is None and found.notes == ()
    assert calls == [(n, 12) for n in range(1, 13)]


def test_the_list_is_written_and_checked(finished: Finished, source: Path) -> None:
    listed = Path(list_name(str(finished.master)))
    assert verify(finished, source, scanned=finished.scan, write_list=listed).ok
    rows = list(read_frame_list(str(listed)))
    assert [row.pts for row in rows] == finished.scan.timeline.pts.tolist()
    assert verify(finished, source).list_matches is True

    lines = listed.read_text().splitlines(keepends=True)
    for damaged in (
        lines[:-1],
        [*lines, lines[-1]],
        [*lines[:4], lines[4].replace(",", ",9", 1), *lines[5:]],
        [*lines[:4], lines[4][:-4] + "0000\n", *lines[5:]],
        ["frame\n", *lines[1:]],
    ):
        listed.write_text("".join(damaged))
        found = verify(finished, source)
        assert found.list_matches is False and len(found.problems) == 1


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7])
def test_a_flipped_byte_is_found(finished: Finished, source: Path, part: float) -> None:
    flip_bytes(finished.master, finished.master, part, 1)
    assert not verify(finished, source).ok


def test_a_truncated_master_is_found(finished: Finished, source: Path) -> None:
    truncate(finished.master, finished.master, 0.5)
    found = verify(finished, source)
    assert not found.ok and found.frames_out < found.frames_in == 12
    assert not found.luma_exact


def test_another_film_is_found(finished: Finished, tmp_path: Path) -> None:
    other = write_film(tmp_path / "other.mkv", FILM, seed=5)
    found = verify(finished, other)
    assert found.first_difference == 0 and not found.ok


def test_frames_at_other_times_are_found(finished: Finished, tmp_path: Path) -> None:
    other = write_film(tmp_path / "other.mkv", FILM, shown_at=(*range(10), 11, 15))
    found = verify(finished, other)
    assert not found.pts_equal and found.luma_exact
    assert any("Frame 10" in problem for problem in found.problems)


def test_lost_and_shifted_sound_are_found(finished: Finished, source: Path, tmp_path: Path) -> None:
    poorer, later = tmp_path / "poorer.mkv", tmp_path / "later.mkv"
    _copy(finished.master, poorer, leave_out=2, delay=0)
    _copy(finished.master, later, leave_out=None, delay=40)
    found = verify_film(str(poorer), str(source))
    assert found.streams_equal == {1: True, 2: False, 3: True} and not found.ok
    found = verify_film(str(later), str(source))
    assert found.streams_equal == {1: False, 2: True, 3: True} and not found.ok


def _copy(source: Path, target: Path, leave_out: int | None, delay: int) -> None:
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        writing.metadata.update(reading.metadata)
        kept = [stream for stream in reading.streams if stream.index != leave_out]
        streams = {s.index: writing.add_stream_from_template(s, opaque=True) for s in kept}
        for packet in reading.demux(kept):
            if packet.size:
                if packet.stream_index == 1 and packet.pts is not None:
                    packet.pts = packet.dts = packet.pts + delay
                packet.stream = streams[packet.stream_index]
                writing.mux(packet)


def test_lab_is_noted_not_blamed(source: Path) -> None:
    found = verify(finish_film(source, "lab"), source)
    assert found.ok and not found.luma_exact
    assert any("lab" in note for note in found.notes)


def test_access_copy_is_noted_not_blamed(finished: Finished, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    encode_access_copy(
        finished.master, copy, finished.scan.info, finished.scan.timeline, finished.form
    )
    found = verify_film(str(copy), str(source))
    assert found.ok and found.pts_equal and not found.luma_exact
    assert found.streams_equal == {1: True, 2: None, 3: None}
    assert any("h264" in note for note in found.notes)


def test_the_readable_part_of_a_damaged_source(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mkv", FILM, frames=48, shown_at=())
    source = truncate(whole, tmp_path / "film.mkv", 0.5)
    scanned = scan(str(source), accept_damage=True)
    chunks = write_chunks(tmp_path, scanned, "exact_luma")
    form = master_format(scanned.info, "exact_luma")
    master = tmp_path / "readable.mkv"
    join_master(chunks, scanned.info, scanned.timeline, form, master)
    found = verify_film(str(master), str(source))
    assert found.ok and found.luma_exact
    assert 0 < found.frames_in == found.frames_out < 48
    assert any("damaged" in note for note in found.notes)


def test_no_film_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        verify_film(str(tmp_path / "none.mkv"), str(source))


@pytest.mark.footage
@pytest.mark.parametrize("name", ["flower_vfr.mp4", "flower_2audio_subs.mkv", "flower_1frame.mp4"])
def test_real_files(footage: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.symlink_to(footage / "odd" / name)
    finished = finish_film(source, grey=True)
    found = verify(finished, source, scanned=finished.scan)
    assert found.problems == () and found.luma_exact and all(found.streams_equal.values())
    assert found.frames_in == finished.scan.info.frames
