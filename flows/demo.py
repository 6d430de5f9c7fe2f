"""The demo film, whose true colours are known, and how near a result comes to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from colorize_core.errors import VerificationFailed
from colorize_core.media.rgb import rgb_frames
from colorize_core.quality.psnr import psnr
from flows.demo_scenes import (
    FRAMES,
    HEIGHT,
    RATE,
    SAMPLE_RATE,
    SCENES,
    SHOT_STARTS,
    U8,
    WIDTH,
    pictures,
    sound,
)

SHEET_FRAMES = tuple(
    start + scene.frames // 4 + scene.fades_in * scene.frames // 2
    for start, scene in zip(SHOT_STARTS, SCENES, strict=True)
)  # away from fades, and from the stills, which lie in the middle
_BT709 = np.array([0.2126, 0.7152, 0.0722], np.float32)
_THREADS = 2  # x264's bytes depend on it: never the machine's number of cores
_TILE_WIDTH, _GAP = 320, 6  # pixels
_JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class DemoStill:
    """A colour still: `frame` of the film, in a file named ``<scene>@f<frame>.png``."""

    path: Path
    frame: int


@dataclass(frozen=True, slots=True)
class DemoFilm:
    """What `make_demo_film` wrote.

    Attributes:
        film: H.264 and AAC in MP4, black and white (BT.709, limited range, neutral chroma).
        truth: the same frames in true colour, RGB, FFV1 in Matroska.
        still_folder, stills: a colour still for each shot.
        frames, shots: how many.
    """

    film: Path
    truth: Path
    still_folder: Path
    stills: tuple[DemoStill, ...]
    frames: int
    shots: int


def make_demo_film(folder: Path, progress: Callable[[int, int], None] | None = None) -> DemoFilm:
    """Writes film, truth and stills into `folder` (made if need be), the same every time. Where
    all are there they are taken as they are: each appears under its name once it is whole.

    Args:
        progress: called with (frames done, frames in all).

    Raises:
        InputError: scikit-image or one of its photographs is not there.
    """
    still_folder = folder / "stills"
    still_folder.mkdir(parents=True, exist_ok=True)
    film, truth = folder / "film.mp4", folder / "truth.mkv"
    stills = tuple(_stills(still_folder))
    made = DemoFilm(film, truth, still_folder, stills, FRAMES, len(SCENES))
    if all(path.exists() for path in (film, truth, *(still.path for still in stills))):
        return made
    paths = {still.frame: still.path for still in stills}
    with _whole_file(film, "mp4") as grey, _whole_file(truth, "matroska") as colour:
        screen = _picture_stream(grey, "libx264", "yuv420p", {"preset": "fast", "crf": "16"})
        _tag_bt709(screen)
        speaker = grey.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        exact = _picture_stream(colour, "ffv1", "bgr0", {"level": "3", "slices": "4"})
        for frame, rgb in enumerate(pictures()):
            grey.mux(screen.encode(_grey(rgb, frame)))
            grey.mux(speaker.encode(_samples(frame)))
            colour.mux(exact.encode(_timed(av.VideoFrame.from_ndarray(rgb, "rgb24"), frame)))
            if frame in paths:
                _write_picture(paths[frame], rgb)
            if progress:
                progress(frame + 1, FRAMES)
        grey.mux(screen.encode(None))
        grey.mux(speaker.encode(None))
        colour.mux(exact.encode(None))
    return made


def measure(result: Path, truth: Path) -> float:
    """How near `result` comes to `truth`: PSNR in dB over R'G'B' of 8 bit (data range 255), for
    each frame, mean over the frames. A frame without any error counts as 100 dB.

    Both are films of the demo: RGB, or Y'CbCr of BT.709 and limited range. One frame of each is
    held at a time.

    Raises:
        VerificationFailed: they have not the same number of frames or the same size.
    """
    total_db, frames = 0.0, 0
    for made, true in zip_longest(rgb_frames(os.fspath(result)), rgb_frames(os.fspath(truth))):
        if made is None or true is None or made.shape != true.shape:
            raise VerificationFailed(
                f"{result.name} and {truth.name} differ in length or size at frame {frames}.",
                "Compare a whole result with the truth of the same demo film.",
            )
        total_db += psnr(made, true)
        frames += 1
    return total_db / frames


def before_after_sheet(
    grey_film: Path, result: Path, picture: Path, frames: Sequence[int] = SHEET_FRAMES
) -> None:
    """Writes one picture (PNG or JPEG, as its name says): `frames` of `grey_film` in the top row,
    the same frames of `result` below.

    Raises:
        VerificationFailed: a film ends before the last of `frames`.
    """
    rows = [_row(film, frames) for film in (grey_film, result)]
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    _write_picture(picture, np.concatenate([rows[0], gap, rows[1]]))


# -- looking ---------------------------------------------------------------------------------


def _row(film: Path, frames: Sequence[int]) -> U8:
    wanted = set(frames)
    found = {i: _tile(rgb) for i, rgb in enumerate(rgb_frames(os.fspath(film))) if i in wanted}
    if missing := wanted - found.keys():
        raise VerificationFailed(
            f"{film.name} has no frame {min(missing)}.", "Give a film that is whole."
        )
    gap = np.full((found[frames[0]].shape[0], _GAP, 3), 255, np.uint8)
    tiles = [piece for frame in frames for piece in (gap, found[frame])]
    return np.concatenate(tiles[1:], axis=1)


def _tile(rgb: U8) -> U8:
    height = round(rgb.shape[0] * _TILE_WIDTH / rgb.shape[1])
    return cv2.resize(rgb, (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


# -- writing ---------------------------------------------------------------------------------


@contextmanager
def _whole_file(path: Path, container: str) -> Iterator[OutputContainer]:
    """A media file that appears under its name once it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        with av.open(os.fspath(part), "w", container, options={"fflags": "+bitexact"}) as output:
            yield output
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _picture_stream(
    output: OutputContainer, codec: Literal["libx264", "ffv1"], pixels: str, options: dict[str, str]
) -> av.VideoStream:
    stream = output.add_stream(codec, rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
    stream.codec_context.thread_count = _THREADS
    return stream


def _tag_bt709(stream: av.VideoStream) -> None:
    tags = stream.codec_context
    tags.colorspace = tags.color_primaries = tags.color_trc = 1  # BT.709 in all of H.273's tables
    tags.color_range = ColorRange.MPEG


def _stills(folder: Path) -> Iterator[DemoStill]:
    for start, scene in zip(SHOT_STARTS, SCENES, strict=True):
        frame = start + scene.frames // 2
        yield DemoStill(folder / f"{scene.name}@f{frame}.png", frame)


def _grey(rgb: U8, frame: int) -> av.VideoFrame:
    """The frame in black and white: Y' of BT.709, limited range; Cb = Cr = 128."""
    luma = np.rint(16 + (219 / 255) * (rgb.astype(np.float32) @ _BT709)).astype(np.uint8)
    planes = np.concatenate([luma, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
    return _timed(av.VideoFrame.from_ndarray(planes, "yuv420p"), frame)


def _timed(picture: av.VideoFrame, frame: int) -> av.VideoFrame:
    picture.pts, picture.time_base = frame, Fraction(1, RATE)
    return picture


def _samples(frame: int) -> av.AudioFrame:
    samples: NDArray[np.float32] = sound(frame)
    block = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
    block.sample_rate, block.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
    block.pts = frame * samples.shape[1]
    return block


def _write_picture(path: Path, rgb: U8) -> None:
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if jpeg else []
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)
    path.write_bytes(encoded.tobytes())
