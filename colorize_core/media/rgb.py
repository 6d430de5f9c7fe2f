"""Frames as R'G'B': for measuring and for looking, never on a film's way to its master."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from colorize_core.engines.contract import F32
from colorize_core.media.color import rgb_from_ycbcr
from colorize_core.media.container import open_media
from colorize_core.media.source import ColourTags

_MASTER_DEPTH = 10
_HD_LINES = 720  # from here on a film that does not say is taken for BT.709
_SHARP = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_KNOWN = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.BT2020}


def rgb_frames(uri: str) -> Iterator[NDArray[np.uint8]]:
    """Every frame of a film in display order, ``[H, W, 3]``, 8 bits.

    Raises:
        SourceUnreadable, NotAVideo, DamagedSource, StorageError.
    """
    with open_media(uri) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            shown = frame if frame.format.is_rgb else _to_rgb(frame)
            yield np.asarray(shown.to_ndarray(format="rgb24"), np.uint8)


def master_frames(uri: str, tags: ColourTags) -> Iterator[F32]:
    """Every frame of a 4:4:4 master, ``[H, W, 3]`` in 0 to 255, not rounded. `tags`: those of its
    source, resolved (`color.resolve_tags`).

    Raises:
        SourceUnreadable, NotAVideo, DamagedSource, StorageError.
    """
    with open_media(uri) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            codes = [
                np.frombuffer(bytes(plane), np.uint16).reshape(frame.height, -1)[:, : frame.width]
                for plane in frame.planes
            ]
            yield rgb_from_ycbcr(np.dstack(codes), tags, _MASTER_DEPTH) * np.float32(255)


def _to_rgb(frame: VideoFrame) -> VideoFrame:
    usual = Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601
    full = frame.color_range == ColorRange.JPEG
    return frame.reformat(
        format="rgb24",
        src_colorspace=_KNOWN.get(cast(int, frame.colorspace), usual),
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_SHARP,
    )
