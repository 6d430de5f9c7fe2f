"""The evaluation as one self-contained page: the paper's table beside it, worst clips first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from colorize_core.evaluation.measure import Evaluation, Overall
from colorize_core.report.build import templates_of


@dataclass(frozen=True, slots=True)
class Published:
    """A row of the paper's table 1 (DAVIS30). None: not published."""

    method: str
    psnr: float
    ssim: float
    lpips: float
    fid: float | None
    cdc: float | None
    colorfulness: float


TABLE_1 = (
    Published("AutoColor", 24.41, 0.915, 0.264, 83.05, 0.003734, 14.14),
    Published("DeepExemplar", 21.78, 0.846, 0.325, 77.26, 0.004006, 28.82),
    Published("DeepRemaster", 21.95, 0.848, 0.354, 97.54, 0.005098, 25.66),
    Published("TCVC", 25.17, 0.921, 0.239, 74.94, 0.003649, 21.72),
    Published("VCGAN", 23.90, 0.910, 0.247, 70.29, 0.005303, 15.89),
    Published("ColorDiffuser", 23.73, 0.939, 0.213, 69.51, 0.003607, 29.13),
    Published("L-C4", 25.69, 0.933, 0.209, None, 0.003114, 29.33),
    Published("VanGogh", 23.20, 0.939, 0.191, None, None, 60.09),
    Published("Kimura and Yanai", 26.28, 0.942, 0.117, 61.50, 0.003965, 43.51),
)
_FORMATS = {"psnr": ".2f", "ssim": ".3f", "lpips": ".3f", "fid": ".2f", "cdc": ".6f"}
_PLOT_WIDTH, _PLOT_HEIGHT = 240, 36  # pixels
_PLOT_DB = (15.0, 45.0)  # of all plots, so that they can be compared


def build_page(evaluation: Evaluation) -> bytes:
    """UTF-8 HTML that needs no other file, network or script. The same values, the same bytes."""
    environment = templates_of("colorize_core.evaluation")
    environment.filters.update(figure=_figure, points=_points)
    page = environment.get_template("page.html.j2")
    size = {"width": _PLOT_WIDTH, "height": _PLOT_HEIGHT, "low": _PLOT_DB[0], "high": _PLOT_DB[1]}
    return page.render(evaluation=evaluation, published=TABLE_1, plot=size).encode()


def _figure(value: float | None, name: str) -> str:
    return "–" if value is None else format(value, _FORMATS.get(name, ".2f"))


def _points(decibels: Sequence[float]) -> str:
    """An SVG polyline of PSNR by frame."""
    low, high = _PLOT_DB
    last = max(1, len(decibels) - 1)
    places = (
        (
            _PLOT_WIDTH * index / last,
            _PLOT_HEIGHT * (1 - min(max((db - low) / (high - low), 0), 1)),
        )
        for index, db in enumerate(decibels)
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def in_words(overall: Overall) -> str:
    """The figures in one line."""
    names = ("psnr", "ssim", "lpips", "fid", "cdc", "colorfulness", "warp_error")
    return ", ".join(f"{name} {_figure(getattr(overall, name), name)}" for name in names)
