"""The columns of figures that need no truth, which segments and shots both have. Null: nothing was
coloured, or by a kinecolor that did not look."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

_UNITS = "a*b* units; of a shot: its worst segment's"
_FRAME = "The frame that shows it at its worst"

Score = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="What all figures of the colours come to, 1 is best; of a shot: mean over its "
        "frames. Null: nothing was coloured, or by a kinecolor that did not look.",
    ),
]
GreyLeftover = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="Share of the picture without colour; of a shot: its worst segment's.",
    ),
]
Flicker = Annotated[
    float | None,
    Field(
        ge=0,
        description=f"Change of colours from frame to frame that no motion explains, {_UNITS}.",
    ),
]
Drift = Annotated[
    float | None,
    Field(
        ge=0,
        description=f"Distance from the reference's colours at the same lightness, {_UNITS}.",
    ),
]
Bleeding = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="How much less than in the reference the borders of colours follow those of "
        "lightness, 0 as there, 1 not at all; of a shot: its worst segment's.",
    ),
]
Joint = Annotated[
    float | None,
    Field(
        ge=0,
        description="By how much more than inside a segment colours change where it meets its "
        f"anchors, {_UNITS}.",
    ),
]
GreyLeftoverFrame = Annotated[int | None, Field(description=f"{_FRAME}: grey_leftover.")]
FlickerFrame = Annotated[int | None, Field(description=f"{_FRAME}: flicker.")]
DriftFrame = Annotated[int | None, Field(description=f"{_FRAME}: drift.")]
BleedingFrame = Annotated[int | None, Field(description=f"{_FRAME}: bleeding.")]
JointFrame = Annotated[int | None, Field(description=f"{_FRAME}: joint.")]
ConfidenceFrame = Annotated[int | None, Field(description="The frame that is least sure.")]
