"""One tone over the film: from the stills that shots have to those that they take colours from.

`references/harmonize.py` decides; here stills are read, changed and stored. A changed still is an
object of its own, so only the shots that it serves get other names, and the still that it was made
from stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from colorize_core.engines.contract import ColourStill
from colorize_core.errors import ReferenceUnusable
from colorize_core.manifest.schema import ShotRow
from colorize_core.names import toned_name
from colorize_core.paths import FilmPaths
from colorize_core.references.harmonize import Move, Served, find_differences, harmonize
from colorize_core.references.settings import ToneSettings
from colorize_core.references.stills import has_colour, keep_still, load_still
from colorize_core.references.tone import SceneColours, in_tone
from colorize_core.shot_work import ShotChoice, ToneChange
from colorize_core.work import Progress, StillRef

_NAMED = 6  # shots, in a sentence


@dataclass(frozen=True, slots=True)
class Toned:
    """`choices`: those that are other now, by the number of the shot. `warnings`: one sentence for
    each still that stays apart, and for each that was lost or damaged."""

    choices: Mapping[int, ShotChoice]
    warnings: tuple[str, ...]


def bring_together(
    paths: FilmPaths,
    choices: Mapping[int, ShotChoice],
    settings: ToneSettings,
    finished: Collection[str],
    progress: Progress,
) -> Toned:
    """Bring the stills of each scene to one tone.

    Args:
        choices: by the number of the shot, in order. Their stills are stored.
        finished: digests of the stills that finished shots have (`stills_of_finished`).

    Raises:
        StorageError: a still cannot be read or stored.
    """
    refs = {each.digest: each for choice in choices.values() for each in choice.stills}
    served = _served(choices)
    if settings.scope == "off" or all(each.fixed for each in served):
        return Toned({}, ())
    seen: list[Served] = []
    differences = find_differences(_look(served, refs, seen, progress))
    moves = harmonize(seen, differences, settings.most)
    changed: dict[str, str] = {}
    warnings: list[str] = []
    for each in seen:
        if (move := moves.get(each.digest)) and (still := _moved(refs[each.digest], move)):
            changed[each.digest] = still.digest
            warnings += _limited(each, move)
            uri = paths.reference(still.digest)
            wrong = keep_still(still, uri, named=True)
            if wrong == "damaged" or (wrong and still.digest in finished):
                warnings.append(f"{paths.relative(uri)} was {wrong} and is made again.")
    toned = {
        number: _changed(paths, choice, changed, moves)
        for number, choice in choices.items()
        if any(each.digest in changed for each in choice.stills)
    }
    return Toned(toned, tuple(warnings))


def stills_of_finished(rows: Iterable[ShotRow]) -> set[str]:
    """Digests of the stills that shots were finished with, changed in tone or not."""
    return {digest for row in rows if row.status == "done" for digest in row.stills}


def _served(choices: Mapping[int, ShotChoice]) -> tuple[Served, ...]:
    """The stills that take part, each once, in the order of the shots."""
    shots: dict[str, list[int]] = {}
    for number, choice in choices.items():
        for still in choice.stills:
            if still.digest not in choice.apart:
                shots.setdefault(still.digest, []).append(number)
    fixed = {digest for choice in choices.values() for digest in choice.fixed}
    return tuple(
        Served(digest, tuple(sorted(set(numbers))), digest in fixed)
        for digest, numbers in shots.items()
    )


def _look(
    served: Sequence[Served],
    refs: Mapping[str, StillRef],
    seen: list[Served],
    progress: Progress,
) -> Iterator[SceneColours]:
    """What tones are told from, one still after the other; those that could be read go to `seen`.
    One that was made and has no colour fails its shot when its anchors are coloured."""
    for done, each in enumerate(served):
        progress("tone", done, len(served))
        try:
            still = load_still(refs[each.digest].uri)
        except ReferenceUnusable:
            continue
        seen.append(each)
        yield SceneColours.of(still)
    progress("tone", len(served), len(served))


def _moved(ref: StillRef, move: Move) -> ColourStill | None:
    """The still in its new tone; None where no colour would be left (a sepia picture's is all
    tone)."""
    lab = in_tone(load_still(ref.uri).lab, move.tone)
    return ColourStill(toned_name(ref.digest, move.tone), lab) if has_colour(lab) else None


def _changed(
    paths: FilmPaths, choice: ShotChoice, changed: Mapping[str, str], moves: Mapping[str, Move]
) -> ShotChoice:
    """The shot's choice, `changed` having the new digest of each still that was moved."""
    stills = [
        replace(each, digest=digest, uri=paths.reference(digest))
        if (digest := changed.get(each.digest))
        else each
        for each in choice.stills
    ]
    most = max(
        (moves[each.digest] for each in choice.stills if each.digest in changed),
        key=lambda move: move.tone.shift,
    )
    before = tuple(each.digest for each in choice.stills)
    said = f"tone moved by {most.tone.shift:.1f} to that of {_shots(most.towards)}"
    return replace(choice, stills=tuple(stills), tone=ToneChange(before, most.tone.shift, said))


def _limited(still: Served, move: Move) -> Iterator[str]:
    if move.wanted - move.tone.shift > 0.1:
        yield (
            f"The still of {_shots(still.shots)} differs in tone by {move.wanted:.1f} from "
            f"{_shots(move.towards)}; it was moved by {move.tone.shift:.1f}, as far as tone.most "
            "lets it."
        )


def _shots(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"shot{'s' if len(numbers) > 1 else ''} {named}{more}"
