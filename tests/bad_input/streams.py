"""Whole files whose streams are odd: sizes, rates, times, formats, and none of moving pictures."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.stream import Disposition

from tests.bad_input.case import Case, Outcome, Place, Published, Refused
from tests.bad_input.containers import FILM, FRAMES, H264
from tests.media_factory import copy_packets, write_film, write_raw_stream, write_sound

_WIDTH, _HEIGHT = b"\xb0\x82", b"\xba\x82"  # Matroska's PixelWidth and PixelHeight, two bytes each


def _made(name: str, **changes: Any) -> Callable[[Place], list[str]]:
    return lambda place: place.colorize(write_film(place.folder / name, FILM, **changes))


def _patched(whole: str, name: str, *changes: tuple[bytes, bytes]) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        data = (place.films / whole).read_bytes()
        for old, new in changes:
            assert old in data and len(old) == len(new)
            data = data.replace(old, new)
        return place.colorize(place.given(name, data))

    return make


def _declared_size(width: int, height: int) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        film = write_film(place.folder / "film.mkv", FILM, width=320, height=272)
        data = film.read_bytes()
        for name, old, new in ((_WIDTH, 320, width), (_HEIGHT, 272, height)):
            element = name + struct.pack(">H", old)
            assert data.count(element) == 1
            data = data.replace(element, name + struct.pack(">H", new))
        film.write_bytes(data)
        return place.colorize(film)

    return make


def _declared_in_mov(place: Place) -> list[str]:
    data = (place.films / "film.mov").read_bytes()
    old, new = struct.pack(">HH", FILM.width, FILM.height), struct.pack(">HH", 65535, 65535)
    assert old in data
    return place.colorize(place.given("film.mov", data.replace(old, new)))


def _joined(name: str, **changes: Any) -> Callable[[Place], list[str]]:
    """Two H.264 streams, one after the other; the second with `changes`."""

    def make(place: Place) -> list[str]:
        parts = [
            write_raw_stream(place.folder / f"{i}.h264", replace(H264, **each), "h264")
            for i, each in enumerate(({}, changes))
        ]
        return place.colorize(place.given(name, b"".join(each.read_bytes() for each in parts)))

    return make


def _retimed(name: str, times: Callable[[int], int]) -> Callable[[Place], list[str]]:
    """The film's packets in order, shown when `times` says (in its ticks of a millisecond)."""

    def make(place: Place) -> list[str]:
        whole, target = place.films / "film.mkv", place.folder / name
        options = {"avoid_negative_ts": "disabled"}
        with av.open(str(whole)) as reading, av.open(str(target), "w", options=options) as writing:
            video = writing.add_stream_from_template(reading.streams.video[0])
            packets = (each for each in reading.demux(video=0) if each.size)
            for number, packet in enumerate(packets):
                packet.stream = video
                packet.dts, packet.pts = number - 10_000, times(number)
                writing.mux(packet)
        return place.colorize(target)

    return make


def _without_times(place: Place) -> list[str]:
    return place.colorize(write_raw_stream(place.folder / "film.h264", H264, "h264"))


def _sound(place: Place) -> list[str]:
    return place.colorize(write_sound(place.folder / "sound.m4a"))


def _wave(place: Place) -> list[str]:
    return place.colorize(write_sound(place.folder / "sound.wav", codec="pcm_s16le"))


def _without(kind: str, name: str, **changes: Any) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        film = write_film(place.folder / "whole.mkv", FILM, **changes)
        kept = copy_packets(film, place.folder / name, keep=lambda each: each.stream.type != kind)
        return place.colorize(kept)

    return make


def _subtitles(place: Place) -> list[str]:
    text = "1\n00:00:00,000 --> 00:00:01,000\nWords\n"
    return place.colorize(place.given("film.srt", text))


