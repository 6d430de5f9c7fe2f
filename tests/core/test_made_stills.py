"""The order in which stills are made, and what a failed one takes along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from colorize_core.config import RunConfig
from colorize_core.engines.contract import ColourStill
from colorize_core.errors import KinecolorError, ReferenceRejected
from colorize_core.made_stills import make_stills, missing_stills
from colorize_core.references.stills import as_png
from colorize_core.work import Outcome, ReferenceItem, StillRef, Stored
from tests.film import scanned_film

STILL = ColourStill("s", np.full((6, 8, 3), 40, np.float32))
REJECTED = ReferenceRejected("no")


def write_still(item: ReferenceItem) -> bytes:
    path = Path(item.output)
    path.write_bytes(as_png(STILL, path.name))
    return path.read_bytes()


class Maker:
    """Makes stills by writing a file; those of `failing` fail."""

    def __init__(self, *failing: str) -> None:
        self.rounds: list[list[str]] = []
        self._failing = failing

    def __call__(
        self, items: Sequence[ReferenceItem]
    ) -> Iterator[tuple[ReferenceItem, Outcome | KinecolorError]]:
        self.rounds.append([Path(item.output).stem for item in items])
        for item in items:
            if Path(item.output).stem in self._failing:
                yield item, REJECTED
                continue
            stored = Stored(item.output, "", len(write_still(item)), 1, 1.0)
            yield item, Outcome((stored,), 0.1, 1, "w", "n", "cpu")


@pytest.fixture
def items(tmp_path: Path) -> list[ReferenceItem]:
    """Stills a, b, c and d; b needs a, d needs a and c."""
    film = scanned_film(tmp_path, frames=4).ref

    def item(name: str, *kin: str) -> ReferenceItem:
        uris = [str(tmp_path / f"{each}.png") for each in (name, *kin)]
        kindred = tuple(StillRef(uri, uri, 0) for uri in uris[1:])
        return ReferenceItem(film, RunConfig(), 1, 0, "", kindred, uris[0])

    return [item("a"), item("b", "a"), item("c"), item("d", "c", "a")]


def test_stills_that_others_need_come_first(items: list[ReferenceItem]) -> None:
    maker, calls = Maker(), list[int]()
    assert make_stills(missing_stills(items)[0], maker, calls.append) == {}
    assert maker.rounds == [["a", "c"], ["b", "d"]]
    assert calls == [1, 2, 3, 4]


def test_what_is_there_is_not_made_again(items: list[ReferenceItem]) -> None:
    write_still(items[0])
    maker = Maker()
    assert make_stills(missing_stills(items)[0], maker, lambda _: None) == {}
    assert maker.rounds == [["c"], ["b", "d"]]


def test_a_failed_still_takes_those_along_that_need_it(items: list[ReferenceItem]) -> None:
    maker = Maker("c")
    failed = make_stills(missing_stills(items)[0], maker, lambda _: None)
    assert {Path(uri).stem for uri in failed} == {"c", "d"}
    assert all(error is REJECTED for error in failed.values())
    assert maker.rounds == [["a", "c"], ["b"]]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-20],
    "other pixels": lambda data: data[:-30] + b"\0" + data[-29:],
    "of another item": lambda data: as_png(STILL, "b.png"),
    "without a name": lambda data: as_png(STILL),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_still_is_removed_and_named(
    items: list[ReferenceItem], damage: Callable[[bytes], bytes]
) -> None:
    Path(items[0].output).write_bytes(damage(write_still(items[0])))
    write_still(items[2])
    absent = replace(items[1], output="/nowhere.png")
    missing, said = missing_stills([items[0], items[2], absent])
    assert said == ["a.png was damaged and is made again."]
    assert missing == [items[0], absent]
    assert not Path(items[0].output).exists() and Path(items[2].output).exists()
