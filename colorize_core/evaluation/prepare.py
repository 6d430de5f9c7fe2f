"""Clips made ready for the real pipeline: grey films, oracle stills, lists of one shot, and a
catalogue of them, as an archive's run takes it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from colorize_core import storage
from colorize_core.archive.request import ArchiveRequest
from colorize_core.config import digest_of
from colorize_core.errors import InputError
from colorize_core.evaluation.dataset import Clip, find_clips
from colorize_core.evaluation.request import EvaluationRequest
from colorize_core.media.color import lab_of_pixels, lab_to_srgb
from colorize_core.references.stills import list_references
from colorize_core.work import Progress

ORACLES = ("middle", "first")
RATE = 24  # of the grey films: frames have no time of their own


class ClipRecord(BaseModel):
    """What a prepared clip is. `given`: frames whose true colours are references."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str
    frames: int
    width: int
    height: int
    given: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """A clip, its grey film, and how many frames of which size it has; or why it cannot be used."""

    clip: Clip
    record: ClipRecord | None
    error: str = ""


def grey_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The 8-bit grey of a picture's L* (paper, section 3.4): ``[H, W]``."""
    lab = lab_of_pixels(rgb)
    lab[..., 1:] = 0
    return np.rint(np.clip(lab_to_srgb(lab)[..., 1], 0, 1) * 255).astype(np.uint8)


def prepare(request: EvaluationRequest, progress: Progress) -> list[PreparedClip]:
    """Every clip of the data set, made ready in the output folder. What is ready stays.

    Raises:
        InputError: no clips, or the output is no local folder.
        StorageError.
    """
    clips = find_clips(storage.normalise(request.dataset))
    folder = output_folder(request)
    prepared = []
    for count, clip in enumerate(clips, start=1):
        prepared.append(_prepared(clip, folder, request.reference))
        progress("prepare", count, len(clips))
    _write_catalogue(folder, prepared)
    return prepared


def output_folder(request: EvaluationRequest) -> Path:
    """The local folder that everything goes to.

    Raises:
        InputError: it is a URL.
    """
    path = storage.local_path(storage.normalise(request.output))
    if path is None:
        raise InputError("Evaluations are written to a local folder.", "Give a path with -o.")
    return path


def archive_request(request: EvaluationRequest) -> ArchiveRequest:
    """The prepared clips as an archive."""
    folder = output_folder(request)
    stills = str(folder / "stills") if request.reference in ORACLES else request.reference
    return ArchiveRequest(
        sources=str(folder / "catalogue.csv"),
        output=str(folder / "colour"),
        work=str(folder / "work"),
        references=None if request.reference == "none" else stills,
        preset=request.preset,
        settings=("merge=lab", *request.settings),
        accept_licence=request.accept_licence,
    )


def _prepared(clip: Clip, folder: Path, reference: str) -> PreparedClip:
    path = folder / "clips" / f"{clip.name}.json"
    try:
        state = digest_of([clip.state(), reference])
        try:
            record = ClipRecord.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            record = None
        if record is None or record.state != state:
            record = _write(clip, folder, reference, state)
            storage.replace_atomically(str(path), record.model_dump_json().encode())
    except InputError as error:
        return PreparedClip(clip, None, error.what)
    return PreparedClip(clip, record)


def _write(clip: Clip, folder: Path, reference: str, state: str) -> ClipRecord:
    count = len(clip.frames) if not clip.is_film else sum(1 for _ in clip.read())
    given = _given(reference, clip.name, count)
    grey, stills = folder / "grey" / f"{clip.name}.mkv", folder / "stills" / clip.name
    for each in (grey.parent, stills):
        each.mkdir(parents=True, exist_ok=True)
    for old in stills.iterdir():
        old.unlink()
    part = grey.with_suffix(".part")
    height = width = 0
    with av.open(str(part), "w", format="matroska") as container:
        stream = cast(VideoStream, container.add_stream("ffv1", rate=Fraction(RATE)))
        stream.pix_fmt = "gray"
        for index, rgb in enumerate(clip.read()):
            if index == 0:
                height, width = stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(grey_of(rgb), format="gray")
            container.mux(stream.encode(frame))
            if index in given and reference in ORACLES:
                Image.fromarray(rgb).save(stills / f"true@f{index}.png")
        container.mux(stream.encode(None))
    part.replace(grey)
    shots = folder / "shots" / f"{clip.name}.csv"
    storage.replace_atomically(str(shots), f"shot,start,end\n1,0,{count}\n".encode())
    return ClipRecord(state=state, frames=count, width=width, height=height, given=given)


def _given(reference: str, clip: str, frames: int) -> tuple[int, ...]:
    """The frames whose true colours, or somebody's, are given."""
    match reference:
        case "middle":
            return (frames // 2,)
        case "first":
            return (0,)
        case "none":
            return ()
    folder = storage.join(storage.normalise(reference), clip)
    moments = [each.moment or "" for each in list_references(folder)]
    return tuple(int(each[1:]) for each in moments if re.fullmatch(r"f\d+", each))


def _write_catalogue(folder: Path, prepared: list[PreparedClip]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("source", "film", "shots"))
    for each in prepared:
        if each.record is not None:
            name = each.clip.name
            table.writerow((f"grey/{name}.mkv", name, f"shots/{name}.csv"))
    storage.replace_atomically(str(folder / "catalogue.csv"), text.getvalue().encode())
