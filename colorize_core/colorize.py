"""The front door of the work: one item in, finished objects out. Runs the same in any process."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from colorize_core import parts, same_source, storage
from colorize_core.chroma_file import decode_chroma, encode_chroma, stored_quality
from colorize_core.engines.contract import CPU, Chroma, ColourStill, Device, Facts, GreyFrame
from colorize_core.errors import (
    EngineFailed,
    FramesLost,
    KinecolorError,
    OutOfMemory,
)
from colorize_core.film import read_timeline
from colorize_core.media.decode import FilmReader, SizedReader
from colorize_core.media.encode import ChunkWriter, master_format
from colorize_core.merge import Merger
from colorize_core.quality.watch import Standard, watch
from colorize_core.references.stills import as_png, as_stored_picture, load_still
from colorize_core.room import room_for
from colorize_core.timebase import FrameSpan, Timeline
from colorize_core.work import (
    AnchorsItem,
    ChunkItem,
    FilmRef,
    Outcome,
    ReferenceItem,
    SegmentItem,
    StillRef,
    Stored,
    WorkItem,
)

_CV_NO_MEMORY = -4  # cv::Error::StsNoMem
_log = logging.getLogger(__name__)


def prepare_process(device: Device = CPU) -> None:
    """Make this process fit for `perform` on `device`: one CPU thread, whatever the cores.

    OpenCV's DIS cuts a picture into as many stripes as it has threads, and its results differ; so
    may BLAS's. Work is spread over processes instead.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1)
    parts.use(device)


def perform(item: WorkItem) -> Outcome:
    """Do one piece of work and store what it gives.

    Raises:
        KinecolorError: of the class that says what to do about it, and no other.
    """
    began = time.monotonic()
    with _failures_of(item):
        stored = _performed(item)
    seconds = time.monotonic() - began
    _log.info("made %d frames in %.2f s", sum(each.frames for each in stored), seconds)
    return Outcome(
        stored=stored,
        seconds=seconds,
        peak_memory_bytes=parts.peak_memory_bytes(item.stage),
        worker=str(os.getpid()),
        node=platform.node(),
        device=parts.device_name(item.stage),
        weights=parts.weights_record(item.stage),
    )


def _performed(item: WorkItem) -> tuple[Stored, ...]:
    match item:
        case ReferenceItem():
            return _make_reference(item)
        case AnchorsItem():
            return _colour_anchors(item)
        case SegmentItem():
            return _fill_segment(item)
        case ChunkItem():
            return _finish_chunk(item)


def _make_reference(item: ReferenceItem) -> tuple[Stored, ...]:
    info = item.film.source
    part = parts.reference_maker(item.config)
    size = part.facts.working_size(info.width, info.height, info.sar)
    with _reader(item.film) as reader:
        (grey,) = reader.grey(FrameSpan(item.frame, item.frame + 1), *size)
    # The network sees the picture as people do, upright.
    turns = info.rotation // 90
    upright = GreyFrame(item.frame, np.ascontiguousarray(np.rot90(grey.lstar, k=turns)))
    stills = [_still(ref) for ref in item.kindred]
    shown = [replace(each, lab=np.ascontiguousarray(np.rot90(each.lab, turns))) for each in stills]
    with _failures_of(item, part.facts):
        still = part.make(upright, item.prompt, item.config.seed, shown)
    data = as_png(as_stored_picture(still, info.rotation), storage.name_of(item.output))
    data = _kept(item, data, item.output)
    digest = hashlib.sha256(data).hexdigest()
    return (Stored(item.output, digest, len(data), 1, 1.0),)


def _colour_anchors(item: AnchorsItem) -> tuple[Stored, ...]:
    info = item.film.source
    part = parts.anchor_colorizer(item.config)
    size = part.facts.working_size(info.width, info.height, info.sar)
    stills = [_still(ref) for ref in item.stills]
    with _reader(item.film) as reader, _failures_of(item, part.facts):
        sized = SizedReader(reader, *size)
        uris = dict(zip(item.anchors, item.outputs, strict=True))
        colours = part.colorize(item.anchors, stills, sized, item.config.seed)
        stored = {frame: _store(item, [chroma], uris[frame]) for frame, chroma in colours}
    _check_count(len(item.anchors), len(stored), item)
    return tuple(stored[frame] for frame in item.anchors)


def _fill_segment(item: SegmentItem) -> tuple[Stored, ...]:
    info = item.film.source
    part = parts.interpolator(item.config)
    size = part.facts.working_size(info.width, info.height, info.sar)
    start, end = (_anchor(uri, size) for uri in (item.start, item.end))
    with _reader(item.film) as reader:
        greys = list(reader.grey(item.reads, *size))
    with _failures_of(item, part.facts):
        colours = part.fill(greys, start, end, item.config.seed)
    _check_count(len(item.reads), len(colours), item)
    chosen = tuple(sorted({*start.references, *end.references}))
    owned = [replace(chroma, references=chosen) for chroma in colours[: len(item.owns)]]
    shown = [_standard(still) for still in item.stills if not chosen or still.digest in chosen]
    data = encode_chroma(owned, watch(greys, colours, len(owned), shown))
    return (describe_colours(_kept(item, data, item.output), item.output),)


