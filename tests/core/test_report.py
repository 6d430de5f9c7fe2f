"""The report page: complete, self-contained, safe, and quick to find the worst shot in."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from importlib.resources import files

import cv2
import numpy as np
import pytest

from colorize_core.quality.figures import NAMES
from colorize_core.quality.flags import Flag
from colorize_core.report.build import MOST_TO_CHECK, build_report, to_check
from colorize_core.report.summary import FilmSummary, Picture, ShotSummary, thumbnail
from colorize_core.timebase import FrameSpan

_FILM = FilmSummary(
    title="moon.mp4",
    source="/films/moon.mp4",
    work="/films/work/films/0123456789ab",
    output="/films/moon.color.mkv",
    status="published",
    width=720,
    height=576,
    sar=Fraction(16, 15),
    rotation=0,
    rate=Fraction(24000, 1001),
    duration_s=Fraction(1001, 100),
    frames_in=1240,
    frames_out=1240,
    luma_exact=True,
    preset="exemplar",
    config_digest="0d9c" * 16,
    segments={"done": 12, "failed": 0},
    seconds=73.2,
    version="0.1.0",
)


_FLICKERS = Flag("flicker", 7.3, 3.0, 121)


def _photograph() -> np.ndarray:
    data = (files("skimage") / "data" / "coffee.png").read_bytes()
    coded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert coded is not None
    return cv2.cvtColor(coded[:338], cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def webp() -> bytes:
    return thumbnail(_photograph())


def _shot(number: int, webp: bytes, **changes: object) -> ShotSummary:
    start = 48 * (number - 1)
    shot = ShotSummary(
        number=number,
        span=FrameSpan(start, start + 48),
        start_s=Fraction(start, 24),
        end_s=Fraction(start + 48, 24),
        status="done",
        confidence=0.8,
        score=0.8,
        seconds=4.5,
        source=Picture(webp, f"frame {start + 24}"),
        references=(Picture(webp, "coffee@f24.png"),),
        results=tuple(Picture(webp, f"frame {start + at}") for at in (8, 24, 40)),
    )
    return replace(shot, **changes)  # type: ignore[arg-type]


class _Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_it_needs_no_other_file_and_every_tag_is_closed(webp: bytes) -> None:
    page = _Page(build_report(_FILM, [_shot(1, webp), _shot(2, webp, flags=(_FLICKERS,))]))
    assert page.open == []
    links = [value for _, tag in page.tags for key in ("src", "href") if (value := tag.get(key))]
    assert len(links) == 2 * 5 + 1
    assert all(link.startswith(("data:image/webp;base64,", "#shot-")) for link in links)
    assert not page.named("link")
    assert "@import" not in build_report(_FILM, []).decode()


def test_figures_stand_on_top(webp: bytes) -> None:
    shots = [
        _shot(1, webp, score=0.9),
        _shot(2, webp, score=0.6, span=FrameSpan(48, 144), flags=(_FLICKERS,)),
        _shot(3, webp, score=None, confidence=None, status="grey", reason="Nothing shows it."),
    ]
    text = _Page(build_report(_FILM, shots)).text
    for figure in (
        "1,240 → 1,240",
        "exact",
        "2 of 3",
        "1 left grey",
        "0.70",
        "1 shot pointed out",
        "1 min 13 s",
    ):
        assert figure in text, figure
    assert "23.976 (24000/1001)" in text
    assert "Nothing shows it." in text
    assert text.count("flickers at frame 121 (7.3, at most 3)") == 2  # on top, and in its row
    assert "00:00:04.000" in text


def test_an_unfinished_film_says_how_to_go_on(webp: bytes) -> None:
    film = replace(
        _FILM,
        status="unfinished",
        output=None,
        frames_out=None,
        luma_exact=None,
        segments={"done": 11, "quarantined": 1},
        next_command="kinecolor colorize '/films/moon.mp4'",
        warnings=("The source has colour already.",),
    )
    failed = _shot(
        1, webp, status="failed", reason="EngineFailed: flow", confidence=None, results=()
    )
    text = _Page(build_report(film, [failed])).text
    assert "kinecolor colorize '/films/moon.mp4'" in text
    assert "The source has colour already." in text
    assert "11 done, 1 quarantined" in text
    assert "EngineFailed: flow" in text


def test_a_held_film_says_what_to_do(webp: bytes) -> None:
    film = replace(_FILM, status="held", output=None, frames_out=None)
    text = _Page(build_report(film, [_shot(1, webp, score=0.2, held=True)])).text
    assert "held for a person" in text and "--hold-below 0" in text


def test_names_are_text_and_never_markup(webp: bytes) -> None:
    evil = "<script>alert(1)</script>\"><img src=x onerror='x'>"
    film = replace(_FILM, title=evil, source=evil, warnings=(evil,), next_command=evil)
    shot = _shot(1, webp, reason=evil, references=(Picture(webp, evil),))
    page = _Page(build_report(film, [shot]))
    assert len(page.named("script")) == 1
    assert len(page.named("img")) == 5
    assert not any("onerror" in tag for _, tag in page.tags)
    assert page.text.count(evil) == 7  # title, heading, warning, command, reason, caption, source


def test_the_worst_come_first(webp: bytes) -> None:
    shots = [
        _shot(1, webp, score=0.45, flags=(_FLICKERS,)),
        _shot(2, webp),
        _shot(3, webp, score=0.1, held=True),
        _shot(4, webp, status="grey", score=None, confidence=None),
        _shot(5, webp, status="failed", score=None, confidence=None),
    ]
    assert [shot.number for shot in to_check(shots)] == [5, 4, 3, 1]
    page = _Page(build_report(_FILM, shots))
    links = [tag["href"] for tag in page.named("a")]
    assert links == ["#shot-5", "#shot-4", "#shot-3", "#shot-1"]
    rows = {tag["id"] for tag in page.named("tr") if "id" in tag}
    assert rows == {f"shot-{number}" for number in range(1, 6)}


def test_a_long_film_stays_small_and_in_order(webp: bytes) -> None:
    flags = tuple(Flag(name, 0.1234, 0.1, 10_000) for name in NAMES)
    figures = dict.fromkeys(NAMES, 0.1234)
    shots = [_shot(number, webp, flags=flags, figures=figures) for number in range(1, 301)]
    report = build_report(_FILM, shots)
    assert len(report) / len(shots) < 40_000
    page = _Page(report)
    assert [tag["data-number"] for tag in page.named("tr") if "id" in tag] == [
        str(number) for number in range(1, 301)
    ]
    assert len(page.named("a")) == MOST_TO_CHECK
    assert all(tag["loading"] == "lazy" and tag["alt"] for tag in page.named("img"))
    assert report == build_report(_FILM, shots)


def test_without_script_nothing_useless_shows(webp: bytes) -> None:
    page = _Page(build_report(_FILM, [_shot(1, webp)]))
    tools = next(tag for _, tag in page.tags if tag.get("id") == "tools")
    assert "hidden" in tools


def test_no_shots_at_all() -> None:
    assert "0 of 0" in _Page(build_report(_FILM, [])).text


def _size(webp: bytes) -> tuple[int, int]:
    height, width = _pixels(webp).shape[:2]
    return width, height


def _pixels(webp: bytes) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return bgr[..., ::-1]


@pytest.mark.parametrize(
    ("wide", "tall", "sar", "rotation", "expected"),
    [
        (640, 360, Fraction(1), 0, (320, 180)),
        (720, 576, Fraction(64, 45), 0, (320, 180)),
        (640, 360, Fraction(1), 90, (320, 569)),
        (720, 576, Fraction(16, 15), 180, (320, 240)),
        (81, 45, Fraction(1), 0, (320, 178)),
        (3, 4000, Fraction(1), 0, (320, 640)),
        (4000, 1, Fraction(1), 0, (320, 1)),
    ],
)
def test_thumbnails_are_as_on_a_screen(
    wide: int, tall: int, sar: Fraction, rotation: int, expected: tuple[int, int]
) -> None:
    picture = np.zeros((tall, wide, 3), np.uint8)
    assert _size(thumbnail(picture, sar=sar, rotation=rotation)) == expected


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
def test_rotation_is_anticlockwise(rotation: int, corner: tuple[int, int]) -> None:
    picture = np.zeros((320, 320, 3), np.uint8)
    picture[:100, :100] = (255, 40, 0)
    turned = _pixels(thumbnail(picture, rotation=rotation))
    red, green, blue = (int(value) for value in turned[corner[0] * 20, corner[1] * 20])
    assert red > 200
    assert green < 80
    assert blue < 60


@pytest.mark.parametrize(
    ("picture", "rotation"),
    [
        (np.zeros((4, 4), np.uint8), 0),
        (np.zeros((4, 4, 3), np.float32), 0),
        (np.zeros((0, 4, 3), np.uint8), 0),
        (np.zeros((4, 4, 3), np.uint8), 45),
    ],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray, rotation: int) -> None:
    with pytest.raises(ValueError, match=r"rgb|rotation"):
        thumbnail(picture, rotation=rotation)


def test_a_confidence_outside_its_range_is_refused(webp: bytes) -> None:
    with pytest.raises(ValueError, match="confidence"):
        _shot(1, webp, confidence=1.2)
