"""The frames of a film whose stills would help most: found on the grey film, written as pictures.

Nothing of the work root is changed but the scan of a film that is new there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from colorize_core import storage
from colorize_core.engines import catalog
from colorize_core.engines.contract import ColourStill, GreyFrame
from colorize_core.errors import InputError
from colorize_core.film import Film, open_film
from colorize_core.media.color import lab_to_srgb
from colorize_core.media.decode import FilmReader, SizedReader
from colorize_core.paths import FilmPaths, film_id
from colorize_core.prepare import load_given, view_of
from colorize_core.references.coverage import (
    choose,
    cover,
    gain_from_elsewhere,
    shows_picture,
    working_size,
)
from colorize_core.references.kinship import find_kin
from colorize_core.references.locate import locate
from colorize_core.references.proposals import ShotNeeds, rank
from colorize_core.references.select import Choice
from colorize_core.references.select import choose as choose_stills
from colorize_core.request import MASTER_SUFFIX, FilmRequest, kept_request
from colorize_core.shots.shot_list import Shot, read_csv
from colorize_core.status import find_films
from colorize_core.timebase import FrameSpan, format_timecode
from colorize_core.work import Progress

TABLE = "references.csv"
LEAST_GAIN_DB = 0.5  # less is not worth a person's hour
_KIN_PIXELS = 57_600  # 320 × 180: keypoints need more than the walks do
_MOST_KIN = 2


class Proposal(BaseModel):
    """A frame worth colouring; a row of `references.csv`."""

    model_config = ConfigDict(frozen=True)

    rank: int = Field(description="From 1: the frame worth most.")
    file: str = Field(description="Its picture; the name says which frame it shows.")
    shot: int = Field(description="Number of its shot.")
    frame: int = Field(description="Its number, from 0.")
    timecode: str = Field(description="When it is shown.")
    gain_db: float = Field(
        description="Expected gain of PSNR over the shot's frames, in dB, beside the stills that "
        "are there and those of higher rank."
    )
    film_gain_db: float = Field(description="The same over all frames of the film.")
    frames: int = Field(description="Frames of the shot.")
    serves: tuple[int, ...] = Field(description="Kindred shots that its still serves as well.")


def request_for(where: str, work: str, *, accept_damage: bool = False) -> FilmRequest:
    """What is asked for, for the one film that `where` means: a work root, a film's folder in one,
    or a source, which need not have been colorized yet.

    Raises:
        InputError: it means no film, or several.
    """
    if storage.size(where) is not None:
        paths = FilmPaths(work, film_id(storage.sha256(where)))
        if storage.exists(paths.request_json):
            return kept_request(paths).model_copy(update={"source": where})
        output = storage.join(work, f"unused{MASTER_SUFFIX}")
        return FilmRequest(source=where, output=output, work=work, accept_damage=accept_damage)
    films = find_films(where, work)
    if len(films) > 1:
        raise InputError(
            f"There are {len(films)} films in {storage.redact(where)}.",
            f"Give one of their folders, such as {storage.redact(films[0].folder)}.",
        )
    return kept_request(films[0])


def propose(
    request: FilmRequest, count: int, per_shot: int, progress: Progress
) -> tuple[Film, tuple[Proposal, ...]]:
    """The film, and up to `count` frames of it that are worth colouring, at most `per_shot` of a
    shot; beside the stills of the request. The shot list is the film's own.

    Raises:
        SourceError, ShotListError, ReferenceUnusable: as for colorizing it.
    """
    film = open_film(request.model_copy(update={"shots": None}), progress)
    stills = [load_given(film, text) for text in request.stills()]
    shots = [
        shot
        for shot in read_csv(storage.read(film.paths.shots_csv), len(film.timeline))
        if shot.enabled
    ]
    facts = catalog.PartFacts.of(request.config).anchors
    with FilmReader(film.info, film.timeline) as reader:
        sized = SizedReader(reader, *facts.working_size(film.info.width, film.info.height))
        found = locate(stills, film.thumbnails(), sized) if stills else ()
        needs = []
        for done, shot in enumerate(shots, start=1):
            (choice,) = choose_stills([view_of(shot.number, shot.span, sized)], found)
            needs.append(_needs(film, reader, shot, choice, found, per_shot))
            progress("cover", done, len(shots))
        needs = _with_kin(film, reader, shots, needs)
    ranked = rank(needs, len(film.timeline), count, LEAST_GAIN_DB)
    lengths = {shot.number: len(shot.span) for shot in shots}
    return film, tuple(
        Proposal(
            rank=place,
            file=f"shot-{each.shot:04d}@f{each.frame:06d}.png",
            shot=each.shot,
            frame=each.frame,
            timecode=format_timecode(film.timeline.time_s(each.frame)),
            gain_db=round(each.gain_db, 2),
            film_gain_db=round(each.film_gain_db, 3),
            frames=lengths[each.shot],
            serves=each.serves,
        )
        for place, each in enumerate(ranked, start=1)
    )


def _needs(
    film: Film,
    reader: FilmReader,
    shot: Shot,
    choice: Choice,
    stills: Sequence[ColourStill],
    per_shot: int,
) -> ShotNeeds:
    own = [pick.frame for pick in choice.references if pick.frame is not None]
    small = SizedReader(reader, *working_size(film.info.width, film.info.height))
    picks = choose(cover(shot.span, small, own), per_shot, LEAST_GAIN_DB, own)
    others = {pick.digest for pick in choice.references if pick.frame is None}
    targets = _samples(film, reader, shot.span) if others else []
    has = [
        gain_from_elsewhere(still.lab[..., 0], targets)
        for still in stills
        if still.digest in others
    ]
    return ShotNeeds(
        shot=shot.number,
        frames=len(shot.span),
        has_db=_mean(np.max(has, axis=0)) if has else 0.0,
        picks=picks,
        is_open=not own,
    )


def _with_kin(
    film: Film, reader: FilmReader, shots: Sequence[Shot], needs: Sequence[ShotNeeds]
) -> list[ShotNeeds]:
    """The needs, with what each shot's first pick brings to the shots that show its scene."""
    spans = {shot.number: shot.span for shot in shots}
    firsts = {need.shot: need.picks[0].frame for need in needs if need.picks}
    views = ((shot, _frame(film, reader, frame)) for shot, frame in firsts.items())
    to_kin: dict[int, dict[int, float]] = {shot: {} for shot in spans}
    for kin in find_kin(views, _MOST_KIN):
        for leader in kin.leaders:
            for giver, taker in ((kin.shot, leader), (leader, kin.shot)):
                still = _frame(film, reader, firsts[giver])
                targets = _samples(film, reader, spans[taker])
                gain = gain_from_elsewhere(still.lstar, targets)
                to_kin[giver][taker] = _mean(gain)
    return [replace(need, to_kin=to_kin[need.shot]) for need in needs]


