"""Small archives: a folder of films of two shots, and a folder of stills for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from colorize_core.archive.request import ArchiveRequest
from tests.media_factory import Film, colour_frames, write_film


def archive_request(folder: Path, *names: str, references: bool = True) -> ArchiveRequest:
    """An archive of the films that were made in `folder`, and of these, made now."""
    for name in names:
        add_film(folder, name)
    return ArchiveRequest(
        sources=str(folder / "reels"),
        output=str(folder / "out"),
        work=str(folder / "work"),
        references=str(folder / "stills") if references else None,
    )


def add_film(folder: Path, name: str) -> Path:
    """A film of two shots of its own, with a true still for each."""
    frames = 20 + sum(map(ord, name)) % 17
    made = Film(width=96, height=64, frames=frames, scenes=(10, frames - 10), colour=False)
    source = folder / "reels" / f"{name}.mkv"
    source.parent.mkdir(parents=True, exist_ok=True)
    write_film(source, made)
    pictures = list(colour_frames(made))
    stills = folder / "stills" / name
    stills.mkdir(parents=True, exist_ok=True)
    for frame in (4, 14):
        Image.fromarray(np.ascontiguousarray(pictures[frame])).save(stills / f"still@f{frame}.png")
    return source
