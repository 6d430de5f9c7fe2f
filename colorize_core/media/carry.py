"""The streams that go along with the picture as they are: sound, subtitles, attachments, data."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from colorize_core.errors import DamagedSource, UnsupportedSource
from colorize_core.media.output import decoding_time_s
from colorize_core.media.source import CarriedStream, SourceInfo

# Written anew for each file: what the muxer says of itself, and a container's own bookkeeping.
_NOT_CARRIED = {"encoder", "duration", "major_brand", "minor_version", "compatible_brands"}
_STATISTICS = ("_statistics", "bps", "number_of_frames", "number_of_bytes")


class Carried:
    """Copies packets of the source's other streams into a file that is being written.

    Attributes:
        notes: one line for each stream that is not in the file as it was, and for damage.
    """

    def __init__(
        self,
        source: InputContainer,
        target: OutputContainer,
        info: SourceInfo,
        codecs: Collection[str],
        *,
        encode_sound: bool = False,
    ) -> None:
        """`codecs`: names of those that are copied. `encode_sound`: other sound becomes AAC."""
        self._source = source
        self._info = info
        self._copied: dict[int, Stream] = {}
        self._encoded: dict[int, _SoundEncoder] = {}
        self.notes: list[str] = []
        for carried in info.carried:
            self._add(carried, target, codecs, encode_sound)

    def _add(
        self,
        carried: CarriedStream,
        target: OutputContainer,
        codecs: Collection[str],
        encode_sound: bool,
    ) -> None:
        template = self._source.streams[carried.index]
        if carried.codec in codecs or (
            carried.kind == "attachment" and target.format.name == "matroska"
        ):
            stream = target.add_stream_from_template(template, opaque=True)
            self._copied[carried.index] = stream
        elif encode_sound and isinstance(template, AudioStream) and template.codec_context:
            encoder = self._encoded[carried.index] = _SoundEncoder(template, target)
            stream = encoder.stream
            self.notes.append(f"{name_of(carried)}: {carried.codec} was encoded as AAC.")
        else:
            self.notes.append(
                f"{name_of(carried)} is left out: it cannot be in this kind of file as it is."
            )
            return
        stream.metadata.update(kept_metadata(template.metadata))
        stream.disposition = template.disposition

    def packets(self) -> Iterator[tuple[Fraction, Packet]]:
        """``(seconds, packet)`` in the order of the source, each packet on its stream in the file.

        Raises:
            DamagedSource: the source breaks, and `info.damage` did not announce it.
        """
        try:
            for packet in self._read():
                index = packet.stream_index
                if index in self._encoded:
                    yield from self._encoded[index].encode(packet)
                else:
                    packet.stream = self._copied[index]
                    yield decoding_time_s(packet), packet
            for encoder in self._encoded.values():
                yield from encoder.flush()
        except FFmpegError as error:
            if self._info.damage is None:
                raise DamagedSource(
                    f"Sound or subtitles of {self._info.uri} cannot be read to their end "
                    f"({error.strerror}).",
                    "Give --accept-damage to keep the readable part.",
                    self._info.frames,
                ) from error
            self.notes.append(
                f"Sound and subtitles end where the source breaks ({error.strerror})."
            )

    def _read(self) -> Iterator[Packet]:
        """The source's packets, each with a time."""
        streams = [self._source.streams[index] for index in (*self._copied, *self._encoded)]
        streams = [stream for stream in streams if stream.type != "attachment"]
        ends: dict[int, int] = {}
        for packet in self._source.demux(streams) if streams else ():
            if packet.size == 0:
                continue
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:  # some AVI, and after damage: right after the packet before
                time = ends.get(packet.stream_index, 0)
            packet.dts = time
            packet.pts = time if packet.pts is None else packet.pts
            ends[packet.stream_index] = time + (packet.duration or 0)
            yield packet


@contextmanager
def streams_fit(info: SourceInfo) -> Iterator[None]:
    """While a file is written with what the source carries.

    Raises:
        UnsupportedSource: the muxer takes no such stream; its description is damaged, perhaps.
    """
    try:
        yield
    except FFmpegError as error:
        if isinstance(error, OSError):  # the file's own trouble
            raise
        raise UnsupportedSource(
            f"Sound, subtitles or data of {info.uri} cannot be copied ({error.strerror}).",
            "Leave them out first: ffmpeg -i SOURCE -map 0:v -c copy pictures.mkv",
        ) from error


class _SoundEncoder:
    """One sound track, decoded and encoded as AAC: mono or stereo, 44.1 or 48 kHz."""

    def __init__(self, template: AudioStream, target: OutputContainer) -> None:
        rate = 44100 if template.rate == 44100 else 48000
        layout = "mono" if template.channels == 1 else "stereo"
        self.stream = cast(AudioStream, target.add_stream("aac", rate=rate))
        self.stream.layout = layout
        self.stream.bit_rate = 192_000
        self._template = template
        self._resampler = AudioResampler("fltp", layout, rate, frame_size=1024)

    def encode(self, packet: Packet) -> Iterator[tuple[Fraction, Packet]]:
        for frame in self._template.decode(packet):
            yield from self._packets(cast(AudioFrame, frame))

    def flush(self) -> Iterator[tuple[Fraction, Packet]]:
        for frame in self._template.decode(None):
            yield from self._packets(cast(AudioFrame, frame))
        yield from self._packets(None)
        yield from _timed(self.stream.encode(None))

    def _packets(self, frame: AudioFrame | None) -> Iterator[tuple[Fraction, Packet]]:
        for piece in self._resampler.resample(frame):
            yield from _timed(self.stream.encode(piece))


def _timed(packets: Iterable[Packet]) -> Iterator[tuple[Fraction, Packet]]:
    for packet in packets:
        yield decoding_time_s(packet), packet


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """`metadata` without what belongs to the old file alone."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in _NOT_CARRIED and not key.lower().startswith(_STATISTICS)
    }


def codecs_of(container: str) -> set[str]:
    """FFmpeg's names of the codecs that a container (its muxer's name) can hold."""
    with av.open(io.BytesIO(), "w", format=container) as file:
        return file.supported_codecs


def can_hold(container: str, carried: CarriedStream) -> bool:
    """Whether files of `container` (FFmpeg's name) can hold a stream as it is."""
    name = "matroska" if "matroska" in container else "mp4"
    if carried.kind == "attachment":
        return name == "matroska"
    return carried.codec in codecs_of(name)


def name_of(carried: CarriedStream) -> str:
    """A stream's name in a sentence."""
    kind = {"audio": "sound", "subtitle": "subtitles"}.get(carried.kind, carried.kind)
    return f"Stream {carried.index} ({kind}{f', {carried.language}' if carried.language else ''})"
