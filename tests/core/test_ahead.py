from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from colorize_core.ahead import ahead


def test_the_same_items_in_order() -> None:
    assert list(ahead(iter(range(1000)))) == list(range(1000))
    assert list(ahead(iter(()))) == []


def test_an_error_comes_where_it_happened() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_no_more_than_its_depth_is_made_and_closing_ends_the_thread() -> None:
    made: list[int] = []

    def endless() -> Iterator[int]:
        for i in count():
            made.append(i)
            yield i

    items = ahead(endless(), depth=3)
    assert list(islice(items, 5)) == [0, 1, 2, 3, 4]
    assert len(made) <= 5 + 3 + 2
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
