"""Clips with true colours: DAVIS, Videvo, any folder of folders of frames, any folder of films."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from colorize_core import storage
from colorize_core.archive.sources import FILM_SUFFIXES
from colorize_core.errors import InputError, SourceUnreadable
from colorize_core.media.rgb import rgb_frames
from colorize_core.references.stills import FORMATS, natural_order
from colorize_core.references.stills import PICTURE_SUFFIXES as STILL_SUFFIXES

PICTURE_SUFFIXES = (*STILL_SUFFIXES, ".bmp")
_FRAME_FOLDERS = ("frames", "rgb", "images")  # of a clip that has other pictures, too
_DAVIS = "JPEGImages/"
_DAVIS_LISTS = ("ImageSets/2017/val.txt", "ImageSets/2016/val.txt")


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip: pictures in order, or one film (`frames` has only it, and `is_film` is true)."""

    name: str
    frames: tuple[str, ...]
    is_film: bool = False

    def read(self) -> Iterator[NDArray[np.uint8]]:
        """Its frames in true colours, ``[H, W, 3]`` R'G'B' of 8 bits, all of one size.

        Raises:
            SourceUnreadable: a frame is no picture, or of another size.
            SourceError, StorageError: of a film.
        """
        size = None
        for rgb in rgb_frames(self.frames[0]) if self.is_film else map(_picture, self.frames):
            if size not in (None, rgb.shape):
                raise SourceUnreadable(
                    f"The frames of {self.name} are not all of one size.", "Leave the clip out."
                )
            size = rgb.shape
            yield rgb

    def state(self) -> list[str]:
        """What changes when its frames do: their names and versions."""
        return [f"{storage.name_of(each)} {storage.fingerprint(each)}" for each in self.frames]


def find_clips(dataset: str) -> list[Clip]:
    """The clips of a data set, by name.

    Raises:
        InputError: there is none.
        StorageUnavailable, StorageError.
    """
    prefix = storage.join(dataset, "")
    names = [each.removeprefix(prefix) for each in storage.find(dataset)]
    if any(name.startswith(_DAVIS) for name in names):
        clips = _davis(dataset, names)
    else:
        clips = {**_folders(names), **_films(names)}
    if not clips:
        raise InputError(
            f"There are no clips in {storage.redact(dataset)}.",
            "Give a folder with a folder of frames for each clip, or with films.",
        )
    return [
        Clip(name, tuple(storage.join(dataset, each) for each in frames), is_film)
        for name, (frames, is_film) in sorted(clips.items())
    ]


_Clips = dict[str, tuple[Sequence[str], bool]]


def _davis(dataset: str, names: Sequence[str]) -> _Clips:
    """DAVIS: those of its list of validation clips where it is there, at 480p where that is."""
    resolutions = {name.split("/")[1] for name in names if name.startswith(_DAVIS)}
    resolution = "480p" if "480p" in resolutions else min(resolutions)
    found = _folders([name for name in names if name.startswith(f"{_DAVIS}{resolution}/")])
    clips = {name.rpartition("/")[2]: clip for name, clip in found.items()}
    listed = next((each for each in _DAVIS_LISTS if each in names), None)
    if listed is None:
        return clips
    text = storage.read(storage.join(dataset, listed)).decode(errors="replace")
    wanted = {line.split("/")[-2] if "/" in line else line for line in text.split()}
    return {name: clip for name, clip in clips.items() if name in wanted}


def _folders(names: Sequence[str]) -> _Clips:
    """Each folder with pictures; of a clip with a folder `frames` only those."""
    folders: dict[str, list[str]] = {}
    for name in names:
        if name.lower().endswith(PICTURE_SUFFIXES) and "/" in name:
            folders.setdefault(name.rpartition("/")[0], []).append(name)
    marked = {
        folder.rpartition("/")[0] for folder in folders if storage.name_of(folder) in _FRAME_FOLDERS
    } - {""}
    clips: _Clips = {}
    for folder, frames in folders.items():
        clip = folder.rpartition("/")[0]
        if clip in marked and storage.name_of(folder) not in _FRAME_FOLDERS:
            continue
        clips[clip if clip in marked else folder] = (sorted(frames, key=natural_order), False)
    return clips


def _films(names: Sequence[str]) -> _Clips:
    films = [name for name in names if name.lower().endswith(FILM_SUFFIXES)]
    return {name.rpartition(".")[0]: ([name], True) for name in films}


def _picture(uri: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(storage.read(uri)), formats=(*FORMATS, "BMP")) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise SourceUnreadable(
            f"{storage.redact(uri)} is no picture.", "Leave it out, or mend it."
        ) from error
