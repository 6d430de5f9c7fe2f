"""A film's master, made with simple colours: for tests of what comes after the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from colorize_core.engines.contract import Chroma
from colorize_core.media.decode import FilmReader
from colorize_core.media.encode import ChunkWriter
from colorize_core.media.join import Chunk, join_master
from colorize_core.media.master import MasterFormat, Merge, master_format
from colorize_core.media.probe import Scan, scan
from colorize_core.merge import Merger
from colorize_core.timebase import FrameSpan


@dataclass(frozen=True)
class Finished:
    """A source and its master."""

    scan: Scan
    form: MasterFormat
    chunks: tuple[Chunk, ...]
    master: Path
    notes: tuple[str, ...]


def simple_chroma(width: int, height: int) -> Chroma:
    """Smooth colours that change over the picture, at half its size."""
    y, x = np.mgrid[0 : height // 2, 0 : width // 2].astype(np.float32)
    ab = np.dstack([30 * np.sin(x / 9), 25 * np.cos(y / 7)]).astype(np.float32)
    return Chroma(ab, np.ones(ab.shape[:2], np.float32))


def write_chunks(
    folder: Path, scanned: Scan, merge: Merge, cuts: Sequence[int] = (), *, grey: bool = False
) -> tuple[Chunk, ...]:
    """The film's chunks, cut before the frames `cuts`."""
    info, timeline = scanned.info, scanned.timeline
    form, merger = master_format(info, merge), Merger(info, merge)
    chroma = None if grey else simple_chroma(info.width, info.height)
    chunks = []
    with FilmReader(info, timeline, threads=1) as reader:
        for start, end in pairwise((0, *cuts, len(timeline))):
            path = folder / f"chunk-{start}.mkv"
            with ChunkWriter(path, form, timeline) as writer:
                for frame in reader.frames(FrameSpan(start, end)):
                    writer.write(merger.finish(frame.luma, chroma), frame.pts)
            chunks.append(Chunk(str(path), FrameSpan(start, end)))
    return tuple(chunks)


def finish_film(
    source: Path,
    merge: Merge = "exact_luma",
    cuts: Sequence[int] = (),
    name: str = "master.mkv",
    *,
    grey: bool = False,
) -> Finished:
    """Makes the master of `source` beside it."""
    scanned = scan(str(source))
    chunks = write_chunks(source.parent, scanned, merge, cuts, grey=grey)
    form = master_format(scanned.info, merge)
    master = source.parent / name
    notes = join_master(chunks, scanned.info, scanned.timeline, form, master)
    return Finished(scanned, form, chunks, master, notes)


def decoded_planes(path: Path) -> Iterator[tuple[float, list[NDArray[np.unsignedinteger]]]]:
    """Seconds and planes of every frame, by plain PyAV and none of our code."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            depth = frame.format.components[0].bits
            dtype = np.dtype("u1" if depth == 8 else "<u2")
            planes = [
                np.frombuffer(memoryview(plane), dtype).reshape(
                    -1, plane.line_size // dtype.itemsize
                )[: plane.height, : plane.width]
                for plane in frame.planes
            ]
            yield float(frame.time), [plane.copy() for plane in planes]
