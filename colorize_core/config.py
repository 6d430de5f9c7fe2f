"""The frozen configuration of a run: everything that changes a result, and how it meets failures.

How wide a run fans out and where it stores things are not here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from colorize_core.engines.diffusion.settings import (
    DualAttentionSettings,
    QwenSettings,
    SvdSettings,
)
from colorize_core.engines.exemplar.settings import FlowSettings, MatchSettings
from colorize_core.errors import SettingError
from colorize_core.quality.settings import QualitySettings
from colorize_core.references.settings import ToneSettings


def digest_of(value: Any) -> str:
    """sha256 (hex) of a JSON value in canonical form: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Parts(BaseModel):
    """Which engine part does which stage (design, section 5)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: Literal["images", "qwen"] = "images"
    anchors: Literal["match", "dual_attention"] = "match"
    interpolation: Literal["flow", "svd"] = "flow"


class Budgets(BaseModel, frozen=True, extra="forbid"):
    """How often workers may die before a run gives something up. A worker dies when its process or
    its node does, or when it runs out of memory."""

    deaths_per_item: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Workers that may die on one piece of work before its segment is quarantined. "
        "1: a node that goes away costs what it was working on. Large: poison costs as many starts "
        "of a worker.",
    )
    deaths_per_worker: int = Field(
        default=8,
        ge=2,
        le=1000,
        description="Times in a row that a worker may die, each time on other work and with "
        "nothing finished in between, before its place is given up; with the last place the run "
        "ends. More than deaths_per_item, so that one piece of poison closes no place.",
    )

    @model_validator(mode="after")
    def _poison_closes_no_place(self) -> Self:
        if self.deaths_per_worker <= self.deaths_per_item:
            raise ValueError(
                f"deaths_per_worker ({self.deaths_per_worker}) must be more than deaths_per_item "
                f"({self.deaths_per_item})"
            )
        return self


class RunConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that changes a pixel of the result, and what a run may spend on failures."""

    preset: str = Field(default="exemplar", description="The preset these values started from.")
    parts: Parts = Field(default=Parts(), description="One engine part for each stage.")
    anchor_interval: int = Field(
        default=24,
        ge=1,
        le=1000,
        description="K, frames from one anchor to the next (paper, section 3.2).",
    )
    tone: ToneSettings = Field(
        default=ToneSettings(), description="One tone for the stills of one scene."
    )
    anchor_spacing: Literal["fixed", "adaptive"] = Field(
        default="fixed",
        description="fixed: an anchor every anchor_interval frames (paper). adaptive: nearer "
        "together where the picture changes fast, a third of anchor_interval at least; wider where "
        "it does not, twice anchor_interval at most, or what svd.max_frames allows.",
    )
    reference_choice: Literal["coverage", "middle"] = Field(
        default="coverage",
        description="Which frame of a shot a still is made of: coverage: the one whose colours "
        "would reach most of the shot; middle: its middle frame (paper, section 3.1).",
    )
    most_references: int = Field(
        default=3,
        ge=1,
        le=15,
        description="Stills made for one shot, at most; more than one with coverage only, for "
        "shots that are long or change.",
    )
    least_gain: float = Field(
        default=3.0,
        ge=0,
        le=30,
        description="dB of PSNR that a further still has to be expected to bring to its shot. "
        "Small: many stills, which may not agree in their colours.",
    )
    merge: Literal["exact_luma", "lab"] = Field(
        default="exact_luma",
        description="How chroma meets the source: exact_luma keeps its Y' plane bit for bit; "
        "lab keeps its L* (the paper's form, for evaluation).",
    )
    lab_dither: float = Field(
        default=0.7,
        ge=0,
        le=10,
        description="Amplitude (units of a* and b*) of the dither that merge=lab adds to chroma. "
        "0: smooth colours over an 8-bit grey show combs in their histograms (CDC). Large: noise.",
    )
    seed: int = Field(
        default=42, ge=0, lt=2**31, description="Seed of every random draw (paper: 42)."
    )
    on_failure: Literal["stop", "grey"] = Field(
        default="stop",
        description="What becomes of a film with segments that failed: stop does not publish it; "
        "grey publishes it with their frames grey, and says so in the report, the manifest and the "
        "frame list.",
    )
    budgets: Budgets = Field(default=Budgets(), description="What a run may spend on failures.")
    quality: QualitySettings = Field(
        default=QualitySettings(), description="Which shots a person should look at."
    )
    match: MatchSettings = Field(default=MatchSettings(), description="Settings of part `match`.")
    flow: FlowSettings = Field(default=FlowSettings(), description="Settings of part `flow`.")

    qwen: QwenSettings = Field(default=QwenSettings(), description="Settings of part `qwen`.")
    dual_attention: DualAttentionSettings = Field(
        default=DualAttentionSettings(), description="Settings of part `dual_attention`."
    )
    svd: SvdSettings = Field(default=SvdSettings(), description="Settings of part `svd`.")

    @model_validator(mode="after")
    def _segments_fit(self) -> Self:
        if self.parts.interpolation == "svd" and self.anchor_interval + 1 > self.svd.max_frames:
            raise ValueError(
                f"anchor_interval {self.anchor_interval} makes segments of "
                f"{self.anchor_interval + 1} frames, and svd.max_frames is {self.svd.max_frames}"
            )
        return self

    def settings_of(self, part: str) -> BaseModel:
        """The settings of an engine part: the field that is named after it."""
        settings = getattr(self, part)
        if not isinstance(settings, BaseModel):
            raise TypeError(f"{part} is no engine part with settings")
        return settings

    @property
    def most_stills(self) -> int:
        """Stills that are made for one shot, at most."""
        return self.most_references if self.reference_choice == "coverage" else 1

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump(mode="json", exclude={"budgets", "quality"}))


