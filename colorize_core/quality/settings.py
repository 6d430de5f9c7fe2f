"""From where on a shot is pointed out, and from where on a film waits for a person. No setting
here changes a pixel, or work that is done."""

from __future__ import annotations

from pydantic import BaseModel, Field


class QualitySettings(BaseModel, frozen=True, extra="forbid"):
    """Thresholds of the figures (`quality.figures`) and of the score."""

    most_grey_leftover: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the picture without colour above which a shot is pointed out. Small: "
        "shots of grey things.",
    )
    most_flicker: float = Field(
        default=4.0,
        ge=0,
        le=200,
        description="Flicker (a*b* units) above which a shot is pointed out. True colours have 1 "
        "to 3. Small: fast motion, which cannot be followed well.",
    )
    most_drift: float = Field(
        default=5.0,
        ge=0,
        le=200,
        description="Distance (a*b* units) from the reference's colours above which a shot is "
        "pointed out. Small: shots that show other things than their reference.",
    )
    most_bleeding: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Bleeding above which a shot is pointed out. Small: shots that show other "
        "things than their reference.",
    )
    most_joint: float = Field(
        default=2.0,
        ge=0,
        le=200,
        description="Mismatch (a*b* units) where segments meet above which a shot is pointed out. "
        "Small: motion that begins or ends there.",
    )
    least_confidence: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Mean confidence of a shot below which it is pointed out.",
    )
    hold_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="A film with a coloured shot whose score is below this is made and not "
        "published, until a person has looked and asks for it with less. 0: no film is held.",
    )
