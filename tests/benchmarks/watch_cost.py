"""What looking at a segment's colours costs: its share of the CPU time of the segment's work.

    python -m tests.benchmarks.watch_cost --sequences ../shared/footage/davis

The first 50 frames of each sequence (``frames/*.jpg``) are a grey film with one true still, which
goes through the preset `exemplar` in this process. Timed are the work on segments (reading, part
`flow`, looking, storing) and the looking in it, stills included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorize_core import colorize
from colorize_core.evaluation.prepare import grey_of
from colorize_core.local import colorize_film
from colorize_core.request import FilmRequest
from tests.benchmarks.propagation import write_grey
from tests.film import quiet

FRAMES = 50
SEGMENT, LOOKING = "_fill_segment", ("watch", "_standard")


def timed(name: str, spent: defaultdict[str, float]) -> Callable[..., Any]:
    """The function of `colorize` with this name, which counts its CPU seconds."""
    work = getattr(colorize, name)

    def run(*arguments: Any) -> Any:
        began = time.process_time()
        try:
            return work(*arguments)
        finally:
            spent[name] += time.process_time() - began

    return run


def colorize_sequence(sequence: Path) -> None:
    frames = [np.asarray(Image.open(path)) for path in sorted(sequence.glob("frames/*.jpg"))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_grey(folder / "film.mkv", [grey_of(frame) for frame in frames[:FRAMES]])
        Image.fromarray(frames[FRAMES // 2]).save(folder / "still.png")
        request = FilmRequest(
            source=str(folder / "film.mkv"),
            output=str(folder / "out.mkv"),
            work=str(folder / "work"),
            references=(f"{folder}/still.png@f{FRAMES // 2}",),
        )
        colorize_film(request, quiet)


def main() -> None:
    parser = argparse.ArgumentParser(description="What looking at colours costs.")
    parser.add_argument("--sequences", type=Path, required=True, help="folder of sequences")
    spent: defaultdict[str, float] = defaultdict(float)
    for name in (SEGMENT, *LOOKING):
        setattr(colorize, name, timed(name, spent))
    folders = sorted(parser.parse_args().sequences.glob("*/frames"))
    for folder in folders:
        spent.clear()
        colorize_sequence(folder.parent)
        looking = sum(spent[name] for name in LOOKING)
        print(
            f"{folder.parent.name:16s}{spent[SEGMENT]:7.2f} s of CPU for segments, {looking:.2f} s "
            f"of it looking: {100 * looking / spent[SEGMENT]:.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
