"""Parameters of the CPU parts `match` and `flow`: documented beside their owner."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CarrySettings(BaseModel):
    """How colours are carried from a coloured frame to the frames beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    working_pixels: int = Field(
        default=102_480,
        ge=1_024,
        le=4_194_304,
        description="Frames are brought to about this many pixels (427 × 240). More finds "
        "finer motion and costs in proportion; far fewer loses small things.",
    )
    flow_preset: Literal["ultrafast", "fast", "medium"] = Field(
        default="medium",
        description="OpenCV's preset of DIS optical flow. The faster ones lose 1 dB.",
    )
    drift_interval: int = Field(
        default=4,
        ge=0,
        le=1000,
        description="Every so many steps the flow that is left between the warped source and the "
        "frame is measured and taken out. Large, or 0 for never: long walks slide off the things "
        "that they follow.",
    )
    consistency_px: float = Field(
        default=1.2,
        gt=0,
        le=100,
        description="Forward–backward error, summed along the walk as squares, in working "
        "pixels, from which a walk is doubted. Large: occlusions smear. Small: colours that are "
        "right give way to guesses.",
    )
    recall_weight: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="Weight of colours recalled from look-alike places of the source, beside 1 for "
        "what their expected error earns them. 0: no look-alikes, and fast things lose colour.",
    )
    guess_weight: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="Weight of colours guessed from lightness, texture and place, beside 1 for "
        "what their expected error earns them. 0: what no coloured frame shows is smeared over by "
        "what lies beside it. Large: small things fade.",
    )
    recall_cell_px: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Side of the cells that are compared for look-alikes, in working pixels. "
        "The cost falls with its square; large cells wash small things out.",
    )
    recall_reach: int = Field(
        default=8,
        ge=1,
        le=64,
        description="How far from the expected place look-alikes are sought, in cells.",
    )
    recall_softness: float = Field(
        default=0.8,
        gt=0,
        le=100,
        description="Patch distance (L* units) by which a look-alike may be worse than the best "
        "one before its weight falls to 0.6. Large washes colours out, small makes them flicker.",
    )
    recall_nearness: float = Field(
        default=0.8,
        ge=0,
        le=10,
        description="Patch distance that one recall cell away from the expected place counts for. "
        "0 lets colours jump over the picture.",
    )


class MatchSettings(CarrySettings):
    """Part `match`: colours for an anchor from the references."""


class FlowSettings(CarrySettings):
    """Part `flow`: both anchors' colours carried through a segment."""

    guess_weight: float = Field(
        default=0.3,
        ge=0,
        le=100,
        description="As for anchors. Less than there: anchors that are not sure have guessed "
        "already.",
    )
