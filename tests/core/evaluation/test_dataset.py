"""Data sets as they are laid out in the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorize_core.errors import InputError, SourceUnreadable
from colorize_core.evaluation.dataset import find_clips
from tests.media_factory import Film, write_film


def picture(path: Path, level: int = 9, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(path)


def found(dataset: Path) -> dict[str, list[str]]:
    return {
        clip.name: [Path(each).name for each in clip.frames] for clip in find_clips(str(dataset))
    }


def test_folders_of_frames_in_natural_order(tmp_path: Path) -> None:
    for name in ("a/2.png", "a/10.png", "a/1.png", "b/00000.jpg", "notes/readme.txt"):
        path = tmp_path / name
        if path.suffix == ".txt":
            path.parent.mkdir()
            path.write_text("x")
        else:
            picture(path)
    assert found(tmp_path) == {"a": ["1.png", "2.png", "10.png"], "b": ["00000.jpg"]}


def test_a_clip_with_other_pictures_beside_its_frames(tmp_path: Path) -> None:
    for name in ("a/frames/0.png", "a/masks/0.png", "b/0.png"):
        picture(tmp_path / name)
    assert {name: len(frames) for name, frames in found(tmp_path).items()} == {"a": 1, "b": 1}


def test_a_folder_that_is_only_called_alike_is_a_clip_of_its_own(tmp_path: Path) -> None:
    for name in ("a/keyframes/0.png", "a/x/0.png"):
        picture(tmp_path / name)
    assert list(found(tmp_path)) == ["a/keyframes", "a/x"]


def test_no_other_program_is_asked_for_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a" / "0.png").write_bytes(eps)
    (clip,) = find_clips(str(tmp_path))
    with pytest.raises(SourceUnreadable, match="is no picture"):
        list(clip.read())


def test_davis_takes_its_validation_clips_at_480p(tmp_path: Path) -> None:
    for clip in ("bear", "goat"):
        for folder in ("JPEGImages/480p", "JPEGImages/1080p", "Annotations/480p"):
            picture(tmp_path / folder / clip / "00000.png")
    assert list(found(tmp_path)) == ["bear", "goat"]
    listed = tmp_path / "ImageSets" / "2017" / "val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("goat\n")
    assert list(found(tmp_path)) == ["goat"]
    (clip,) = find_clips(str(tmp_path))
    assert clip.frames == (str(tmp_path / "JPEGImages/480p/goat/00000.png"),)


def test_films(tmp_path: Path) -> None:
    made = Film(width=32, height=32, frames=6, colour=True)
    write_film(tmp_path / "x.mkv", made)
    (clip,) = find_clips(str(tmp_path))
    frames = list(clip.read())
    assert clip.name == "x" and len(frames) == 6
    assert frames[0].shape == (32, 32, 3) and np.ptp(frames[0], axis=-1).max() > 20


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clips"):
        find_clips(str(tmp_path))
    picture(tmp_path / "a" / "0.png")
    picture(tmp_path / "a" / "1.png", size=10)
    with pytest.raises(SourceUnreadable, match="not all of one size"):
        list(find_clips(str(tmp_path))[0].read())
    (tmp_path / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(SourceUnreadable, match="is no picture"):
        list(find_clips(str(tmp_path))[0].read())
