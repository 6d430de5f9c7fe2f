"""The stills that a run makes: those that need no other first, then those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from colorize_core import storage
from colorize_core.references.stills import is_whole_png
from colorize_core.work import Outcome, ReferenceItem

EachDone = Callable[[Sequence[ReferenceItem]], Iterator[tuple[ReferenceItem, Outcome | Exception]]]


def remove_damaged(planned: Sequence[ReferenceItem]) -> list[str]:
    """Remove stills that are there and not whole, so that they are made again; says which."""
    damaged = [
        item.output
        for item in planned
        if storage.exists(item.output) and not is_whole_png(storage.read(item.output))
    ]
    for uri in damaged:
        storage.delete(uri)
    return [f"{storage.name_of(uri)} was damaged and is made again." for uri in damaged]


def make_stills(
    planned: Sequence[ReferenceItem], each_done: EachDone, progress: Callable[[int, int], None]
) -> Mapping[str, Exception]:
    """Make those that are missing. Returns for each that could not be made, by URI, its error: its
    own, or that of a still which it needs."""
    missing = [item for item in planned if not storage.exists(item.output)]
    failed: dict[str, Exception] = {}
    done = len(planned) - len(missing)
    leaders = [item for item in missing if not item.kindred]
    followers = [item for item in missing if item.kindred]
    for items in (leaders, followers):
        for item in items:
            if error := next((failed[s.uri] for s in item.kindred if s.uri in failed), None):
                failed[item.output] = error
        for item, ended in each_done([item for item in items if item.output not in failed]):
            if isinstance(ended, Exception):
                failed[item.output] = ended
            done += 1
            progress(done, len(planned))
    return failed