def _cover(place: Place) -> list[str]:
    """Sound with a picture of its record."""
    target = place.folder / "song.mp4"
    with av.open(str(target), "w") as file:
        sound = cast(Any, file.add_stream("aac", rate=48000))
        sound.layout = "mono"
        cover = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
        file.mux(cover.encode(picture.reformat(format="yuvj420p")))
        for start in range(0, 48000, 1024):
            tone = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, start
            file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    return place.colorize(target)


def _two_films(place: Place) -> list[str]:
    target = place.folder / "two.mkv"
    wholes = [place.films / "film.mkv", place.films / "film.mov"]
    with av.open(str(target), "w") as writing:
        readings = [av.open(str(each)) for each in wholes]
        streams = [writing.add_stream_from_template(each.streams.video[0]) for each in readings]
        for reading, stream in zip(readings, streams, strict=True):
            for packet in reading.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    writing.mux(packet)
            reading.close()
    return place.colorize(target)


def _pictures(name: str, codec: str, pix_fmt: str, make_of: str = "rgb24") -> Callable[..., Any]:
    """A film whose pictures FFmpeg converts from RGB."""

    def make(place: Place) -> list[str]:
        target = place.folder / name
        with av.open(str(target), "w") as file:
            video = cast(Any, file.add_stream(codec, rate=24))
            video.width, video.height, video.pix_fmt = 64, 48, pix_fmt
            for number in range(FRAMES):
                rgb = np.full((48, 64, 3), number * 20, np.uint8)
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
                frame.pts = number
                file.mux(video.encode(frame))
            file.mux(video.encode(None))
        return place.colorize(target)

    return make


def _palette(place: Place) -> list[str]:
    target = place.folder / "film.avi"
    colours = np.zeros((256, 4), np.uint8)
    with av.open(str(target), "w") as file:
        video = cast(Any, file.add_stream("rawvideo", rate=24))
        video.width, video.height, video.pix_fmt = 64, 48, "pal8"
        for number in range(FRAMES):
            indices = np.full((48, 64), number, np.uint8)
            frame = av.VideoFrame.from_ndarray(cast(Any, (indices, colours)), "pal8")
            frame.pts = number
            file.mux(video.encode(frame))
    return place.colorize(target)


def _matrix(a: int, b: int, c: int, d: int) -> Callable[[Place], list[str]]:
    """An MP4 that is to be shown turned by this display matrix (16.16 fixed point)."""

    def make(place: Place) -> list[str]:
        data = bytearray((place.films / "index-last.mp4").read_bytes())
        at = data.index(b"tkhd") + 44
        assert struct.unpack_from(">5i", data, at) == (65536, 0, 0, 0, 65536)
        struct.pack_into(">5i", data, at, a, b, 0, c, d)
        return place.colorize(place.given("turned.mp4", bytes(data)))

    return make


def _case(name: str, make: Callable[[Place], list[str]], outcome: Outcome) -> Case:
    return Case(name, make, outcome)


