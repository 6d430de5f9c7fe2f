"""What a run says at its end: the one object that `--json` prints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunSummary(BaseModel):
    """The outcome of a run over one film."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["published", "held", "unfinished"]
    output: str | None = Field(description="The film, where it was published.")
    work: str = Field(description="The work root.")
    film: str = Field(description="The film's folder in the work root.")
    report: str = Field(description="The report's page.")
    frames_list: str | None = Field(description="The list of frames beside the film.")
    frames_in: int
    frames_out: int
    shots: int
    grey_shots: tuple[int, ...] = Field(description="Shots that no reference served.")
    segments: dict[str, int] = Field(description="Segments by status; grey ones count as done.")
    recomputed_segments: int
    reused_segments: int
    failed_segments: tuple[str, ...] = ()
    flagged_shots: tuple[int, ...] = Field(
        default=(), description="Shots with a figure past its threshold, worst first."
    )
    held_shots: tuple[int, ...] = Field(
        default=(), description="Shots that hold the film back, worst first."
    )
    seconds: float = Field(description="Wall clock from the plan to the report, after start-up.")
    luma_exact: bool
    warnings: tuple[str, ...] = ()
