"""What of a Matroska header PyAV can neither say nor tell: the size at which to show the picture,
and where the file has to end.

FFmpeg's muxer takes the sample aspect ratio from a field of the stream that PyAV does not set. It
writes DisplayWidth and DisplayHeight for stereoscopic pictures too, so the header is made as if
the film were one, and those elements are then written over in place. Ids: RFC 9559, section 5.
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from math import gcd
from pathlib import Path

from av.video.stream import VideoStream

from colorize_core.errors import StorageError

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_TRACKS = b"\x16\x54\xae\x6b"
_CRC32 = b"\xbf\x84"
_STEREO_TOP_BOTTOM = b"\x53\xb8\x81\x03"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT = b"\x54\xb0", b"\x54\xba"
_HEADER_BYTES = 1 << 20  # the tracks come before anything that is large


def declared_end(head: bytes) -> int | None:
    """How many bytes a file has that begins with `head` (64 at least, where there are so many).
    None: it does not say, as recordings do not that were written to a stream."""
    end = 0
    for name in (_EBML, _SEGMENT):
        at = end + len(name)
        if head[end:at] != name or len(head) < at + 8 or not head[at]:
            return None
        first, size = _payload(head, at)
        if size == (1 << 7 * (first - at)) - 1:  # all ones: not known
            return None
        end = first + size
    return end


def reserve_display_size(stream: VideoStream) -> None:
    """Has the muxer leave room for `write_display_size`. Before the header is written."""
    stream.metadata["stereo_mode"] = "top_bottom"


def write_display_size(path: Path, width: int, height: int, sar: Fraction) -> None:
    """Says at which size to show the pictures of the file at `path`, in the room that is reserved.

    The ratio is exact: where the width at this height is no whole number, both are multiplied.

    Raises:
        StorageError: the header has no such room.
    """
    shown = width * sar
    size = shown.numerator, height * shown.denominator
    common = gcd(*size) if shown.denominator > 1 else 1
    with path.open("r+b") as file:
        header = bytearray(file.read(_HEADER_BYTES))
        _overwrite(header, size[0] // common, size[1] // common, path)
        file.seek(0)
        file.write(header)


def _overwrite(header: bytearray, width: int, height: int, path: Path) -> None:
    tracks = header.find(_TRACKS)
    start = header.find(_STEREO_TOP_BOTTOM + _DISPLAY_WIDTH, max(tracks, 0))
    if tracks < 0 or start < 0:
        raise StorageError(
            f"{path} has no room for the aspect ratio of its pixels.",
            "Please report this: the installed FFmpeg writes Matroska differently.",
        )
    height_at = start + 4 + 3 + (header[start + 6] & 0x0F)
    end = height_at + 3 + (header[height_at + 2] & 0x0F)
    # All of the room goes into the height, with leading zeros.
    across = width.to_bytes(max(1, -(-width.bit_length() // 8)), "big")
    down = height.to_bytes(end - start - 3 - len(across) - 3, "big")
    header[start:end] = _element(_DISPLAY_WIDTH, across) + _element(_DISPLAY_HEIGHT, down)
    first, length = _payload(header, tracks + len(_TRACKS))
    if header[first : first + 2] == _CRC32:
        body = memoryview(header)[first + 6 : first + length]
        header[first + 2 : first + 6] = zlib.crc32(body).to_bytes(4, "little")


def _element(name: bytes, value: bytes) -> bytes:
    return name + bytes([0x80 | len(value)]) + value


def _payload(header: bytes | bytearray, at: int) -> tuple[int, int]:
    """Where an element's payload begins, and its length, from the variable-length size at `at`."""
    octets = 9 - header[at].bit_length()
    size = int.from_bytes(header[at : at + octets], "big") & ((1 << (7 * octets)) - 1)
    return at + octets, size
