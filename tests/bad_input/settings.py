"""Settings that are none, and values that no setting has."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_input.case import Case, Place, Refused


def _set(*assignments: str) -> Callable[[Place], list[str]]:
    options = [part for each in assignments for part in ("--set", each)]
    return lambda place: place.colorize(place.film(), *options)


def _with(*options: str) -> Callable[[Place], list[str]]:
    return lambda place: place.colorize(place.film(), *options)


_UNKNOWN = "Setting .*(Extra inputs|does not exist)"
_ASSIGNED: dict[str, tuple[str, str]] = {
    "an unknown setting": ("colour=loud", _UNKNOWN),
    "an unknown setting in a part": ("flow.colour=loud", _UNKNOWN),
    "an attribute for a setting": ("__class__=evil", _UNKNOWN),
    "an attribute in a setting": ("flow.__class__.__init__=evil", _UNKNOWN),
    "a setting without a name": (".=1", "not a setting"),
    "a setting of dots": ("flow...=1", "not a setting"),
    "too deep a setting": ("flow.levels.deep=1", "Setting flow.levels"),
    "a setting in a value": ("seed.deep=1", "Setting seed"),
    "no value": ("merge", "not a setting"),
    "no name": ("=lab", "not a setting"),
    "an unknown part": ("parts.anchors=evil", "Setting parts.anchors"),
    "a path for a part": ("parts.anchors=../../evil.py", "Setting parts.anchors"),
    "a list for parts": ('parts=["match"]', "Setting parts"),
    "null for parts": ("parts=null", "Setting parts"),
    "a word for a number": ("anchor_interval=often", "Setting anchor_interval"),
    "half an interval": ("anchor_interval=1.5", "Setting anchor_interval"),
    "an interval of 0": ("anchor_interval=0", "Setting anchor_interval"),
    "a huge interval": ("anchor_interval=1000001", "Setting anchor_interval"),
    "a number of 5000 digits": ("seed=" + "1" * 5000, "Setting seed"),
    "a negative seed": ("seed=-1", "Setting seed"),
    "no number for a setting": ("lab_dither=NaN", "Setting lab_dither"),
    "infinity": ("lab_dither=Infinity", "Setting lab_dither"),
    "a power of 400": ("lab_dither=1e400", "Setting lab_dither"),
    "100,000 brackets": ("flow=" + "[" * 100_000, "Setting flow"),
    "100,000 braces": ("flow=" + '{"levels":' * 100_000, "Setting flow"),
    "a megabyte of JSON": ("flow=" + "[" + "1," * 500_000 + "1]", "Setting flow"),
    "a failure that is none": ("on_failure=ignore", "Setting on_failure"),
    "settings that do not fit": ("budgets.deaths_per_worker=2", "deaths_per_worker .* more than"),
}

CASES = (
    *(Case(name, _set(text), Refused(words)) for name, (text, words) in _ASSIGNED.items()),
    Case("a value and its inside", _set("flow=5", "flow.levels=3"), Refused("flow.levels")),
    Case("an inside and its value", _set("flow.levels=3", "flow=5"), Refused("Setting flow")),
    Case(
        "parts that do not fit",
        _set("parts.interpolation=svd", "anchor_interval=100"),
        Refused("Settings do not fit: anchor_interval"),
    ),
    Case("an unknown preset", _with("--preset", "../grand"), Refused("no preset")),
    Case("an unknown device", _with("--device", "tpu"), Refused("device")),
    Case("no workers", _with("--workers", "0"), Refused("--workers")),
    Case("half a worker", _with("--workers", "1.5"), Refused("--workers")),
    Case("an unknown option", _with("--paint"), Refused("--paint")),
    Case("two sources", _with("another.mkv"), Refused("another.mkv|unexpected|extra")),
)
