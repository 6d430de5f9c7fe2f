"""Parameters of the CPU parts `match` and `flow`: documented beside their owner, light to import."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class MatchSettings(BaseModel):
    """Part `match`: colours for an anchor from the references."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FlowSettings(BaseModel):
    """Part `flow`: both anchors' colours carried through a segment."""

    model_config = ConfigDict(frozen=True, extra="forbid")
