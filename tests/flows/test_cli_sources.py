"""Films as people have them, through the command line: each comes out whole, or is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from colorize_core.frame_list import read_frame_list
from colorize_core.media.luma import luma_form, luma_view
from tests.flows.conftest import Kinecolor, Said
from tests.media_factory import (
    B_FRAMES,
    Film,
    colour_frames,
    copy_packets,
    flip_bytes,
    luma_frames,
    truncate,
    write_film,
    write_sound,
)

pytestmark = pytest.mark.xdist_group("cli-sources")

FILM = Film(width=64, height=48, frames=12)
H264: dict[str, Any] = {"codec": "libx264", "options": tuple(B_FRAMES.items())}
LOSSLESS_H264: dict[str, Any] = {
    "codec": "libx264",
    "options": (("qp", "0"), ("preset", "ultrafast"), ("bf", "3"), ("g", "12")),
}
FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)


def still_of(folder: Path, film: Film, frame: int) -> str:
    """The true picture of a frame as people see it, and when it was taken."""
    picture = next(islice(colour_frames(film), frame, None))
    path = folder / "still.png"
    shown = np.ascontiguousarray(np.rot90(picture, film.rotation // 90))
    Image.fromarray(shown).save(path)
    return f"{path}@f{frame}"


def colorize(kinecolor: Kinecolor, source: Path, still: str, *arguments: str) -> Said:
    folder = source.parent
    return kinecolor(
        "colorize",
        source,
        *("--reference", still, "-o", folder / "out.mkv", "--work", folder / "work"),
        *("--local", "--json", *arguments),
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("odd.mkv", {"width": 71, "height": 53, "pix_fmt": "yuv444p"}),
        ("grey-odd.mkv", {"width": 71, "height": 53, "pix_fmt": "gray"}),
        ("ten-bit.mkv", {"pix_fmt": "yuv420p10le"}),
        ("grey-ten-bit.mkv", {"pix_fmt": "gray10le"}),
        ("422.mkv", {"pix_fmt": "yuv422p"}),
        ("full-range.mkv", {"pix_fmt": "yuv420p", "full_range": True, "matrix": 1}),
        ("b-frames.mp4", LOSSLESS_H264),
        ("fragmented.mp4", {**LOSSLESS_H264, "container_options": FRAGMENTED}),
        ("variable-rate.mp4", {**LOSSLESS_H264, "shown_at": (*range(6), *range(9, 20, 2))}),
        ("ntsc.mov", {**LOSSLESS_H264, "rate": Fraction(24000, 1001)}),
        ("turned.mp4", {**LOSSLESS_H264, "rotation": 90}),
        ("upside-down.mp4", {**LOSSLESS_H264, "rotation": 180}),
        ("anamorphic.mp4", {**LOSSLESS_H264, "sar": Fraction(16, 15)}),
        (
            "late.mkv",
            {"start_s": Fraction(2), "audio": ("flac", "aac"), "subtitles": ("one", "two")},
        ),
        ("late.mp4", {**LOSSLESS_H264, "start_s": Fraction(1), "audio": ("aac",)}),
        ("one-frame.mkv", {"frames": 1}),
        ("two-frames.mkv", {"frames": 2}),
    ],
)
def test_it_comes_out_whole(
    kinecolor: Kinecolor, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    film = replace(FILM, **changes)
    source = write_film(tmp_path / name, film)
    said = colorize(kinecolor, source, still_of(tmp_path, film, film.frames // 2))
    assert (said.code, said.json["status"]) == (0, "published"), said.err
    assert said.json["frames_in"] == said.json["frames_out"] == film.frames
    assert said.json["luma_exact"] and said.json["grey_shots"] == []
    out = tmp_path / "out.mkv"
    # A Matroska source has only milliseconds itself.
    same_as_the_truth(out, film, exact_times=source.suffix != ".mkv")
    verified = kinecolor("verify", out, "--against", source, "--json")
    assert verified.code == 0, verified.err
    assert verified.json["list_matches"] is True
    assert set(verified.json["streams_equal"].values()) <= {True}
    assert len(verified.json["streams_equal"]) == len(film.audio) + bool(film.subtitles)


def same_as_the_truth(out: Path, film: Film, *, exact_times: bool) -> None:
    """Luma, times, shape and turn are as the film was made, and there is colour."""
    shown_at = film.shown_at or range(film.frames)
    times = [film.start_s + at / film.rate for at in shown_at]
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.codec_context.name == "ffv1"
        assert (stream.sample_aspect_ratio or 1) == (film.sar or 1)
        assert abs(frames[0].rotation) == film.rotation
        form = luma_form(frames[0].format.name)
        assert form.depth == max(10, film.depth)
        for frame, truth, time in zip(frames, luma_frames(film), times, strict=True):
            wanted = truth.astype(np.uint16) << (form.depth - film.depth)
            np.testing.assert_array_equal(luma_view(frame, form), wanted)
            assert frame.pts is not None and frame.time_base is not None
            assert abs(frame.pts * frame.time_base - time) <= Fraction(1, 2000)
        pictures = (frame.to_ndarray(format="rgb24").astype(int) for frame in frames)
        assert max(np.ptp(picture, axis=-1).max() for picture in pictures) > 40
    if exact_times:
        listed = [row.pts * row.time_base for row in read_frame_list(f"{out}.frames.csv")]
        assert listed == times


# -- refusals --------------------------------------------------------------------------------


def no_video(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is not a video. " * 200)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def sound(folder: Path) -> Path:
    return write_sound(folder / "sound.m4a")


def no_frames(folder: Path) -> Path:
    film = write_film(folder / "film.mkv", FILM, audio=("pcm_s16le",))
    return copy_packets(film, folder / "none.mkv", keep=lambda each: each.stream.type == "audio")


def interlaced(folder: Path) -> Path:
    return write_film(
        folder / "fields.mpg",
        FILM,
        codec="mpeg2video",
        rate=Fraction(25),
        options=(("flags", "+ildct+ilme"),),
    )


def missing(folder: Path) -> Path:
    return folder / "missing.mkv"


@pytest.mark.parametrize(
    ("make", "what", "remedy"),
    [
        (no_video, "text.mp4", ""),
        (empty, "empty", ""),
        (sound, "no moving pictures: only audio", "video stream"),
        (no_frames, "without one frame", ""),
        (interlaced, "interlaced", "ffmpeg"),
        (missing, "There is no film", "path"),
    ],
)
def test_refused(kinecolor: Kinecolor, tmp_path: Path, make: Any, what: str, remedy: str) -> None:
    still = still_of(tmp_path, FILM, 3)
    said = colorize(kinecolor, make(tmp_path), still)
    assert (said.code, said.json["status"]) == (1, "error")
    assert what in said.error[0] and remedy in said.error[1]
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("way", ["truncated", "overwritten"])
def test_damage_is_refused_or_accepted_by_name(
    kinecolor: Kinecolor, tmp_path: Path, way: str
) -> None:
    film = replace(FILM, frames=36, codec="libx264", options=(("g", "6"), ("preset", "ultrafast")))
    options = {"container_options": (("movflags", "faststart"),)}
    whole = write_film(tmp_path / "whole.mp4", film, **options)
    source = tmp_path / "film.mp4"
    if way == "truncated":
        truncate(whole, source, 0.7)
    else:
        flip_bytes(whole, source, 0.7, 600)
    still = still_of(tmp_path, film, 2)
    refused = colorize(kinecolor, source, still)
    assert refused.code == 1 and "damaged: it breaks after" in refused.error[0]
    assert "--accept-damage to keep frames 0 to" in refused.error[1]
    kept = int(refused.error[0].partition("breaks after ")[2].split()[0])
    assert 0 < kept < film.frames and f"frames 0 to {kept - 1}" in refused.error[1]

    accepted = colorize(kinecolor, source, still, "--accept-damage")
    assert accepted.code == 0, accepted.err
    assert accepted.json["frames_in"] == accepted.json["frames_out"] == kept
    assert any("damage" in warning for warning in accepted.json["warnings"])
    assert kinecolor("verify", tmp_path / "out.mkv", "--against", source).code == 0

    again = colorize(kinecolor, source, still)
    assert again.code == 1 and again.error == refused.error
