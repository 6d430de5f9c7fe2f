"""Containers that were cut off, or in which bits flipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import av

from tests.bad_input.case import Case, Outcome, Place, Published, Refused, RefusedOrPublished
from tests.media_factory import Film, copy_packets, write_film

FRAMES = 12
FILM = Film(width=64, height=48, frames=FRAMES)
H264 = replace(FILM, codec="libx264", options=(("preset", "ultrafast"), ("g", "6"), ("bf", "2")))

WHOLE: dict[str, Film] = {
    "film.mkv": replace(FILM, audio=("flac",), options=(("level", "3"), ("slicecrc", "1"))),
    "index-last.mp4": H264,
    "index-first.mp4": replace(
        H264, container_options=(("movflags", "faststart"),), audio=("aac",)
    ),
    "film.mov": replace(FILM, codec="prores_ks", pix_fmt="yuv422p10le"),
    "film.avi": replace(FILM, codec="mpeg4", options=(("g", "6"),), audio=("pcm_s16le",)),
    "film.ts": H264,
    "film.mpg": replace(FILM, codec="mpeg2video", rate=Fraction(25)),
    "film.webm": replace(FILM, codec="libvpx-vp9", options=(("cpu-used", "8"),)),
}
# Nothing in them says how long they are.
_OPEN_ENDED = {"film.ts", "film.mpg"}
_INDEX_LAST = {"index-last.mp4", "film.mov", "film.avi"}
_DAMAGED = (
    r"damaged|cut off|not a media file|not a film|without one frame|no moving pictures|shown at|"
    r"changes from|no decoder|side is|pixel format|to be shown|cannot be copied"
)


def write_whole_films(folder: Path) -> None:
    for name, film in WHOLE.items():
        write_film(folder / name, film)


def _cut(name: str, part: float) -> Case:
    def make(place: Place) -> list[str]:
        data = (place.films / name).read_bytes()
        return place.colorize(place.given(name, data[: int(part * len(data))]))

    outcome: Outcome
    if name in _OPEN_ENDED:
        outcome = RefusedOrPublished(_DAMAGED, FRAMES, fewer=True)
    elif name in _INDEX_LAST and part > 0.999:  # of the index, perhaps nothing that matters
        outcome = RefusedOrPublished(_DAMAGED, FRAMES)
    else:
        outcome = Refused(_DAMAGED)
    return Case(f"{name} cut off at {part:.2%}", make, outcome)


def _flipped(name: str, where: str, seed: int) -> Case:
    def make(place: Place) -> list[str]:
        data = bytearray((place.films / name).read_bytes())
        rng = Random(f"{name} {where} {seed}")
        length = min(len(data), 600)
        start = {"header": 0, "middle": (len(data) - length) // 2, "end": len(data) - length}
        for _ in range(rng.choice((1, 3))):
            data[start[where] + rng.randrange(length)] ^= 1 << rng.randrange(8)
        return place.colorize(place.given(name, bytes(data)))

    return Case(
        f"bits flipped in the {where} of {name}, {seed}",
        make,
        RefusedOrPublished(_DAMAGED, FRAMES, fewer=True),
    )


def _damaged_frame(place: Place) -> list[str]:
    """One bit of one FFV1 picture, the seventh: its checksum tells."""
    data = bytearray((place.films / "film.mkv").read_bytes())
    with av.open(str(place.films / "film.mkv")) as film:
        packets = [bytes(each) for each in film.demux(video=0) if each.size]
    at = data.index(packets[6]) + len(packets[6]) // 2
    data[at] ^= 1
    return place.colorize(place.given("film.mkv", bytes(data)))


def _inside_a_packet(place: Place) -> list[str]:
    return place.colorize(place.given("film.ts", (place.films / "film.ts").read_bytes()[:-1]))


def _between_key_frames(place: Place) -> list[str]:
    is_first = iter((True,))
    film = copy_packets(
        place.films / "index-last.mp4",
        place.folder / "film.mkv",
        keep=lambda each: not next(is_first, False),
    )
    return place.colorize(film)


def _cases() -> Iterator[Case]:
    rng = Random(11)
    for name in WHOLE:
        for part in (0.0003, 0.04, rng.uniform(0.1, 0.5), rng.uniform(0.5, 0.95), 0.9993):
            yield _cut(name, part)
    for seed, name in enumerate(WHOLE):
        for where in ("header", "middle", "end"):
            yield _flipped(name, where, seed)


CASES = (
    *_cases(),
    Case("one bit of one FFV1 picture", _damaged_frame, Refused("breaks after 6 frames")),
    Case(
        "a TS that ends inside a packet",
        _inside_a_packet,
        Published(FRAMES - 1, "ends inside a packet"),
    ),
    Case(
        "a start between key frames",
        _between_key_frames,
        Published(6, "pictures before the first key frame"),
    ),
)
