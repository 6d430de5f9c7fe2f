"""Whether a picture is damaged is what FFV1's checksums say."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from colorize_core.media.ffv1 import SliceChecksums
from tests.media_factory import write_film

CHECKED = (("level", "3"), ("slicecrc", "1"), ("g", "1"))


def packets(folder: Path, *options: tuple[str, str]) -> list[bytes]:
    film = write_film(folder / "film.mkv", options=options, frames=3)
    with av.open(str(film)) as file:
        return [bytes(packet) for packet in file.demux(video=0) if packet.size]


@pytest.mark.parametrize("slices", ["4", "16"])
def test_every_flipped_byte_is_found(tmp_path: Path, slices: str) -> None:
    first, second, _ = packets(tmp_path, *CHECKED, ("slices", slices))
    checksums = SliceChecksums()
    assert checksums.fit(first) and checksums.fit(second)
    for at in range(len(second)):
        damaged = bytearray(second)
        damaged[at] ^= 0x10
        assert not checksums.fit(bytes(damaged)), at
    assert not checksums.fit(second[:-1]) and not checksums.fit(b"") and checksums.fit(second)


def test_the_first_picture_may_be_the_damaged_one(tmp_path: Path) -> None:
    damaged = bytearray(packets(tmp_path, *CHECKED)[0])
    damaged[len(damaged) // 2] ^= 1
    assert not SliceChecksums().fit(bytes(damaged))


@pytest.mark.parametrize("options", [(), (("level", "3"), ("slicecrc", "0"))])
def test_streams_without_checksums_are_believed(
    tmp_path: Path, options: tuple[tuple[str, str], ...]
) -> None:
    checksums = SliceChecksums()
    assert all(checksums.fit(packet) for packet in packets(tmp_path, *options))
