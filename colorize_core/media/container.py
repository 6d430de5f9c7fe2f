"""From a file to decoded frames: what the scan and the reader share.

FFmpeg's own log is off (PyAV's default): what matters in it comes back as errors.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from colorize_core import storage
from colorize_core.errors import DamagedSource, NotAVideo, SourceError, SourceUnreadable
from colorize_core.media.ffv1 import SliceChecksums

# How the files of common containers begin: offset, bytes.
_SIGNS = ((4, b"ftyp"), (8, b"AVI "), (0, b"\x1aE\xdf\xa3"), (0, b"OggS"))
# FFmpeg's demuxers whose files hold a film. Its others make "films" of still pictures and plain
# text, or open what a file only names: play lists (hls, dash, concat, sdp) lead to any file or
# host.
_FILM_FORMATS = (
    "asf,av1,avi,avs2,avs3,cavsvideo,cine,dirac,dnxhd,dv,evc,flv,gxf,h261,h263,h264,hevc,ivf,lxf,"
    "m4v,matroska,mjpeg,mjpeg_2000,mov,mpeg,mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,pva,r3d,rm,vc1,"
    "vvc,wtv,yuv4mpegpipe"
)
_OPTIONS = {"format_whitelist": _FILM_FORMATS, "protocol_whitelist": "file"}


@contextmanager
def open_media(uri: str) -> Iterator[InputContainer]:
    """The media file under `uri` (path or URL), open for reading.

    Raises:
        SourceUnreadable: there is no file.
        NotAVideo: it is no film: FFmpeg does not know its format, or that of a still picture,
            sound, text or a list of other files.
        DamagedSource: it begins like a media file and cannot be opened: its index is missing.
        StorageError: the store failed or refuses; StorageUnavailable may pass.
    """
    if not storage.exists(uri):
        raise SourceUnreadable(f"There is no file at {uri}.", "Check the path or URL.")
    path = storage.local_path(uri)
    with storage.open_read(uri) as file:
        head = file.read(16)
        file.seek(0)
        try:
            # "file:" keeps FFmpeg from reading a protocol's name out of "a:b.mp4". Titles and
            # languages may be damaged, or in an encoding of their own.
            container = av.open(
                file if path is None else f"file:{path}",
                "r",
                container_options=_OPTIONS,
                metadata_errors="replace",
            )
        except FFmpegError as error:
            raise _not_opened(uri, head, error) from error
        with container:
            yield container


def _not_opened(uri: str, head: bytes, error: FFmpegError) -> SourceError:
    if any(head.startswith(sign, offset) for offset, sign in _SIGNS):
        return DamagedSource(
            f"{uri} begins like a media file, but its header or index is missing or damaged "
            f"({error.strerror}).",
            "Get a whole copy: recording or copying this one was probably cut off.",
            frame=0,
        )
    if error.errno == errno.EINVAL:  # a format that is not on the list
        return NotAVideo(
            f"{uri} is not a film, but a still picture, sound, text or a list of other files.",
            "Give a video file.",
        )
    return NotAVideo(
        f"{uri} is not a media file that FFmpeg knows ({error.strerror}).", "Give a video file."
    )


class Decoding:
    """All frames of a video stream from where the container stands, in display order, once.

    Begins at the first key frame. It ends at the end of the file, or at the first error; then
    `broken` says what is wrong. Whatever the number of decoder threads, it ends at the same frame:
    decoders hand out errors in the order of the frames.

    Args:
        container, stream: from `open_media`; the stream's decoder is used.
        every_stream: read the packets of the other streams too, for `ends`.
        cut_short: asked at the end of the file: what is missing of it, or None. Frames that are
            shown after one that may be missing are then held back.

    Attributes:
        packets: of the stream, so far.
        undecodable: of them, those before the first key frame.
        ends: for each stream index, when its last packet so far ends, in seconds.
        broken: why the iteration ended early, or None.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        every_stream: bool = False,
        cut_short: Callable[[Decoding], str | None] | None = None,
    ) -> None:
        self._container = container
        self._stream = stream
        self._every_stream = every_stream
        self._cut_short = cut_short
        self._last_dts: int | None = None
        self._tail_is_cut = False
        self.packets = 0
        self.undecodable = 0
        self.ends: dict[int, Fraction] = {}
        self.broken: str | None = None

    def __iter__(self) -> Iterator[VideoFrame]:
        decoder = self._stream.codec_context
        held: Packet | None = None
        try:
            for packet in self._packets():
                if held is not None:  # not the last one: damage inside, for the decoder to judge
                    yield from decoder.decode(held)
                held = packet if packet.is_corrupt else None
                if held is None:
                    yield from decoder.decode(packet)
                    self._last_dts = packet.dts
            bound = self._bound(held)
            for frame in decoder.decode(None):
                if bound is None or frame.pts is None or frame.pts < bound:
                    yield frame
        except FFmpegError as error:
            self.broken = f"FFmpeg cannot decode what follows ({error.strerror})"

    def _packets(self) -> Iterator[Packet]:
        started = False
        checksums = SliceChecksums() if self._stream.codec_context.name == "ffv1" else None
        for packet in self._demuxed():
            moment = packet.pts if packet.pts is not None else packet.dts
            if moment is not None:
                end = (moment + (packet.duration or 0)) * packet.time_base
                self.ends[packet.stream_index] = max(end, self.ends.get(packet.stream_index, end))
            if packet.stream_index == self._stream.index:
                self.packets += 1
                started = started or packet.is_keyframe
                if checksums is not None and not checksums.fit(bytes(packet)):
                    self.broken = f"the checksum of picture {self.packets} is wrong"
                    return
                if started:
                    yield packet
                else:
                    self.undecodable += 1

    def _demuxed(self) -> Iterator[Packet]:
        wanted = () if self._every_stream else (self._stream,)
        try:
            for packet in self._container.demux(*wanted):
                if packet.size:  # not one of the empty ones that stand for the end
                    self._tail_is_cut = packet.is_corrupt
                    yield packet
        except FFmpegError as error:
            self.broken = f"the file cannot be read further ({error.strerror})"

    def _bound(self, held: Packet | None) -> int | None:
        """The pts from which frames may be missing: no later packet is shown before its dts."""
        if held is not None:
            self.broken = "its last packet is cut off"
            return held.dts
        if self.broken is None and self._tail_is_cut:
            self.broken = "the file is cut off"
        if self.broken is None and self._cut_short is not None:
            self.broken = self._cut_short(self)
        if self.broken is None or self._last_dts is None:
            return None
        return self._last_dts + 1
