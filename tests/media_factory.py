"""Small films, made in code: deterministic pictures, any pixel format, codec and container.

`Film` says what a film is, `colour_frames` and `luma_frames` give its true pictures, `write_film`
makes a file of it. `truncate` and `flip_bytes` damage files.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Luma = NDArray[np.uint8] | NDArray[np.uint16]

# Options that make an encoder lossless or its GOPs short; tests are about structure, not quality.
B_FRAMES = {"g": "12", "bf": "3", "crf": "12", "preset": "ultrafast", "b-adapt": "0"}
X265_QUIET = "log-level=none:keyint=12:bframes=3:pools=1"


@dataclass(frozen=True)
class Film:
    """A film to be made.

    Attributes:
        width, height, frames, rate: as usual. Odd sizes work with 4:4:4 and grey.
        scenes: lengths of scenes, cut hard one to the next; () is one scene. They sum to `frames`.
        fades: at these frames (each the first of a scene) the old scene fades to black over
            `fade_length` frames before, and the new one fades in after.
        seed: other seed, other pictures.
        pix_fmt: FFmpeg's name, planar YUV or grey, 8 to 16 bit.
        full_range: luma in the full range of numbers (tagged so) instead of the limited one.
        colour: chroma planes carry the true colours; otherwise they are neutral.
        codec, options: the encoder and its private options.
        shown_at: when each frame is shown, in frame durations (variable rate); () is 0, 1, …
        start_s: when the first frame is shown.
        sar: sample aspect ratio. rotation: degrees anticlockwise, written as a display matrix.
        matrix, primaries, transfer: H.273 numbers (2: unspecified).
        audio: one encoder name for each sound track ("aac", "pcm_s16le", "flac", …).
        subtitles: texts of a SubRip track, one a second (Matroska only); () is no track.
        attachment: bytes of an attached file (Matroska only).
        container_options: of the muxer, such as ``("movflags", "frag_keyframe+empty_moov")``.
        metadata: of the container.
    """

    width: int = 96
    height: int = 64
    frames: int = 24
    rate: Fraction = Fraction(24)
    scenes: tuple[int, ...] = ()
    fades: tuple[int, ...] = ()
    fade_length: int = 8
    seed: int = 0
    pix_fmt: str = "yuv420p"
    full_range: bool = False
    colour: bool = False
    codec: str = "ffv1"
    options: tuple[tuple[str, str], ...] = ()
    shown_at: tuple[int, ...] = ()
    start_s: Fraction = Fraction(0)
    sar: Fraction | None = None
    rotation: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    audio: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()
    attachment: bytes = b""
    container_options: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def starts(self) -> tuple[int, ...]:
        """The first frame of each scene: the truth for shot detection."""
        lengths = self.scenes or (self.frames,)
        return tuple(sum(lengths[:i]) for i in range(len(lengths)))

    @property
    def depth(self) -> int:
        return av.VideoFormat(self.pix_fmt, 16, 16).components[0].bits


# -- pictures --------------------------------------------------------------------------------


def colour_picture(seed: int, time: float, width: int, height: int) -> U8:
    """A smooth texture that drifts and turns with `time` (in frames): RGB uint8 ``[H, W, 3]``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    angle, drift = 0.004 * time, rng.uniform(-0.8, 0.8, 2) * time
    cx, cy = x - width / 2, y - height / 2
    u = np.cos(angle) * cx - np.sin(angle) * cy + drift[0]
    v = np.sin(angle) * cx + np.cos(angle) * cy + drift[1]
    base = rng.uniform(70, 180, 3)
    picture = np.broadcast_to(base, (height, width, 3)).copy()
    for wavelength in (61.0, 37.0, 19.0, 9.0):
        direction, phase = rng.uniform(0, 2 * np.pi, 2)
        amplitude = rng.uniform(0.2, 1.0, 3) * wavelength * 0.55
        wave = np.sin(
            2 * np.pi / wavelength * (u * np.cos(direction) + v * np.sin(direction)) + phase
        )
        picture += wave[..., None] * amplitude
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def colour_frames(film: Film) -> Iterator[U8]:
    """The film's true pictures, RGB uint8 ``[H, W, 3]``, in order."""
    starts = film.starts
    for frame in range(film.frames):
        scene = max(i for i, start in enumerate(starts) if start <= frame)
        picture = colour_picture(
            film.seed * 1000 + scene, frame - starts[scene], film.width, film.height
        )
        gain = _fade_gain(film, frame)
        yield picture if gain == 1 else np.rint(picture * gain).astype(np.uint8)


def luma_frames(film: Film) -> Iterator[Luma]:
    """The Y' planes that `write_film` hands to the encoder: uint8 or uint16 ``[H, W]``."""
    for picture in colour_frames(film):
        yield _planes(picture, film)[0]


def _fade_gain(film: Film, frame: int) -> float:
    distances = [frame - at if frame >= at else at - 1 - frame for at in film.fades]
    nearest = min(distances, default=film.fade_length)
    return min(1.0, nearest / film.fade_length)


def _planes(picture: U8, film: Film) -> list[Luma]:
    """Y', Cb, Cr (BT.601) at the film's depth and subsampling."""
    rgb = picture.astype(np.float64) / 255
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    peak, unit = 2**film.depth - 1, 2 ** (film.depth - 8)
    luma = luma * peak if film.full_range else (16 + 219 * luma) * unit
    dtype = np.uint8 if film.depth == 8 else np.uint16
    planes = [np.rint(luma).astype(dtype)]
    form = av.VideoFormat(film.pix_fmt, film.width, film.height)
    for component in form.components[1:3]:
        size = component.width, component.height
        chroma = np.full(size[::-1], 128 * unit, dtype)
        if film.colour:
            weight, blue = (1.772, 2) if component.plane == 1 else (1.402, 0)
            grey = rgb @ np.array([0.299, 0.587, 0.114])
            gain = (peak if film.full_range else 224 * unit) / weight
            full = 128 * unit + (rgb[..., blue] - grey) * gain
            small = cv2.resize(full, size, interpolation=cv2.INTER_AREA)
            chroma = np.clip(np.rint(small), 0, peak).astype(dtype)
        planes.append(chroma)
    return planes