def _samples(film: Film, reader: FilmReader, span: FrameSpan) -> list[GreyFrame]:
    """A few frames of a shot that show something."""
    numbers = sorted({span.start + len(span) * part // 8 for part in (1, 3, 5, 7)})
    greys = (_frame(film, reader, number) for number in numbers)
    return [grey for grey in greys if shows_picture(grey)]


def _mean(gain: NDArray[np.float64]) -> float:
    return float(gain.mean()) if gain.size else 0.0


def _frame(film: Film, reader: FilmReader, frame: int) -> GreyFrame:
    size = working_size(film.info.width, film.info.height, _KIN_PIXELS)
    return next(reader.grey(FrameSpan(frame, frame + 1), *size))


# -- writing -----------------------------------------------------------------------------------


def export(
    film: Film, proposals: Sequence[Proposal], folder: str, progress: Progress
) -> Mapping[str, str]:
    """Write the frames' pictures and `references.csv` into `folder`. Returns their URIs by name.

    A picture is grey PNG, 8 bits, as people see the film: upright, with square pixels, of the
    film's size. Its name is one that `--reference` and `--references` understand.

    Raises:
        InputError: a file of one of the names is there; nothing was written.
        StorageError: the folder cannot be written.
    """
    uris = {name: storage.join(folder, name) for name in (TABLE, *(p.file for p in proposals))}
    for name, uri in uris.items():
        if storage.exists(uri):
            raise _in_the_way(folder, name)
    storage.check_writable(folder)
    with FilmReader(film.info, film.timeline) as reader:
        for done, proposal in enumerate(proposals, start=1):
            data = _picture(film, reader, proposal.frame)
            if not storage.put_if_absent(uris[proposal.file], data):
                raise _in_the_way(folder, proposal.file)
            progress("export", done, len(proposals))
    if not storage.put_if_absent(uris[TABLE], table(proposals)):
        raise _in_the_way(folder, TABLE)
    return uris


def table(proposals: Sequence[Proposal]) -> bytes:
    """The proposals as CSV, UTF-8: a row each, kindred shots with `;` between them."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Proposal.model_fields)
    for proposal in proposals:
        values = proposal.model_dump()
        rows.writerow([*(values | {"serves": ";".join(map(str, proposal.serves))}).values()])
    return text.getvalue().encode()


def _in_the_way(folder: str, name: str) -> InputError:
    return InputError(
        f"{storage.redact(folder)} has a file {name} already, which is left as it is.",
        "Give another folder with -o.",
    )


def _picture(film: Film, reader: FilmReader, frame: int) -> bytes:
    info = film.info
    (grey,) = reader.grey(FrameSpan(frame, frame + 1), info.width, info.height)
    light = np.dstack([grey.lstar, np.zeros((*grey.lstar.shape, 2), np.float32)])
    levels = np.rint(lab_to_srgb(light)[..., 1] * np.float32(255)).astype(np.uint8)
    if info.sar > 1:
        wide = cv2.resize(levels, (round(info.width * info.sar), info.height))
    else:
        wide = cv2.resize(levels, (info.width, round(info.height / info.sar)))
    upright = np.ascontiguousarray(np.rot90(np.asarray(wide, np.uint8), k=info.rotation // 90))
    buffer = io.BytesIO()
    Image.fromarray(upright).save(buffer, "PNG")
    return buffer.getvalue()