Settings = TypeVar("Settings", bound=BaseModel)

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "exemplar": {"parts": {"reference": "images", "anchors": "match", "interpolation": "flow"}},
    "paper": {
        "parts": {"reference": "qwen", "anchors": "dual_attention", "interpolation": "svd"},
        "reference_choice": "middle",
    },
    "fast": {"parts": {"reference": "qwen", "anchors": "dual_attention", "interpolation": "flow"}},
}


def load_config(preset: str = "exemplar", assignments: Sequence[str] = ()) -> RunConfig:
    """The configuration of a preset with ``key=value`` assignments on top (``flow.levels=3``).

    Raises:
        SettingError: no such preset or setting, or a value out of range.
    """
    if preset not in PRESETS:
        raise SettingError(
            f"There is no preset “{preset}”.", f"Presets: {', '.join(sorted(PRESETS))}."
        )
    return assigned(
        RunConfig, {"preset": preset, **json.loads(json.dumps(PRESETS[preset]))}, assignments
    )


def assigned(
    settings: type[Settings], values: dict[str, Any], assignments: Sequence[str]
) -> Settings:
    """Settings of `values` with ``key=value`` assignments on top.

    Raises:
        SettingError: no such setting, or a value out of range.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        path = [name.strip() for name in key.split(".")]
        if not equals or not all(path):
            raise SettingError(
                f"“{assignment}” is not a setting.", "Write --set key=value, such as merge=lab."
            )
        _assign(values, path, text.strip(), key)
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise SettingError(
            f"Setting {where}: {said}." if first["loc"] else f"Settings do not fit: {said}.",
            "docs/configuration.md lists every setting with its range.",
        ) from error


def _assign(values: dict[str, Any], path: list[str], text: str, key: str) -> None:
    for name in path[:-1]:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise SettingError(f"Setting {key} does not exist.", "See docs/configuration.md.")
        values = inner
    values[path[-1]] = _parse(text)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # thousands of digits or brackets are no values, either
        return text
