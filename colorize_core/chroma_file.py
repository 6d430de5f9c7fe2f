"""How the colours of some frames are stored: a ZIP of 16-bit PNGs, one a frame, each with its CRC.

PNG channels are a*, b* and confidence. One step of a* or b* is 1/32, an eighth of a step of 10-bit
chroma, so that storing loses nothing that a master could show.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import cv2
import numpy as np

from colorize_core.engines.contract import Chroma
from colorize_core.errors import ObjectDamaged

_STEPS = 32.0  # per unit of a* or b*
_OFFSET = 128.0  # a* and b* lie in [-128, 128)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # same colours, same bytes


def encode_chroma(colours: Sequence[Chroma]) -> bytes:
    """The bytes that hold `colours`, in order. Same colours, same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for i, chroma in enumerate(colours):
            planes = np.empty((*chroma.confidence.shape, 3), np.uint16)
            scaled = (chroma.ab + _OFFSET) * _STEPS
            planes[..., :2] = np.rint(np.clip(scaled, 0, 2 * _OFFSET * _STEPS - 1))
            planes[..., 2] = np.rint(np.clip(chroma.confidence, 0, 1) * 255)
            _, png = cv2.imencode(".png", planes, (cv2.IMWRITE_PNG_COMPRESSION, 1))
            archive.writestr(zipfile.ZipInfo(f"{i:05d}.png", _EPOCH), png.tobytes())
    return out.getvalue()


def decode_chroma(data: bytes, name: str) -> list[Chroma]:
    """The colours in `data`, which is the content of the object `name`.

    Raises:
        ObjectDamaged: the bytes are not what `encode_chroma` wrote.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [_decode(archive.read(entry)) for entry in sorted(archive.namelist())]
    except (zipfile.BadZipFile, ValueError, cv2.error) as error:
        raise ObjectDamaged(
            f"The stored colours {name} are damaged.",
            "Run the same command again: they are remade.",
        ) from error


def _decode(png: bytes) -> Chroma:
    planes = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[2] != 3:
        raise ValueError("not a chroma picture")
    ab = planes[..., :2].astype(np.float32) / np.float32(_STEPS) - np.float32(_OFFSET)
    return Chroma(ab, planes[..., 2].astype(np.float32) / np.float32(255))