CASES = (
    # sizes
    _case("1x1", _made("film.mkv", width=1, height=1, pix_fmt="gray"), Refused("under 16 pixels")),
    _case("2x2", _made("film.mkv", width=2, height=2), Refused("under 16 pixels")),
    _case("16x16", _made("film.mkv", width=16, height=16), Published(FRAMES)),
    _case("16384x16", _made("film.mkv", width=16384, height=16, frames=2), Published(2)),
    _case(
        "16400x16",
        _made("film.mkv", width=16400, height=16, frames=2),
        Refused("side is over 16384"),
    ),
    _case("65535x65535 declared", _declared_size(65535, 65535), Refused("damaged|no decoder")),
    _case("16000x16000 declared", _declared_size(16000, 16000), Refused("picture over")),
    _case("65535x65535 declared in a MOV", _declared_in_mov, Refused("side is over")),
    _case("0x0 declared", _declared_size(0, 0), Refused("damaged|pixel format|under 16")),
    # rates and times
    _case("a frame in 1000 s", _made("film.mkv", rate=Fraction(1, 1000)), Published(FRAMES)),
    _case(
        "a million frames a second",
        _made("film.mp4", rate=Fraction(1_000_000), codec="libx264"),
        Published(12),
    ),
    _case("no time stamps", _without_times, Published(FRAMES)),
    _case("one frame", _made("film.mkv", frames=1), Published(1)),
    _case(
        "a huge gap",
        _retimed("film.mkv", lambda n: n * 40 + (n > 5) * 10**6),
        Published(12, "missing"),
    ),
    _case("times of years", _retimed("film.nut", lambda n: n * 40 + 2**55), Published(12)),
    _case(
        "a time twice",
        _retimed("film.mkv", lambda n: (n - (n == 7)) * 40),
        Refused("shown at the same time"),
    ),
    _case(
        "backward times",
        _retimed("film.mkv", lambda n: 1000 - n * 40),
        Refused("shown at the same time"),
    ),
    _case(
        "random times",
        _retimed("film.mkv", lambda n: n * 7919 % 503),
        Refused("shown at the same time"),
    ),
    _case("negative times", _retimed("film.mkv", lambda n: n * 40 - 2000), Published(FRAMES)),
    # what changes in mid film
    _case(
        "another size in mid film", _joined("film.h264", width=96), Refused("changes from 64×48")
    ),
    _case(
        "another pixel format in mid film",
        _joined("film.h264", pix_fmt="yuv444p"),
        Refused("changes from .*420p to .*444p"),
    ),
    # other streams
    _case("sound alone", _sound, Refused("no moving pictures: only audio")),
    _case("a sound file", _wave, Refused("not a film")),
    _case(
        "subtitles alone",
        _without("video", "film.mkv", subtitles=("one", "two")),
        Refused("no moving pictures|without one frame"),
    ),
    _case("a subtitle file", _subtitles, Refused("not a film")),
    _case("a cover picture alone", _cover, Refused("no moving pictures: only .*stills")),
    _case("attached fonts", _made("film.mkv", attachment=b"font" * 999), Published(FRAMES)),
    _case(
        "no frames", _without("video", "film.mkv", audio=("flac",)), Refused("without one frame")
    ),
    _case("two films in one", _two_films, Published(FRAMES, r"Stream 1 \(video\) is left out")),
    _case(
        "an unknown codec",
        _patched("film.mkv", "film.mkv", (b"V_FFV1", b"V_XXXX")),
        Refused("no decoder"),
    ),
    _case(
        "an encrypted track",
        _patched("index-last.mp4", "film.mp4", (b"avc1\0\0", b"encv\0\0")),
        Refused("no decoder|damaged|without one frame"),
    ),
    _case(
        "data that lies elsewhere",
        _patched("film.mov", "film.mov", (b"url \0\0\0\1", b"url \0\0\0\0")),
        Published(FRAMES),
    ),
    # pictures
    _case(
        "interlaced",
        _made(
            "film.mpg", codec="mpeg2video", rate=Fraction(25), options=(("flags", "+ildct+ilme"),)
        ),
        Refused("interlaced"),
    ),
    _case(
        "turned by 45 degrees",
        _matrix(46341, 46341, -46341, 46341),
        Refused("turned by -45 degrees"),
    ),
    _case("mirrored", _matrix(-65536, 0, 0, 65536), Refused("mirrored")),
    _case("turned by 180 degrees", _matrix(-65536, 0, 0, -65536), Published(FRAMES)),
    _case("RGB", _pictures("film.mkv", "ffv1", "bgr0"), Refused("pixel format, bgr0")),
    _case("a palette", _palette, Refused("pixel format, pal8")),
    _case(
        "transparency",
        _pictures("film.mkv", "ffv1", "yuva420p"),
        Published(FRAMES, "transparency is left out"),
    ),
    _case("16-bit grey", _made("film.mkv", pix_fmt="gray16le"), Published(FRAMES)),
)
