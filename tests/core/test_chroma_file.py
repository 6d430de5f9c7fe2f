from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from colorize_core.chroma_file import decode_chroma, encode_chroma
from colorize_core.engines.contract import Chroma
from colorize_core.errors import ObjectDamaged


def _colours(count: int) -> list[Chroma]:
    draw = np.random.default_rng(1)
    return [
        Chroma(
            draw.uniform(-110, 110, (9, 13, 2)).astype(np.float32),
            draw.uniform(0, 1, (9, 13)).astype(np.float32),
        )
        for _ in range(count)
    ]


def test_round_trip_within_half_a_step() -> None:
    colours = _colours(3)
    for before, after in zip(colours, decode_chroma(encode_chroma(colours), "x"), strict=True):
        assert np.abs(before.ab - after.ab).max() <= 1 / 64
        assert np.abs(before.confidence - after.confidence).max() <= 1 / 510 + 1e-6


def test_grey_stays_exactly_grey() -> None:
    (after,) = decode_chroma(encode_chroma([Chroma.grey(4, 6)]), "x")
    assert not after.ab.any() and not after.confidence.any()


def test_same_colours_same_bytes() -> None:
    assert encode_chroma(_colours(2)) == encode_chroma(_colours(2))


def test_a_flipped_byte_is_noticed_or_changes_nothing() -> None:
    data = encode_chroma(_colours(2))
    before = decode_chroma(data, "x")
    noticed = 0
    for at in range(0, len(data), 13):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        try:
            after = decode_chroma(bytes(damaged), "x")
        except ObjectDamaged:
            noticed += 1
            continue
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(one.ab, other.ab)
            assert np.array_equal(one.confidence, other.confidence)
    assert noticed > len(data) // 13 // 2


def test_another_parquet_file_is_refused() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"height": [1]}), sink)
    with pytest.raises(ObjectDamaged):
        decode_chroma(sink.getvalue().to_pybytes(), "x")


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all"])
def test_not_chroma(data: bytes) -> None:
    with pytest.raises(ObjectDamaged):
        decode_chroma(data, "x")
