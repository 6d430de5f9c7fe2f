"""Which stills move, and where to: most shots decide, a person's word comes first."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from colorize_core.engines.contract import ColourStill
from colorize_core.media.color import lab_of_pixels
from colorize_core.references.harmonize import Served, find_differences, harmonize
from colorize_core.references.tone import SceneColours, Tone
from tests.one_scene import COOL, SHOTS, WARM, in_light, true_frame

MOST = 50.0
RIGHT, YELLOW, BLUE = Tone(0, 0), Tone(0.4, -0.5), Tone(-0.3, 0.4)


def between(*tones: Tone) -> dict[tuple[int, int], Tone]:
    """All differences of stills with these tones."""
    return {
        (i, k): Tone(tones[k].red - tones[i].red, tones[k].blue - tones[i].blue)
        for i, k in combinations(range(len(tones)), 2)
    }


def stills(count: int, *fixed: int) -> list[Served]:
    return [Served(f"s{i}", (i + 1,), i in fixed) for i in range(count)]


def test_pictures_of_one_scene_come_to_the_light_of_most() -> None:
    lights = {1: WARM, 3: COOL}
    pictures = [in_light(true_frame(6 * i), lights.get(i, (1, 1, 1))) for i in range(SHOTS)]
    colours = (SceneColours.of(ColourStill("any", lab_of_pixels(each))) for each in pictures)
    differences = find_differences(colours)
    assert len(differences) == 10
    moves = harmonize(stills(SHOTS), differences, MOST)
    assert set(moves) == {"s1", "s3"}
    assert moves["s1"].towards == moves["s3"].towards == (1, 3, 5)
    assert moves["s1"].tone.red == pytest.approx(-0.433, abs=0.02)


def test_a_wrong_still_moves_none_that_is_right() -> None:
    tones = (RIGHT, Tone(0.01, 0), YELLOW, Tone(0, -0.01), YELLOW)
    moves = harmonize(stills(5), between(*tones), MOST)
    assert set(moves) == {"s2", "s4"}
    assert (moves["s2"].tone.red, moves["s2"].tone.blue) == pytest.approx((-0.4, 0.5), abs=0.01)


def test_a_wrong_difference_counts_little() -> None:
    differences = between(RIGHT, RIGHT, YELLOW, RIGHT)
    differences[0, 1] = Tone(0.8, 0.8)
    assert set(harmonize(stills(4), differences, MOST)) == {"s2"}


def test_a_still_of_more_shots_outweighs_one() -> None:
    two = [Served("one", (1,)), Served("more", (2, 3))]
    (moved,) = harmonize(two, between(RIGHT, YELLOW), MOST).items()
    assert moved[0] == "one" and moved[1].towards == (2, 3)


def test_of_two_that_differ_the_earlier_holds() -> None:
    assert set(harmonize(stills(2), between(RIGHT, YELLOW), MOST)) == {"s1"}


def test_persons_stills_set_the_tone_each_around_it() -> None:
    tones = (YELLOW, RIGHT, RIGHT, RIGHT, BLUE)
    moves = harmonize(stills(5, 0, 4), between(*tones), MOST)
    assert {name: move.towards for name, move in moves.items()} == {
        "s1": (1,),
        "s2": (1,),
        "s3": (5,),
    }
    assert (moves["s3"].tone.red, moves["s3"].tone.blue) == pytest.approx((-0.3, 0.4), abs=0.01)


def test_what_is_not_seen_is_left_alone() -> None:
    assert harmonize(stills(3), between(RIGHT, Tone(0.02, -0.03), RIGHT), MOST) == {}


def test_scenes_do_not_touch_each_other() -> None:
    differences = {(0, 2): YELLOW, (1, 3): BLUE}
    moves = harmonize(stills(5), differences, MOST)
    assert {name: move.towards for name, move in moves.items()} == {"s2": (1,), "s3": (2,)}


def test_a_far_one_comes_nearer_as_far_as_it_may() -> None:
    (move,) = harmonize(stills(3), between(RIGHT, YELLOW, RIGHT), 5.0).values()
    assert move.tone.shift == pytest.approx(5, abs=0.2)
    assert move.wanted > 14


def test_nothing_to_bring_together() -> None:
    assert harmonize([], {}, MOST) == {}
    assert harmonize(stills(3), {}, MOST) == {}


@pytest.mark.footage
def test_true_stills_of_a_real_film_are_left_alone(footage: Path) -> None:
    """Two of each of eighteen shots of Tears of Steel; in shot 12 a red lamp is on that was off in
    shot 3, which shows the same."""
    cuts = json.loads((footage / "cuts_gt.json").read_text())["mdn_tears-of-steel-battle.webm"]
    spans = list(pairwise([0, *cuts["cuts"]]))[:18]
    wanted = [start + (end - start) * third // 3 for start, end in spans for third in (1, 2)]
    colours = []
    with av.open(str(footage / "cuts" / "mdn_tears-of-steel-battle.webm")) as film:
        for i, frame in enumerate(film.decode(video=0)):
            if i in wanted:
                lab = lab_of_pixels(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                colours.append(SceneColours.of(ColourStill("any", lab)))
            if i >= wanted[-1]:
                break
    differences = find_differences(colours)
    assert len(differences) >= 8
    served = [Served(f"s{i}", (i // 2 + 1,)) for i in range(len(colours))]
    assert harmonize(served, differences, MOST) == {}
