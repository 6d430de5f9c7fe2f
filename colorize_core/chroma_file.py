"""How the colours of some frames are stored: Parquet, a row a frame, each page with its checksum.

a* and b* are in steps of 1/32, an eighth of a step of 10-bit chroma, so that storing loses nothing
that a master could show. Samples are stored as differences along the row, which compress well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter

from colorize_core.engines.contract import Chroma
from colorize_core.errors import ObjectDamaged
from colorize_core.quality.figures import Quality

_STEPS = 32.0  # per unit of a* or b*
_REFERENCES = b"kinecolor.references"  # JSON: for each frame, the digests of its stills
_CHOSEN = TypeAdapter(list[tuple[str, ...]])
_QUALITY = b"kinecolor.quality"  # JSON: the figures of a segment, where it was watched
_FIGURES = TypeAdapter(Quality)
_SCHEMA = pa.schema(
    [
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        # int16 [height, width, 2] and uint8 [height, width], little-endian, differences along rows
        pa.field("ab", pa.binary(), nullable=False),
        pa.field("confidence", pa.binary(), nullable=False),
    ],
    metadata={b"kinecolor.ab_steps": b"32", b"kinecolor.confidence_steps": b"255"},
)


def encode_chroma(colours: Sequence[Chroma], quality: Quality | None = None) -> bytes:
    """The bytes that hold `colours`, in order, and their figures. Same colours, same bytes."""
    rows = [_row(chroma) for chroma in colours]
    chosen = [list(chroma.references) for chroma in colours]
    metadata = dict(_SCHEMA.metadata or {})
    if any(chosen):
        metadata[_REFERENCES] = json.dumps(chosen).encode()
    if quality is not None:
        metadata[_QUALITY] = _FIGURES.dump_json(quality)
    schema = _SCHEMA.with_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema),
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    return sink.getvalue().to_pybytes()


def decode_chroma(data: bytes, name: str) -> list[Chroma]:
    """The colours in `data`, which is the content of the object `name`.

    Raises:
        ObjectDamaged: the bytes are not what `encode_chroma` wrote.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        if not file.schema_arrow.equals(_SCHEMA):
            raise ValueError("not the columns of stored colours")
        rows = file.read(use_threads=False).to_pylist()
        if not rows:
            raise ValueError("no frames")
        chosen = _CHOSEN.validate_json((file.schema_arrow.metadata or {}).get(_REFERENCES, b"[]"))
        colours = [
            _chroma(row, references)
            for row, references in zip(rows, chosen or [()] * len(rows), strict=True)
        ]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(name) from error
    return colours


def stored_quality(data: bytes, name: str) -> Quality | None:
    """The figures in `data`, which is the content of the object `name`; None: it was not watched.

    Raises:
        ObjectDamaged: as `decode_chroma`.
    """
    try:
        metadata = pq.read_metadata(pa.BufferReader(data)).metadata or {}
        return _FIGURES.validate_json(metadata[_QUALITY]) if _QUALITY in metadata else None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(name) from error


def _damaged(name: str) -> ObjectDamaged:
    return ObjectDamaged(f"The stored colours {name} are damaged.", "Run the same command again.")


def _row(chroma: Chroma) -> dict[str, Any]:
    height, width = chroma.confidence.shape
    ab = np.rint(np.clip(chroma.ab, -128, 127) * _STEPS).astype("<i2")
    confidence = np.rint(np.clip(chroma.confidence, 0, 1) * 255).astype(np.uint8)
    return {
        "height": height,
        "width": width,
        "ab": _differences(ab).tobytes(),
        "confidence": _differences(confidence).tobytes(),
    }


def _differences(samples: NDArray[Any]) -> NDArray[Any]:
    """Each sample less its left neighbour, modulo its width in bits."""
    found = samples.copy()
    found[:, 1:] -= samples[:, :-1]
    return found


def _chroma(row: dict[str, Any], references: tuple[str, ...]) -> Chroma:
    shape = row["height"], row["width"]
    if min(shape) < 1:
        raise ValueError("no picture")
    ab = np.frombuffer(row["ab"], "<i2").reshape(*shape, 2)
    confidence = np.frombuffer(row["confidence"], np.uint8).reshape(shape)
    return Chroma(
        np.cumsum(ab, axis=1, dtype=np.int16).astype(np.float32) / np.float32(_STEPS),
        np.cumsum(confidence, axis=1, dtype=np.uint8).astype(np.float32) / np.float32(255),
        references,
    )
