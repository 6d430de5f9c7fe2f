"""The order of frames to colour: by what each brings to the film beside those before it."""

from __future__ import annotations

import pytest

from colorize_core.references.coverage import Pick
from colorize_core.references.proposals import ShotNeeds, rank


def needs(
    shot: int,
    frames: int,
    *picks: tuple[int, float],
    has: float = 0.0,
    is_open: bool = True,
    **to_kin: float,
) -> ShotNeeds:
    kin = {int(name.removeprefix("shot")): gain for name, gain in to_kin.items()}
    return ShotNeeds(shot, frames, has, tuple(Pick(*pick) for pick in picks), is_open, kin)


def test_a_long_shot_comes_before_a_short_one() -> None:
    film = [needs(1, 10, (5, 12.0)), needs(2, 90, (50, 6.0))]
    first, second = rank(film, 100, 5)
    assert (first.shot, second.shot) == (2, 1)
    assert first.film_gain_db == pytest.approx(5.4)
    assert second.film_gain_db == pytest.approx(1.2)
    assert second.gain_db == 12.0


def test_frames_of_one_shot_keep_their_order_and_the_count_is_kept() -> None:
    film = [needs(1, 50, (10, 9.0), (40, 4.0)), needs(2, 50, (70, 3.0))]
    assert [each.frame for each in rank(film, 100, 9)] == [10, 40, 70]
    assert [each.frame for each in rank(film, 100, 2)] == [10, 40]


def test_a_still_that_serves_kindred_shots_is_worth_more() -> None:
    film = [needs(1, 40, (5, 9.0)), needs(2, 30, (60, 9.0), shot3=7.0), needs(3, 30, (90, 9.0))]
    first, second, third = rank(film, 100, 5)
    assert (first.shot, first.serves) == (2, (3,))
    assert first.film_gain_db == pytest.approx(0.3 * 9 + 0.3 * 7)
    assert second.shot == 1
    # what shot 3 has from its kin is not counted again
    assert (third.shot, third.gain_db) == (3, pytest.approx(2.0))


def test_a_shot_with_a_still_of_its_own_is_served_by_nobody_else() -> None:
    film = [needs(1, 50, (5, 9.0), shot2=8.0), needs(2, 50, (60, 1.0), is_open=False)]
    first, second = rank(film, 100, 5)
    assert first.serves == ()
    assert (second.shot, second.gain_db) == (2, 1.0)


def test_what_stills_from_elsewhere_bring_already_is_taken_off() -> None:
    film = [needs(1, 100, (5, 9.0), has=7.5)]
    assert rank(film, 100, 1)[0].gain_db == pytest.approx(1.5)
    assert rank([needs(1, 100, (5, 9.0), has=9.5)], 100, 1) == ()


def test_beside_a_kindred_still_a_second_one_brings_no_more_than_the_first() -> None:
    film = [needs(1, 90, (5, 9.0), shot2=8.5), needs(2, 10, (92, 9.0), (98, 3.0))]
    assert [each.gain_db for each in rank(film, 100, 5)] == pytest.approx([9.0, 0.5, 0.5])
    assert [each.frame for each in rank(film, 100, 5, least_db=0.6)] == [5]


def test_nothing_to_propose() -> None:
    assert rank([], 100, 5) == ()
    assert rank([needs(1, 100)], 100, 5) == ()
