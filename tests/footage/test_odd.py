"""Files as people have them, through the whole job: a film comes out, or the named refusal."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from colorize_core.config import load_config
from colorize_core.errors import (
    DamagedSource,
    InterlacedSource,
    NotAVideo,
    NoVideoStream,
    SourceError,
)
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from tests.film import quiet

pytestmark = [pytest.mark.footage, pytest.mark.xdist_group("odd")]

# The way of the frames is what is asked here, not the quality of the colours.
QUICK = ("match.working_pixels=4096", "flow.working_pixels=4096", "flow.flow_preset=ultrafast")
# c2pa_C-recorded-as-mov.mov (310 frames of 1920×1080) would take two minutes: its scan is tested.
FILMS = {
    "decord_video_90.mov": 3,
    "flower_1frame.mp4": 1,
    "flower_2audio_subs.mkv": 150,
    "flower_bitrot.mp4": 150,
    "flower_oddsize_641x359_444.mp4": 60,
    "flower_rot90.mp4": 150,
    "flower_vfr.mp4": 107,
    "mdn_flower-fragmented.mp4": 150,
}
REFUSED: dict[str, type[SourceError]] = {
    "decord_corrupted.mp4": DamagedSource,
    "flower_audio_only.m4a": NoVideoStream,
    "flower_interlaced_pal.mpg": InterlacedSource,
    "flower_truncated_faststart.mp4": DamagedSource,
    "not_a_video.mp4": NotAVideo,
}


def request_for(source: Path, folder: Path, *, accept_damage: bool = False) -> FilmRequest:
    return FilmRequest(
        source=str(source),
        output=str(folder / "out.mkv"),
        work=str(folder / "work"),
        references=(f"{tinted_still(source, folder)}@f0",),
        config=load_config("exemplar", QUICK),
        accept_damage=accept_damage,
    )


def tinted_still(source: Path, folder: Path) -> Path:
    """The first frame as people see it, its luma in shades of copper; any picture where there is
    no film."""
    grey = np.tile(np.arange(96, dtype=np.uint8), (64, 1))
    if source.name in FILMS or REFUSED[source.name] is DamagedSource:
        with av.open(str(source)) as film:
            frame = next(film.decode(video=0))
            grey = np.rot90(frame.to_ndarray(format="gray"), frame.rotation // 90)
    copper = np.stack([grey, grey * 0.7, grey * 0.4], axis=-1).astype(np.uint8)
    path = folder / "still.png"
    Image.fromarray(copper).save(path)
    return path


@pytest.mark.parametrize("name", sorted(FILMS))
def test_a_film_comes_out(footage: Path, tmp_path: Path, name: str) -> None:
    request = request_for(footage / "odd" / name, tmp_path)
    summary = colorize_film(request, quiet)  # verifies every frame before it publishes
    assert summary.status == "published" and summary.luma_exact and summary.grey_shots == ()
    assert summary.frames_in == summary.frames_out == frames_of(request.output) == FILMS[name]
    damaged = any("damaged" in warning for warning in summary.warnings)
    assert damaged == (name == "flower_bitrot.mp4")


def frames_of(path: str) -> int:
    with av.open(path) as film:
        return sum(packet.size > 0 for packet in film.demux(video=0))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_by_name(footage: Path, tmp_path: Path, name: str) -> None:
    request = request_for(footage / "odd" / name, tmp_path)
    with pytest.raises(SourceError) as caught:
        colorize_film(request, quiet)
    assert type(caught.value) is REFUSED[name]
    assert caught.value.what and caught.value.remedy
    assert not Path(request.output).exists()


def test_the_readable_part_of_a_damaged_film(footage: Path, tmp_path: Path) -> None:
    request = request_for(footage / "odd/decord_corrupted.mp4", tmp_path, accept_damage=True)
    summary = colorize_film(request, quiet)
    assert summary.frames_in == summary.frames_out == frames_of(request.output) == 28
    assert any("it breaks after 28 frames" in warning for warning in summary.warnings)