def _video_frame(planes: Sequence[Luma], pix_fmt: str) -> VideoFrame:
    height, width = planes[0].shape
    frame = VideoFrame(width, height, pix_fmt)
    for target, plane in zip(frame.planes, planes, strict=True):
        rows = np.zeros((target.height, target.line_size), np.uint8)
        data = np.ascontiguousarray(plane).view(np.uint8).reshape(plane.shape[0], -1)
        rows[:, : data.shape[1]] = data
        target.update(rows.tobytes())
    return frame


# -- files -----------------------------------------------------------------------------------


def write_film(path: Path, film: Film = Film(), **changes: Any) -> Path:
    """Writes `film`, with `changes` of its attributes; the suffix of `path` names the container."""
    film = replace(film, **changes)
    with av.open(str(path), "w", options=dict(film.container_options)) as container:
        container.metadata.update(dict(film.metadata))
        video = _add_video(container, film)
        sounds = [_add_sound(container, codec) for codec in film.audio]
        words = container.add_mux_stream("subrip") if film.subtitles else None
        if film.attachment:
            container.add_attachment("note.txt", "text/plain", film.attachment)
        shown_at = film.shown_at or range(film.frames)
        for number, picture in enumerate(colour_frames(film)):
            frame = _video_frame(_planes(picture, film), film.pix_fmt)
            frame.time_base = 1 / film.rate
            frame.pts = shown_at[number] + round(film.start_s * film.rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track, sound in enumerate(sounds):
            _write_sound(container, sound, track, Fraction(film.frames) / film.rate)
        for second, text in enumerate(film.subtitles):
            packet = av.Packet(text.encode())
            packet.stream, packet.time_base = cast(Any, words), Fraction(1, 1000)
            packet.pts = packet.dts = second * 1000
            packet.duration = 900
            container.mux(packet)
    return path


def _add_video(container: OutputContainer, film: Film) -> VideoStream:
    options = dict(film.options)
    if film.codec == "libx265":
        options.setdefault("x265-params", X265_QUIET)
    stream = container.add_stream(film.codec, rate=film.rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = film.width, film.height, film.pix_fmt
    context = stream.codec_context
    context.thread_count = 1
    context.time_base = 1 / film.rate
    if film.sar is not None:
        context.sample_aspect_ratio = film.sar
    context.colorspace, context.color_primaries = film.matrix, film.primaries
    context.color_trc = film.transfer
    context.color_range = 2 if film.full_range else 1
    if film.rotation:
        stream.set_display_rotation(film.rotation)
    return stream


def _add_sound(container: OutputContainer, codec: str) -> Any:
    sound: Any = container.add_stream(codec, rate=48000)
    sound.layout = "mono"
    return sound


def _write_sound(container: OutputContainer, sound: Any, track: int, seconds: Fraction) -> None:
    count = int(seconds * 48000)
    wave = np.sin(np.arange(count) * 2 * np.pi * 220 * (track + 1) / 48000) * 0.3
    resampler = av.AudioResampler(sound.format, "mono", 48000, frame_size=1024)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(sound.encode(piece))
    container.mux(sound.encode(None))


def write_sound(path: Path, seconds: int = 1, codec: str = "aac") -> Path:
    """A file with one sound track and no pictures."""
    with av.open(str(path), "w") as container:
        _write_sound(container, _add_sound(container, codec), 0, Fraction(seconds))
    return path


def write_raw_stream(path: Path, film: Film, kind: Literal["h264", "hevc", "m4v"]) -> Path:
    """The film as an elementary stream: no container, so no presentation times."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        video = _add_video(container, film)
        for number, picture in enumerate(colour_frames(film)):
            frame = _video_frame(_planes(picture, film), film.pix_fmt)
            frame.time_base, frame.pts = 1 / film.rate, number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    path.write_bytes(buffer.getvalue())
    return path


def copy_packets(
    source: Path,
    target: Path,
    after_s: float = 0,
    keep: Callable[[av.Packet], bool] = lambda packet: True,
) -> Path:
    """A copy without encoding (``-c copy``): the packets that `keep` accepts, from the key frame
    before `after_s` on, times unchanged."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        streams = {s.index: writing.add_stream_from_template(s) for s in reading.streams}
        if after_s:
            reading.seek(int(after_s * 1_000_000))
        for packet in reading.demux():
            if packet.dts is not None and keep(packet):
                packet.stream = streams[packet.stream_index]
                writing.mux(packet)
    return target


# -- damage ----------------------------------------------------------------------------------


def truncate(source: Path, target: Path, part: float) -> Path:
    """The first `part` (0 to 1) of the file's bytes, as an interrupted copy leaves it."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * part)])
    return target


def flip_bytes(source: Path, target: Path, part: float, count: int) -> Path:
    """`count` bytes inverted, from the byte at `part` (0 to 1) of the file."""
    data = bytearray(source.read_bytes())
    start = int(len(data) * part)
    data[start : start + count] = bytes(255 - byte for byte in data[start : start + count])
    target.write_bytes(bytes(data))
    return target
