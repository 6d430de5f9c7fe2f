"""Y' is found, bit for bit, in every way that pixel formats store it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from colorize_core.errors import UnsupportedSource
from colorize_core.media.luma import chroma_views, luma_bytes, luma_form, luma_view

# Format and the planar one that holds the same samples; FFmpeg's scaler repacks between them.
REPACKED = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "nv20le": "yuv422p10le",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p016le": "yuv420p16le",
    "p212le": "yuv422p12le",
    "p410le": "yuv444p10le",
    "yuyv422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyvy422": "yuv422p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "y216le": "yuv422p16le",
    "ayuv": "yuv444p",
    "ayuv64le": "yuv444p16le",
    "vuya": "yuv444p",
    "vuyx": "yuv444p",
    "xv36le": "yuv444p12le",
    "yuv420p10be": "yuv420p10le",
    "yuv444p10msble": "yuv444p10le",
    "yuva420p": "yuv420p",
    "yuva444p10le": "yuv444p10le",
    "ya8": "gray",
    "ya16le": "gray16le",
    "gray10be": "gray10le",
}


def random_frame(pix_fmt: str, width: int = 64, height: int = 50) -> av.VideoFrame:
    draw = np.random.default_rng(0)
    frame = av.VideoFrame(width, height, pix_fmt)
    bits = frame.format.components[0].bits
    dtype = np.uint8 if bits == 8 else np.uint16
    for plane in frame.planes:
        shape = plane.height, plane.line_size // np.dtype(dtype).itemsize
        plane.update(draw.integers(0, 2**bits, shape).astype(dtype).tobytes())
    return frame


@pytest.mark.parametrize(("pix_fmt", "planar"), REPACKED.items())
def test_repacked_samples_are_the_same(pix_fmt: str, planar: str) -> None:
    frame = random_frame(planar)
    form, packed_form = luma_form(planar), luma_form(pix_fmt)
    packed = frame.reformat(format=pix_fmt, threads=1)  # the scaler's slices run into each other
    assert (packed_form.depth, packed_form.chroma) == (form.depth, form.chroma)
    luma = luma_view(frame, form)
    np.testing.assert_array_equal(luma_view(packed, packed_form), luma)
    assert luma.shape == (50, 64) and not luma.flags.writeable
    ours, theirs = chroma_views(packed, packed_form), chroma_views(frame, form)
    assert sorted(map(np.ndarray.tobytes, ours)) == sorted(map(np.ndarray.tobytes, theirs))
    np.testing.assert_array_equal(luma_bytes(packed, packed_form), luma >> (form.depth - 8))


@pytest.mark.parametrize(
    "pix_fmt",
    ["rgb24", "gbrp", "pal8", "bayer_rggb8", "xyz12le", "monow", "grayf32le", "gray32le"],
)
def test_no_luma_plane(pix_fmt: str) -> None:
    with pytest.raises(UnsupportedSource, match=pix_fmt):
        luma_form(pix_fmt)
