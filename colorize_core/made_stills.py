"""The stills that a run makes: those that need no other first, then those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from colorize_core import storage
from colorize_core.errors import KinecolorError, ObjectMissing
from colorize_core.references.stills import is_png_named
from colorize_core.work import Outcome, ReferenceItem

EachDone = Callable[
    [Sequence[ReferenceItem]], Iterator[tuple[ReferenceItem, Outcome | KinecolorError]]
]


def missing_stills(
    planned: Sequence[ReferenceItem],
) -> tuple[list[ReferenceItem], list[str]]:
    """Those that have to be made. One that is there and not whole is removed, and named: the second
    value."""
    missing, damaged = [], []
    for item in planned:
        try:
            if is_png_named(storage.read(item.output), storage.name_of(item.output)):
                continue
            storage.delete(item.output)
            damaged.append(f"{storage.name_of(item.output)} was damaged and is made again.")
        except ObjectMissing:
            pass
        missing.append(item)
    return missing, damaged


def make_stills(
    missing: Sequence[ReferenceItem], each_done: EachDone, progress: Callable[[int], None]
) -> Mapping[str, KinecolorError]:
    """Make them. Returns for each that could not be made, by URI, its error: its own, or that of a
    still which it needs. `progress` is told how many are done."""
    failed: dict[str, KinecolorError] = {}
    done = 0
    leaders = [item for item in missing if not item.kindred]
    followers = [item for item in missing if item.kindred]
    for items in (leaders, followers):
        for item in items:
            if error := next((failed[s.uri] for s in item.kindred if s.uri in failed), None):
                failed[item.output] = error
        for item, ended in each_done([item for item in items if item.output not in failed]):
            if isinstance(ended, KinecolorError):
                failed[item.output] = ended
            done += 1
            progress(done)
    return failed