def _finish_chunk(item: ChunkItem) -> tuple[Stored, ...]:
    info = item.film.source
    form = master_format(info, item.config.merge)
    merger = Merger(info, item.config.merge, item.config.lab_dither)
    written = 0
    with tempfile.TemporaryDirectory() as folder, _reader(item.film) as reader:
        path = Path(folder) / "chunk.mkv"
        with room_for(path), ChunkWriter(path, form, _timeline(item.film.timeline)) as writer:
            frames = reader.frames(item.span)
            for frame, chroma in zip(frames, _colours(item), strict=True):
                writer.write(merger.finish(frame.luma, chroma), frame.pts)
                written += 1
        _check_count(len(item.span), written, item)
        size = path.stat().st_size
        digest = storage.sha256(str(path))
        _upload(item, path, item.output)
    return (Stored(item.output, digest, size, written, 1.0),)


def _colours(item: ChunkItem) -> Iterator[Chroma | None]:
    """One frame's colours after the other, one segment held at a time; None means grey."""
    for uri, frames in item.colours:
        yield from repeat(None, frames) if uri is None else decode_chroma(storage.read(uri), uri)


def _store(item: WorkItem, colours: Sequence[Chroma], uri: str) -> Stored:
    return describe_colours(_kept(item, encode_chroma(colours), uri), uri)


def _kept(item: WorkItem, data: bytes, uri: str) -> bytes:
    """What is stored under `uri` now: `data`, or what another worker, who was first, made."""
    return data if _upload(item, data, uri) else storage.read(uri)


def _upload(item: WorkItem, data: bytes | Path, uri: str) -> bool:
    """Store what was made for `item`, unless it is there, or the source is another by now."""
    same_source.check(item.film.source.uri, _stamps[item.film])
    return storage.upload_if_absent(data, uri)


def describe_colours(data: bytes, uri: str) -> Stored:
    """What is stored under `uri`, whose content is `data`: also how work is found again.

    Raises:
        ObjectDamaged: the content is not whole.
    """
    colours = decode_chroma(data, uri)
    confidence = sum(float(chroma.confidence.mean()) for chroma in colours) / len(colours)
    chosen = tuple(sorted({digest for chroma in colours for digest in chroma.references}))
    digest = hashlib.sha256(data).hexdigest()
    quality = stored_quality(data, uri)
    return Stored(uri, digest, len(data), len(colours), confidence, chosen, quality)


def _check_count(planned: int, made: int, item: WorkItem) -> None:
    if planned != made:
        raise FramesLost(
            f"{item} gave {made} frames where {planned} were planned.",
            "This is a defect of the engine part: please report it.",
        )


@contextmanager
def _failures_of(item: WorkItem, part: Facts | None = None) -> Iterator[None]:
    """Whatever is raised in the work on `item`, as an error that says what to do about it."""
    try:
        yield
    except KinecolorError:
        raise
    except Exception as error:
        who = f"Part {part.name}" if part else f"Stage {item.stage}"
        if _is_out_of_memory(error):
            raise OutOfMemory(
                f"{who} ran out of memory on {item}: {_said(error)}",
                "Use a larger machine or fewer workers (--workers), or lower the part's "
                "pixel_budget.",
            ) from error
        raise EngineFailed(
            f"{who} failed on {item}: {_said(error)}",
            "Run the same command again; if it fails at the same place, report it.",
        ) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _is_out_of_memory(error: Exception) -> bool:
    """Each library has its own way to say so: Python and NumPy, torch on a GPU, torch on a CPU,
    OpenCV."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
        or (isinstance(error, cv2.error) and error.code == _CV_NO_MEMORY)
    )


# -- what a process keeps from one item to the next ------------------------------------------


@lru_cache(maxsize=2)
def _timeline(uri: str) -> Timeline:
    return read_timeline(uri)


@lru_cache(maxsize=4)
def _still(ref: StillRef) -> ColourStill:
    still = load_still(ref.uri)
    return ColourStill(ref.digest, still.lab, ref.frame)


@lru_cache(maxsize=64)
def _standard(ref: StillRef) -> Standard:
    return Standard.of(_still(ref))


_open: dict[FilmRef, FilmReader] = {}
_stamps: dict[FilmRef, str] = {}  # of their sources, on this machine


@contextmanager
def _reader(film: FilmRef) -> Iterator[FilmReader]:
    """A reader of the film. It stays open for the next item, which often wants frames that this
    one has decoded; an item that fails takes it along."""
    source, reader = film.source, _open.pop(film, None)
    for other in [_open.pop(each) for each in list(_open)]:
        other.__exit__(None, None, None)
    if reader is None:
        _stamps.clear()
        _stamps[film] = same_source.identify(source.uri, film.stamp, source.digest)
        reader = FilmReader(source, _timeline(film.timeline)).__enter__()
    try:
        with same_source.unchanged(source.uri, _stamps[film]):
            yield reader
    except BaseException:
        reader.__exit__(None, None, None)
        raise
    _open[film] = reader


def _anchor(uri: str, size: tuple[int, int]) -> Chroma:
    """A stored anchor at the interpolator's working size ``(width, height)``."""
    (chroma,) = decode_chroma(storage.read(uri), uri)
    if chroma.confidence.shape == (size[1], size[0]):
        return chroma
    ab, confidence = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
        for plane in (chroma.ab, chroma.confidence)
    )
    return Chroma(ab, confidence, chroma.references)
