"""One still as a piece of work: the network sees the picture upright, the film lies as it did."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from colorize_core.colorize import perform, prepare_process
from colorize_core.config import load_config
from colorize_core.engines import catalog
from colorize_core.engines.contract import GreyFrame
from colorize_core.film import open_film, read_timeline
from colorize_core.media.decode import FilmReader
from colorize_core.references.stills import load_still
from colorize_core.request import FilmRequest
from colorize_core.timebase import FrameSpan
from colorize_core.work import ReferenceItem, StillRef
from tests.film import MADE, quiet
from tests.media_factory import write_film
from tests.tiny.paper import paper_settings


def item_of(folder: Path, models: Path, rotation: int, sar: Fraction | None) -> ReferenceItem:
    made = replace(MADE, frames=4, scenes=(), rotation=rotation, sar=sar)
    if sar:
        made = replace(made, codec="libx264", pix_fmt="gray")
    source = write_film(folder / "film.mkv", made)
    config = load_config("fast", paper_settings(models))
    request = FilmRequest(
        source=str(source), output=str(folder / "o.mkv"), work=str(folder / "w"), config=config
    )
    film = open_film(request, quiet)
    ref = film.ref
    return ReferenceItem(ref, config, 1, 2, "A red coat.", (), str(folder / "still.png"))


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (-180, 2), (-90, -1)])
def test_the_network_sees_people_upright(
    rotation: int, turns: int, tmp_path: Path, paper_models: Path
) -> None:
    prepare_process()
    item = item_of(tmp_path, paper_models, rotation, None)
    assert item.film.source.rotation == rotation
    (stored,) = perform(item).stored
    made = load_still(stored.uri).lab

    part = catalog.reference_maker(item.config)
    size = part.facts.working_size(96, 64)
    with FilmReader(item.film.source, read_timeline(item.film.timeline)) as reader:
        (grey,) = reader.grey(FrameSpan(2, 3), *size)
    upright = GreyFrame(2, np.ascontiguousarray(np.rot90(grey.lstar, k=turns)))
    wanted = part.make(upright, "A red coat.", item.config.seed, ()).lab
    assert made.shape[:2] == (size[1], size[0])
    assert np.abs(np.rot90(made, k=turns) - wanted).max() < 1e-3


def test_a_still_of_an_anamorphic_film_has_square_pixels(
    tmp_path: Path, paper_models: Path
) -> None:
    prepare_process()
    (stored,) = perform(item_of(tmp_path, paper_models, 0, Fraction(2))).stored
    height, width = load_still(stored.uri).lab.shape[:2]
    assert width / height == pytest.approx(2 * 96 / 64, rel=0.03)


def test_a_still_that_is_there_counts_and_is_not_made_again(
    tmp_path: Path, paper_models: Path
) -> None:
    prepare_process()
    item = item_of(tmp_path, paper_models, 0, None)
    first = perform(item)
    assert perform(item).stored == first.stored
    assert first.weights.startswith("qwen ") and first.device == "cpu"


def test_kindred_stills_are_shown_to_the_network(tmp_path: Path, paper_models: Path) -> None:
    prepare_process()
    item = item_of(tmp_path, paper_models, 90, None)
    (alone,) = perform(item).stored
    kin = StillRef(alone.digest, alone.uri, 2)
    other = ReferenceItem(
        item.film, item.config, 2, 2, item.prompt, (kin,), str(tmp_path / "other.png")
    )
    (with_kin,) = perform(other).stored
    assert with_kin.digest != alone.digest
