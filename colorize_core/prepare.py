"""Before the work: the shot list that counts, and each shot's stills."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from colorize_core import storage
from colorize_core.claim import Claim
from colorize_core.config import RunConfig
from colorize_core.engines import catalog
from colorize_core.engines.catalog import PartFacts
from colorize_core.engines.contract import ColourStill, Facts
from colorize_core.errors import InputError, ReferenceUnusable, ShotListError
from colorize_core.film import Film
from colorize_core.manifest.read import latest
from colorize_core.manifest.schema import ShotRow
from colorize_core.media.decode import FilmReader, SizedReader
from colorize_core.media.source import SourceInfo
from colorize_core.names import reference_name
from colorize_core.references.coverage import choose as choose_frames
from colorize_core.references.coverage import cover, working_size
from colorize_core.references.kinship import find_kin
from colorize_core.references.locate import locate
from colorize_core.references.select import Choice, ShotView, choose, misplaced, sample_frames
from colorize_core.references.settings import ToneSettings
from colorize_core.references.stills import (
    as_stored_picture,
    keep_still,
    load_still,
    parse_reference,
)
from colorize_core.request import FilmRequest
from colorize_core.run import FilmRun
from colorize_core.scope import ALL, Scope
from colorize_core.shot_work import ShotChoice
from colorize_core.shots.shot_list import Shot, ShotList, read_csv
from colorize_core.timebase import FrameSpan, parse_moment
from colorize_core.toned_stills import bring_together, stills_of_finished
from colorize_core.work import Pool, Progress, ReferenceItem, StillRef

DISABLED = "the shot list says so"


def prepare_run(
    film: Film,
    request: FilmRequest,
    pool: Pool,
    progress: Progress,
    claim: Claim,
    scope: Scope = ALL,
) -> FilmRun:
    """Take the shot list, choose stills, and name all work.

    Raises:
        ShotListError, ReferenceUnusable: with the line or the still that is wrong.
        CommitLost: another run is at this film.
    """
    began = time.monotonic()
    shots = read_shots(film, request)
    facts = catalog.PartFacts.of(request.config)
    choices, warnings = _choose_stills(film, request, shots, facts, progress)
    tone = request.config.tone
    if tone.scope == "all" and not any(each.making for each in choices):
        # Else there is nothing to change, or stills come first: FilmRun.make_references.
        by_shot = {shot.number: each for shot, each in zip(shots, choices, strict=True)}
        toned = bring_together(film.paths, by_shot, tone, _finished(film), progress)
        choices = list((by_shot | dict(toned.choices)).values())
        warnings += toned.warnings
    run = FilmRun(film, request, shots, choices, facts, pool, progress, began, claim, scope)
    run.warnings += [*film.warnings, *_about_source(film.info), *warnings]
    return run


def _about_source(info: SourceInfo) -> Iterator[str]:
    if info.damage is not None:
        yield f"The source is damaged and its readable part was used: {info.damage}"
    if info.concealed:
        yield (
            f"The source is damaged in {info.concealed} frames, which its decoder could paint over."
        )
    if info.has_colour:
        yield "The source has colour already: it was ignored, and made anew from the luma."
    yield from info.notes


def read_shots(film: Film, request: FilmRequest) -> ShotList:
    """The film's shot list: the one given with the request (which then replaces the film's), or
    the film's own, which people may have edited.

    Raises:
        ShotListError: with the line that is wrong.
    """
    frames = len(film.timeline)
    if not request.shots:
        uri = film.paths.shots_csv
        try:
            return read_csv(storage.read(uri), frames)
        except ShotListError as error:
            remedy = f"Correct it in {uri}, or delete that file: the next run finds the shots anew."
            raise ShotListError(error.what, remedy) from error
    data = storage.read(request.shots)
    shots = read_csv(data, frames)
    storage.replace_atomically(film.paths.shots_csv, data)
    return shots


def _choose_stills(
    film: Film, request: FilmRequest, shots: ShotList, facts: PartFacts, progress: Progress
) -> tuple[list[ShotChoice], list[str]]:
    stills: list[ColourStill] = []
    texts = request.stills()
    for i, text in enumerate(texts):
        progress("references", i, len(texts))
        stills.append(load_given(film, text))
    size = facts.anchors.working_size(film.info.width, film.info.height, film.info.sar)
    with FilmReader(film.info, film.timeline) as reader:
        sized = SizedReader(reader, *size)
        warnings = [
            warning
            for still in stills
            if still.frame is not None
            for frame in sized.read(FrameSpan(still.frame, still.frame + 1))
            if (warning := misplaced(still, frame))
        ]
        found = locate(stills, film.thumbnails(), sized)
        enabled = [shot for shot in shots if shot.enabled]
        views = (view_of(shot.number, shot.span, sized) for shot in enabled)
        fixed, apart = _tone_rules(texts, stills, request.config.tone)
        chosen = {each.shot: _refer(film, each, fixed, apart) for each in choose(views, found)}
        if facts.reference:
            served = [number for number, choice in chosen.items() if choice.stills]
            bare = [shot for shot in enabled if shot.number not in served]
            chosen |= _make_stills(film, request.config, bare, facts.reference, sized, progress)
    warnings += _keep(film, found, chosen.values())
    progress("references", len(texts), len(texts))
    grey = ShotChoice((), DISABLED)
    return [chosen[shot.number] if shot.enabled else grey for shot in shots], warnings


def _make_stills(
    film: Film,
    config: RunConfig,
    shots: Sequence[Shot],
    facts: Facts,
    reader: SizedReader,
    progress: Progress,
) -> dict[int, ShotChoice]:
    """For each shot, the stills of its frames that will be made.

    A further still of a shot is made with what its first one is made with, or with the first: so
    two rounds make all of them.
    """
    frames = dict[int, tuple[int, ...]]()
    for done, shot in enumerate(shots, start=1):
        frames[shot.number] = _frames_to_make(film, config, shot.span, reader.reader)
        progress("cover", done, len(shots))
    views = (
        (number, next(reader.read(FrameSpan(first, first + 1))))
        for number, (first, *_) in frames.items()
    )
    prompts = {shot.number: shot.prompt for shot in shots}
    choices: dict[int, ShotChoice] = {}
    for kin in find_kin(views, facts.kindred):
        shot, prompt, leaders = kin.shot, prompts[kin.shot], kin.leaders
        kindred = tuple(choices[leader].stills[0] for leader in leaders)
        stills, making = list[StillRef](), list[ReferenceItem]()
        for frame in frames[shot]:
            name = reference_name(film.info.digest, frame, prompt, kindred, facts, config)
            uri = film.paths.reference(name)
            stills.append(StillRef(name, uri, frame))
            making.append(ReferenceItem(film.ref, config, shot, frame, prompt, kindred, uri))
            kindred = kindred or tuple(stills[: facts.kindred])
        count = f"{len(stills)} stills " if len(stills) > 1 else ""
        likes = f", like shot{'s' * (len(leaders) > 1)} {' and '.join(map(str, leaders))}"
        reason = f"{count}made from the prompt{likes if leaders else ''}"
        choices[shot] = ShotChoice(tuple(stills), reason, 1.0, tuple(making))
    return choices


def _frames_to_make(
    film: Film, config: RunConfig, span: FrameSpan, reader: FilmReader
) -> tuple[int, ...]:
    """The middle frame (paper, section 3.1), or those whose stills would bring most to the shot."""
    if config.reference_choice == "middle":
        return (span.middle,)
    size = working_size(film.info.width, film.info.height)
    covered = cover(span, SizedReader(reader, *size))
    picks = choose_frames(covered, config.most_references, config.least_gain)
    return tuple(pick.frame for pick in picks) or (span.middle,)


def load_given(film: Film, text: str) -> ColourStill:
    """The still that ``IMAGE`` or ``IMAGE@TIME`` names, as the film's stored picture lies.

    Raises:
        ReferenceUnusable: it cannot be used, or its time is no moment of the film.
    """
    spec = parse_reference(text)
    still = as_stored_picture(load_still(spec.uri), film.info.rotation)
    if spec.moment is None:
        return still
    try:
        frame = parse_moment(spec.moment, film.timeline)
    except InputError as error:
        raise ReferenceUnusable(f"{text}: {error.what}", error.remedy) from error
    return ColourStill(still.digest, still.lab, frame)


def _keep(film: Film, given: Iterable[ColourStill], choices: Iterable[ShotChoice]) -> Iterator[str]:
    """Store those of the given stills that serve a shot. Says which were lost or damaged since
    their shots were finished, and which stills that were made then are lost."""
    by_digest = {still.digest: still for still in given}
    finished = _finished(film)
    used = {still.uri: still.digest for choice in choices for still in choice.stills}
    for uri, digest in used.items():
        if still := by_digest.get(digest):
            wrong = keep_still(still, uri)
        else:
            wrong = "" if storage.exists(uri) else "missing"
        if wrong == "damaged" or (wrong and digest in finished):
            yield f"{film.paths.relative(uri)} was {wrong} and is made again."


def _finished(film: Film) -> set[str]:
    return stills_of_finished(latest(film.paths, ShotRow).rows)


def _tone_rules(
    texts: Sequence[str], stills: Sequence[ColourStill], settings: ToneSettings
) -> tuple[frozenset[str], frozenset[str]]:
    """Of the given stills, asked for as `texts`, the digests of those that set the tone and are not
    changed, and of those that have a tone of their own."""
    asked = list(zip(texts, stills, strict=True))
    apart = frozenset(still.digest for text, still in asked if parse_reference(text).keeps_tone)
    if settings.scope == "all":
        return frozenset(), apart
    return frozenset(still.digest for still in stills) - apart, apart


def view_of(number: int, span: FrameSpan, reader: SizedReader) -> ShotView:
    """What the choice of stills sees of a shot; frames are read when they are asked for."""
    samples = (next(reader.read(FrameSpan(at, at + 1))) for at in sample_frames(span))
    return ShotView(number, span, samples)


def _refer(film: Film, choice: Choice, fixed: frozenset[str], apart: frozenset[str]) -> ShotChoice:
    """`fixed`, `apart`: what `_tone_rules` gives."""
    own = {pick.digest for pick in choice.references}
    return ShotChoice(
        tuple(
            StillRef(pick.digest, film.paths.reference(pick.digest), pick.frame)
            for pick in choice.references
        ),
        choice.reason,
        max((pick.score for pick in choice.references), default=0.0),
        fixed=fixed & own,
        apart=apart & own,
    )
