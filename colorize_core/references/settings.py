"""Settings of what is done to references: documented beside their owner."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ToneSettings(BaseModel):
    """How far the stills of one scene are brought to one tone (`harmonize.py`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: Literal["off", "made", "all"] = Field(
        default="made",
        description="Which stills are changed where those of one scene differ in white balance. "
        "made: those that were made from a prompt; a person's stay, and set the tone. all: a "
        "person's, too. off: none. One whose name ends in .keep (dusk.keep.png) takes no part.",
    )
    most: float = Field(
        default=25.0,
        gt=0,
        le=100,
        description="The farthest that a still's tone is moved, as the way of a middle grey "
        "(L* 60) in units of a*b*. What differs by more comes nearer by so much, and a warning "
        "says so. Large: a light that rightly differs is taken away.",
    )
