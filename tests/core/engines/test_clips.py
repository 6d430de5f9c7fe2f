"""Clips for training: from folders and shards, the same after a resume, the unusable ones named."""

from __future__ import annotations

import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from colorize_core import storage
from colorize_core.engines.diffusion.training.clips import Clips
from colorize_core.errors import InputError
from tests.media_factory import Film, colour_frames, truncate, write_film, write_sound

FILM = Film(width=96, height=64, frames=20, colour=True, pix_fmt="yuv444p")
PIXELS = FILM.width * FILM.height
FRAMES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos at three depths of a folder, and something that is none."""
    home = tmp_path_factory.mktemp("clips")
    for seed, place in enumerate(("a.mkv", "reel 1/b.mp4", "reel 2/deep/c.MKV")):
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = "libx264" if path.suffix == ".mp4" else "ffv1"
        write_film(path, FILM, seed=seed, codec=codec, options=())
    (home / "notes.txt").write_text("no video")
    return home


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("shards")
    for number, names in enumerate((["a.mkv", "notes.txt"], ["reel 1/b.mp4", "reel 2/deep/c.MKV"])):
        with tarfile.open(home / f"clips-{number:03d}.tar", "w") as shard:
            for name in names:
                shard.add(folder / name, name)
    return home


def clips(place: Path | str, frames: int = FRAMES, pixels: int = PIXELS, seed: int = 1) -> Clips:
    return Clips(str(place), frames, pixels, seed)


def test_windows_of_true_pictures(tmp_path: Path) -> None:
    write_film(tmp_path / "one.mkv", FILM)
    truth = list(colour_frames(FILM))
    found = clips(tmp_path)
    starts = set()
    for number in range(12):
        window = found.sample(number)
        assert window.shape == (FRAMES, FILM.height, FILM.width, 3)
        assert window.dtype == np.uint8
        first = nearest(window[0], truth)
        starts.add(first)
        difference = np.abs(window.astype(int) - np.stack(truth[first : first + FRAMES]))
        assert difference.mean() < 1.5  # 8-bit codes to R'G'B'
    assert len(starts) > 4
    assert max(starts) <= FILM.frames - FRAMES
    assert not found.skipped


def nearest(picture: np.ndarray, truth: list[np.ndarray]) -> int:
    return int(np.argmin([np.abs(picture.astype(int) - each).mean() for each in truth]))


def test_the_matrix_is_the_films_own(tmp_path: Path) -> None:
    """The factory codes by BT.601; a film that says BT.709 is read by that."""
    write_film(tmp_path / "a.mkv", FILM, frames=FRAMES)
    (tmp_path / "other").mkdir()
    write_film(tmp_path / "other" / "b.mkv", FILM, frames=FRAMES, matrix=1)
    (tmp_path / "tagged").mkdir()
    write_film(tmp_path / "tagged" / "c.mkv", FILM, frames=FRAMES, matrix=6)
    as_601 = clips(tmp_path / "tagged").sample(0).astype(int)
    as_709 = clips(tmp_path / "other").sample(0).astype(int)
    assert np.abs(as_601 - np.stack(list(colour_frames(FILM))[:FRAMES])).mean() < 1.5
    assert np.abs(as_709 - as_601).mean() > 3


def test_a_sample_is_a_function_of_seed_and_number(folder: Path) -> None:
    first = clips(folder)
    assert len(first) == 3
    samples = [first.sample(number) for number in range(8)]
    again = clips(folder)
    for number in (6, 2, 7):
        assert np.array_equal(again.sample(number), samples[number])
    assert len({sample.tobytes() for sample in samples}) > 5
    other = clips(folder, seed=2)
    assert any(not np.array_equal(other.sample(i), samples[i]) for i in range(4))


def test_shards_are_read_in_place(folder: Path, shards: Path, tmp_path: Path) -> None:
    """By folder and by name, on a disk and in a store: the same clips."""
    by_folder = clips(shards)
    by_name = clips(f"{shards}/clips-{{000..001}}.tar")
    for shard in shards.iterdir():
        storage.replace_atomically(f"memory://clips/{shard.name}", shard.read_bytes())
    remote = clips("memory://clips")
    assert len(by_folder) == len(by_name) == len(remote) == 3
    in_folder = [clips(folder).sample(number) for number in range(6)]
    for number, expected in enumerate(in_folder):
        for found in (by_folder, by_name, remote):
            assert np.array_equal(found.sample(number), expected)


def test_what_cannot_be_used_is_named(folder: Path, tmp_path: Path) -> None:
    good = write_film(tmp_path / "good.mkv", FILM)
    write_film(tmp_path / "short.mkv", FILM, frames=FRAMES - 1)
    (tmp_path / "text.mp4").write_text("not a video")
    write_sound(tmp_path / "sound.mp4")
    truncate(folder / "reel 1" / "b.mp4", tmp_path / "cut.mp4", 0.5)
    (tmp_path / "broken.tar").write_bytes(b"no tar" * 200)
    found = clips(tmp_path)
    for number in range(25):
        assert found.sample(number).shape[0] == FRAMES
    named = {Path(name).name: why for name, why in found.skipped.items()}
    assert named.keys() == {"short.mkv", "text.mp4", "sound.mp4", "cut.mp4", "broken.tar"}
    assert "3 frames" in named["short.mkv"]
    assert "no moving pictures" in named["sound.mp4"]
    alone = clips(tmp_path)
    assert np.array_equal(alone.sample(20), found.sample(20))
    assert good.name not in named


def test_no_usable_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable video"):
        clips(tmp_path / "missing")
    write_film(tmp_path / "short.mkv", FILM, frames=2)
    with pytest.raises(InputError, match=r"short\.mkv \(it has 2 frames"):
        clips(tmp_path).sample(0)


def test_clips_keep_their_shape(tmp_path: Path) -> None:
    """Nothing is cut or squeezed; pixels become square, as part `svd` gets them."""
    write_film(tmp_path / "wide.mkv", FILM, width=160, height=64, frames=FRAMES)
    assert clips(tmp_path, pixels=4096).sample(0).shape[1:3] == (40, 101)
    (tmp_path / "wide.mkv").unlink()
    dvd = Film(72, 58, FRAMES, colour=True, codec="libx264", sar=Fraction(16, 11))
    write_film(tmp_path / "dvd.mp4", dvd)
    height, width = clips(tmp_path, pixels=9000).sample(0).shape[1:3]
    assert width / height == pytest.approx(72 * 16 / 11 / 58, rel=0.02)
    assert width * height == pytest.approx(9000, rel=0.02)
