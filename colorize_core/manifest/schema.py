"""The manifest's tables. A row is a frozen value; only its class knows the columns.

The Arrow schema, the field documentation in every file and the tables in ``docs/manifest.md`` come
from these classes.
"""

from __future__ import annotations

import types
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from colorize_core.manifest import columns
from colorize_core.plan import segment_id

SCHEMA_VERSION = 4
SCHEMA_VERSION_KEY = b"kinecolor.schema_version"
TABLE_KEY = b"kinecolor.table"

SegmentStatus = Literal["pending", "running", "done", "failed", "quarantined"]
ShotStatus = Literal["pending", "done", "grey", "partial", "failed"]
FilmStatus = Literal["running", "published", "held", "unfinished", "stopped", "failed"]
FAILED: tuple[SegmentStatus, ...] = ("failed", "quarantined")


class Row(BaseModel):
    """What all rows share. `table`: the table's name; `key`: the columns that tell rows apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]

    @property
    def identity(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.key)


class SegmentRow(Row):
    """One segment: what it is, what it is made from, what has become of it."""

    table: ClassVar[str] = "segments"
    key: ClassVar[tuple[str, ...]] = ("shot", "segment")

    film: str = Field(description="The film's id: the first 16 digits of its source's sha256.")
    shot: int = Field(ge=0, description="Number of the shot, from 1.")
    segment: int = Field(ge=0, description="Number of the segment in its shot, from 1.")
    start: int = Field(ge=0, description="First frame that the segment owns, counted from 0.")
    end: int = Field(description="The frame after its last one.")
    start_pts: int = Field(description="pts of its first frame, in the source's time base.")
    last_pts: int = Field(description="pts of its last frame.")
    start_anchor: int = Field(ge=0, description="Frame of the anchor at its start.")
    end_anchor: int = Field(ge=0, description="Frame of the anchor at its end.")
    start_anchor_object: str | None = Field(
        default=None,
        description="Object of the start anchor's colours, relative to the film's folder.",
    )
    end_anchor_object: str | None = Field(
        default=None,
        description="Object of the end anchor's colours, relative to the film's folder.",
    )
    start_anchor_digest: str | None = Field(
        default=None, description="sha256 of the start anchor's object."
    )
    end_anchor_digest: str | None = Field(
        default=None, description="sha256 of the end anchor's object."
    )
    references: tuple[str, ...] = Field(
        default=(), description="Digests of the colour stills that the shot takes its colours from."
    )
    anchor_references: tuple[str, ...] = Field(
        default=(),
        description="Those of them that the segment's anchors took, where the anchors' part chose; "
        "empty: all.",
    )
    prompt: str = Field(
        default="", description="The prompt that the shot's reference was made with."
    )
    reference_part: str = Field(description="Engine part of stage reference, with its version.")
    anchors_part: str = Field(description="Engine part of stage anchors, with its version.")
    interpolation_part: str = Field(
        description="Engine part of stage interpolation, with its version."
    )
    config_digest: str = Field(description="Digest of the run configuration.")
    seed: int = Field(description="Seed of every random draw.")
    status: SegmentStatus = Field(
        default="pending",
        description="pending: not made, or not looked at yet in this run. running: given to the "
        "workers. done: its object is there whole. failed: given up for a reason outside itself, "
        "such as an anchor that could not be made. quarantined: every try at it failed.",
    )
    grey: bool = Field(
        default=False,
        description="Its frames stay grey: no usable reference, asked for, or, where it failed, "
        "on_failure=grey.",
    )
    attempts: int = Field(
        default=0, ge=0, description="Tries in the run that computed it or gave it up."
    )
    error_class: str | None = Field(default=None, description="Class of the last error.")
    error: str | None = Field(default=None, description="What the last error said.")
    uri: str | None = Field(
        default=None, description="Object of the segment's colours, relative to the film's folder."
    )
    digest: str | None = Field(default=None, description="sha256 of that object.")
    bytes: int | None = Field(default=None, ge=0, description="Size of that object.")
    frames: int | None = Field(default=None, ge=0, description="Frames in that object.")
    worker: str | None = Field(default=None, description="Worker that made it.")
    node: str | None = Field(default=None, description="Machine that made it.")
    device: str | None = Field(
        default=None, description="Device that made it: cpu, or the GPU's name."
    )
    seconds: float | None = Field(default=None, ge=0, description="Seconds that the worker needed.")
    peak_memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="The worker's peak memory: resident, or of its tensors on a GPU.",
    )
    confidence: float | None = Field(
        default=None, ge=0, le=1, description="Mean confidence of its colours, 0 (a guess) to 1."
    )
    score: columns.Score = None
    grey_leftover: columns.GreyLeftover = None
    grey_leftover_frame: columns.GreyLeftoverFrame = None
    flicker: columns.Flicker = None
    flicker_frame: columns.FlickerFrame = None
    drift: columns.Drift = None
    drift_frame: columns.DriftFrame = None
    bleeding: columns.Bleeding = None
    bleeding_frame: columns.BleedingFrame = None
    joint: columns.Joint = None
    joint_frame: columns.JointFrame = None
    confidence_frame: columns.ConfidenceFrame = None
    computed_in_run: str | None = Field(default=None, description="Id of the run that computed it.")

    @property
    def id(self) -> str:
        """What people call the segment: shot and number."""
        return segment_id(self.shot, self.segment)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.end <= self.start:
            raise ValueError("a segment owns at least one frame")
        if self.status == "done" and not self.grey:
            if self.uri is None or self.digest is None or self.bytes is None:
                raise ValueError("a segment that is done names its object, digest and bytes")
            if self.frames != self.end - self.start:
                raise ValueError(f"{self.end - self.start} frames planned, {self.frames} made")
        if self.status in FAILED and self.error_class is None:
            raise ValueError("a segment that failed says why")
        return self


class ShotRow(Row):
    """One shot: its place in the film, where its colours come from, its finished chunks."""

    table: ClassVar[str] = "shots"
    key: ClassVar[tuple[str, ...]] = ("shot",)

    film: str = Field(description="The film's id.")
    shot: int = Field(ge=0, description="Number of the shot, from 1.")
    start: int = Field(ge=0, description="First frame, counted from 0.")
    end: int = Field(description="The frame after its last one.")
    start_timecode: str = Field(description="When it starts, HH:MM:SS.mmm, for people.")
    end_timecode: str = Field(description="When it ends, HH:MM:SS.mmm, for people.")
    boundary: str = Field(description="What its start is: start of the film, cut or fade.")
    enabled: bool = Field(default=True, description="Whether the shot list asks for its colours.")
    prompt: str = Field(default="", description="The shot's prompt.")
    references: tuple[str, ...] = Field(default=(), description="Digests of its colour stills.")
    reference_choice: str = Field(
        default="", description="How its stills were chosen: by moment, by likeness, or not at all."
    )
    reference_score: float | None = Field(
        default=None,
        description="How well the best still fits the shot, 0 to 1; null where not asked.",
    )
    references_before_tone: tuple[str, ...] = Field(
        default=(),
        description="Digests of its stills before their tone was brought to that of their scene; "
        "empty: none was changed.",
    )
    tone_shift: float | None = Field(
        default=None,
        ge=0,
        description="How far the tone of its stills was moved, at most: the way of a middle grey "
        "in units of a*b*; null: not at all.",
    )
    status: ShotStatus = Field(
        default="pending",
        description="pending: not finished. done: its chunks are there. grey: the same, without "
        "colour. partial: the same, with the frames of failed segments grey. failed: some of its "
        "segments failed.",
    )
    chunks: tuple[str, ...] = Field(
        default=(),
        description="Objects of its finished frames in order, relative to the film's folder.",
    )
    chunk_digests: tuple[str, ...] = Field(default=(), description="sha256 of each chunk.")
    bytes: int | None = Field(default=None, ge=0, description="Size of its chunks together.")
    frames: int | None = Field(default=None, ge=0, description="Frames in its chunks together.")
    confidence: float | None = Field(
        default=None, ge=0, le=1, description="Mean confidence of its colours, 0 (a guess) to 1."
    )
    score: columns.Score = None
    grey_leftover: columns.GreyLeftover = None
    grey_leftover_frame: columns.GreyLeftoverFrame = None
    flicker: columns.Flicker = None
    flicker_frame: columns.FlickerFrame = None
    drift: columns.Drift = None
    drift_frame: columns.DriftFrame = None
    bleeding: columns.Bleeding = None
    bleeding_frame: columns.BleedingFrame = None
    joint: columns.Joint = None
    joint_frame: columns.JointFrame = None
    confidence_frame: columns.ConfidenceFrame = None
    seconds: float | None = Field(
        default=None, ge=0, description="Workers' seconds for the whole shot."
    )
    note: str = Field(default="", description="What a person should know of the shot.")
    computed_in_run: str | None = Field(
        default=None, description="Id of the run that made its chunks."
    )

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.end <= self.start:
            raise ValueError("a shot has at least one frame")
        if self.status in {"done", "grey", "partial"}:
            if not self.chunks or len(self.chunks) != len(self.chunk_digests):
                raise ValueError("a finished shot names its chunks and a digest for each")
            if self.frames != self.end - self.start:
                raise ValueError(f"{self.end - self.start} frames planned, {self.frames} made")
        return self

    @property
    def stills(self) -> tuple[str, ...]:
        """Digests of all its stills, as they are and as they were before their tone was changed."""
        return (*self.references, *self.references_before_tone)


class FilmRow(Row):
    """The film and the last run over it. The table has one row."""

    table: ClassVar[str] = "films"
    key: ClassVar[tuple[str, ...]] = ("film",)

    film: str = Field(description="The film's id.")
    title: str = Field(description="What people call it: the source's file name.")
    source: str = Field(description="Where the source was, without secrets.")
    digest: str = Field(description="sha256 of the source.")
    bytes: int = Field(ge=0, description="Size of the source.")
    frames: int = Field(ge=1, description="Frames of the source, counted by decoding.")
    rate: str = Field(description="Nominal frames per second, a fraction such as 24000/1001.")
    width: int = Field(ge=1, description="Width of the coded picture.")
    height: int = Field(ge=1, description="Height of the coded picture.")
    sar: str = Field(description="Sample aspect ratio, a fraction.")
    pix_fmt: str = Field(description="Pixel format of the source, in FFmpeg's words.")
    depth: int = Field(ge=1, description="Bits of a Y' sample.")
    config: str = Field(description="The run configuration, as JSON.")
    config_digest: str = Field(description="Digest of the run configuration.")
    weights: tuple[str, ...] = Field(
        default=(),
        description="Weights that made its colours: part, id and revision or folder, sha256; + "
        "what was added to them, a ControlNet or a LoRA.",
    )
    accepted_licences: tuple[str, ...] = Field(
        default=(), description="Licences of weights that the run's owner accepted."
    )
    status: FilmStatus = Field(
        default="running",
        description="running: a run is at it, or was killed. published: the result is at its "
        "final name. held: all is made, and waits for a person, since shots score below "
        "quality.hold_below. unfinished: segments failed, nothing was published. stopped: somebody "
        "ended the run. failed: the run ended with an error.",
    )
    output: str | None = Field(default=None, description="Where the result was published.")
    output_digest: str | None = Field(default=None, description="sha256 of the published result.")
    made_from: str | None = Field(
        default=None, description="Digest of the chunks that the result was joined from."
    )
    frames_out: int | None = Field(default=None, ge=0, description="Frames of the result, counted.")
    failed_frames: int = Field(
        default=0,
        ge=0,
        description="Frames of the result that are grey because their segments failed.",
    )
    frame_list_digest: str | None = Field(
        default=None, description="sha256 of the frame list beside the result."
    )
    luma_exact: bool | None = Field(
        default=None,
        description="Whether the source's Y' plane was proved kept; null: not asked for.",
    )
    warnings: tuple[str, ...] = Field(
        default=(), description="What a person should know of the run."
    )
    error: str | None = Field(
        default=None, description="What ended the run, where an error did, or holds the film."
    )
    failures_in_a_row: int = Field(
        default=0,
        ge=0,
        description="Runs in a row that ended and left work undone: failed, unfinished, killed, or "
        "published with failed frames. A run that somebody stopped counts for nothing; another "
        "configuration or place of the source begins anew.",
    )
    run: str = Field(description="Id of the run.")
    started: AwareDatetime = Field(description="When the run started, UTC.")
    finished: AwareDatetime | None = Field(default=None, description="When the run ended, UTC.")
    seconds: float | None = Field(default=None, ge=0, description="Wall clock seconds of the run.")
    versions: str = Field(
        default="{}", description="Versions of kinecolor and its libraries, as JSON."
    )


TABLES: tuple[type[Row], ...] = (SegmentRow, ShotRow, FilmRow)

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", "UTC"),
    AwareDatetime: pa.timestamp("us", "UTC"),
    tuple[str, ...]: pa.list_(pa.field("element", pa.string(), nullable=False)),
    tuple[int, ...]: pa.list_(pa.field("element", pa.int64(), nullable=False)),
}


@cache
def arrow_schema(row: type[Row]) -> pa.Schema:
    """The Arrow schema of a table, with each column's documentation as field metadata
    ``description``, and schema version and table name as schema metadata."""
    fields = [
        _arrow_field(name, info.annotation, info.description or "")
        for name, info in row.model_fields.items()
    ]
    metadata = {SCHEMA_VERSION_KEY: str(SCHEMA_VERSION).encode(), TABLE_KEY: row.table.encode()}
    return pa.schema(fields, metadata=metadata)


def _arrow_field(name: str, annotation: Any, description: str) -> pa.Field:
    nullable = False
    if get_origin(annotation) in {Union, types.UnionType}:
        (annotation,) = (each for each in get_args(annotation) if each is not types.NoneType)
        nullable = True
    kind = pa.string() if get_origin(annotation) is Literal else _ARROW[annotation]
    return pa.field(name, kind, nullable, metadata={"description": description})
