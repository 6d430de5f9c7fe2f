"""The baseline of colour propagation: each next frame's colours are its neighbour's, warped by
OpenCV DIS flow (medium) at full size, from the coloured frame outwards. File to file, in one
process, with as many OpenCV threads as there are CPUs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from colorize_core.engines.contract import F32, Chroma
from colorize_core.engines.exemplar.dense_flow import identity
from colorize_core.engines.exemplar.raster import sampled
from colorize_core.media.decode import FilmReader
from colorize_core.media.encode import ChunkWriter, master_format
from colorize_core.media.probe import scan
from colorize_core.merge import Merger
from colorize_core.timebase import FrameSpan


def colorize_by_chained_flow(source: Path, lab: F32, shown: int, out: Path) -> float:
    """Colours `source` from the true colours `lab` ``[H, W, 3]`` of its frame `shown`.

    Returns:
        Seconds from the opened source to the finished file (the scan is not counted, for either).
    """
    found = scan(str(source))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(os.cpu_count() or 1)
    try:
        began = time.monotonic()
        with FilmReader(found.info, found.timeline) as reader:
            frames = list(reader.frames(FrameSpan(0, len(found.timeline))))
        luma = [frame.luma for frame in frames]
        colours = {shown: np.ascontiguousarray(lab[..., 1:])}
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grid = identity(luma[0].shape)
        for step, last in ((1, len(luma)), (-1, -1)):
            for frame in range(shown + step, last, step):
                flow = dis.calc(luma[frame], luma[frame - step], np.zeros_like(grid))
                colours[frame] = sampled(colours[frame - step], grid + flow)
        sure = np.ones(luma[0].shape, np.float32)
        merger = Merger(found.info, "lab")
        with ChunkWriter(out, master_format(found.info, "lab"), found.timeline) as writer:
            for i, frame in enumerate(frames):
                writer.write(merger.finish(frame.luma, Chroma(colours[i], sure)), frame.pts)
        return time.monotonic() - began
    finally:
        cv2.setNumThreads(threads)
