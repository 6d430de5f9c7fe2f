"""The checksums of FFV1, version 3 (RFC 9043, section 4.9): FFmpeg's decoder paints over a slice
that does not fit its own, and says so in its log alone."""

from __future__ import annotations

import zlib

# Behind each slice: its size in three bytes, one of state (0: as encoded), four of parity, which
# bring the CRC-32 of the whole to 0.
_TRAILER_BYTES = 8
# zlib takes bits of a byte from the other end.
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class SliceChecksums:
    """Those of one stream, whose packets are asked about in order."""

    def __init__(self) -> None:
        self._has_some = False

    def fit(self, packet: bytes) -> bool:
        """False: the picture in `packet` is damaged. True, too, where the stream has none."""
        slices = _slices(packet)
        if not slices:
            return not self._has_some
        are_whole = all(_crc(each) == 0 for each in slices)
        self._has_some = self._has_some or are_whole
        return are_whole


def _slices(packet: bytes) -> list[bytes]:
    """The slices with their trailers, last first; none where the trailers do not fit together."""
    found = []
    end = len(packet)
    while end >= _TRAILER_BYTES:
        trailer = packet[end - _TRAILER_BYTES : end]
        start = end - _TRAILER_BYTES - int.from_bytes(trailer[:3], "big")
        if start < 0 or trailer[3]:
            return []
        found.append(packet[start:end])
        end = start
    return found if end == 0 else []


def _crc(data: bytes) -> int:
    """CRC-32 of polynomial 0x04C11DB7, highest bit first, from 0."""
    return zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
