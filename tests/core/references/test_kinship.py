"""Shots of one place are kin: their stills are made from each other."""

from __future__ import annotations

import numpy as np
from skimage import data

from colorize_core.engines.contract import F32, GreyFrame
from colorize_core.media.color import srgb_to_lab
from colorize_core.references.kinship import Kin, find_kin


def lightness(name: str) -> F32:
    rgb = getattr(data, name)().astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(srgb_to_lab(rgb)[..., 0])


def view(shot: int, lstar: F32) -> tuple[int, GreyFrame]:
    return shot, GreyFrame(shot, lstar)


def test_shots_of_one_place_follow_its_first() -> None:
    astronaut, coffee = lightness("astronaut"), lightness("coffee")
    closer = np.ascontiguousarray(astronaut[40:, 60:])
    shots = [view(1, astronaut), view(2, coffee), view(5, closer), view(7, coffee[::1, :-30])]
    assert find_kin(shots, 2) == (Kin(1, ()), Kin(2, ()), Kin(5, (1,)), Kin(7, (2,)))


def test_no_kin_are_looked_for_where_none_are_taken() -> None:
    astronaut = lightness("astronaut")
    assert find_kin([view(1, astronaut), view(2, astronaut)], 0) == (Kin(1, ()), Kin(2, ()))


def test_a_follower_leads_nobody() -> None:
    astronaut = lightness("astronaut")
    shots = [view(i, astronaut) for i in (1, 2, 3)]
    assert find_kin(shots, 2) == (Kin(1, ()), Kin(2, (1,)), Kin(3, (1,)))


def test_no_shots() -> None:
    assert find_kin([], 2) == ()
