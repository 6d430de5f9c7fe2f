"""Digests of a file's carried streams: what proves that sound and subtitles are the source's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import AttachmentStream, Stream

from colorize_core.media.container import open_media

_KINDS = ("audio", "subtitle", "attachment", "data")


@dataclass(frozen=True, slots=True)
class StreamDigest:
    """What a stream carries.

    Attributes:
        kind: audio, subtitle, attachment or data. codec: FFmpeg's name.
        sha256: over the payloads of all packets, in order.
        packets: how many.
        first_s, last_s: when the first and the last packet are presented.
    """

    kind: str
    codec: str
    sha256: str
    packets: int
    first_s: Fraction | None
    last_s: Fraction | None


def packet_digests(uri: str) -> dict[int, StreamDigest]:
    """The digest of each stream that is not moving pictures, by stream index.

    A file that breaks is digested up to there.

    Raises:
        SourceUnreadable, NotAVideo, StorageUnavailable.
    """
    with open_media(uri) as container:
        streams = [stream for stream in container.streams if stream.type in _KINDS]
        tallies = {stream.index: _Tally(stream) for stream in streams}
        _read_packets(container, streams, tallies)
        return {index: tally.digest() for index, tally in tallies.items()}


def _read_packets(
    container: InputContainer, streams: list[Stream], tallies: dict[int, _Tally]
) -> None:
    wanted = [stream for stream in streams if not isinstance(stream, AttachmentStream)]
    try:
        for packet in container.demux(wanted) if wanted else ():
            if packet.size:
                time = packet.pts if packet.pts is not None else packet.dts
                tally = tallies[packet.stream_index]
                tally.add(bytes(packet), None if time is None else time * packet.time_base)
    except FFmpegError:
        return  # the scan has said so already, and what is missing differs


def _without_adts(payload: bytes) -> bytes:
    """An AAC packet as Matroska and MP4 hold it: without the header that streams (TS) repeat."""
    if len(payload) < 7 or payload[0] != 0xFF or payload[1] & 0xF6 != 0xF0:
        return payload
    return payload[7 if payload[1] & 1 else 9 :]


class _Tally:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._packets = 0
        self._first_s: Fraction | None = None
        self._last_s: Fraction | None = None
        if isinstance(stream, AttachmentStream):
            self.add(stream.data, None)

    def add(self, payload: bytes, time_s: Fraction | None) -> None:
        if self._stream.name == "aac":
            payload = _without_adts(payload)
        self._sha256.update(payload)
        self._packets += 1
        self._last_s = time_s
        if self._packets == 1:
            self._first_s = time_s

    def digest(self) -> StreamDigest:
        context = self._stream.codec_context
        return StreamDigest(
            kind=self._stream.type,
            codec=context.name if context is not None else self._stream.type,
            sha256=self._sha256.hexdigest(),
            packets=self._packets,
            first_s=self._first_s,
            last_s=self._last_s,
        )
