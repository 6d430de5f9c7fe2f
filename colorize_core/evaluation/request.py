"""What is measured, and how: plain values, so that it can be a flow's parameter."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Protocol = Literal["paper", "held-out"]

PROTOCOLS: dict[Protocol, str] = {
    "paper": "every frame counts",
    "held-out": "frames whose true colours were given as references do not count for PSNR, SSIM, "
    "LPIPS and warp error",
}


class EvaluationRequest(BaseModel):
    """A data set to colorize and to compare with the truth. Paths may be as people type them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="DAVIS, Videvo, a folder of folders of frames, or of films.")
    output: str = Field(description="A local folder for results, tables and the page.")
    preset: str = Field(default="exemplar", description="The preset that is measured.")
    settings: tuple[str, ...] = Field(
        default=(), description="Settings: key=value; merge=lab is set."
    )
    reference: str = Field(
        default="middle",
        description="middle, first: the true colours of that frame, an oracle; none: the preset "
        "makes its stills; or a folder with a folder of stills for each clip.",
    )
    protocol: Protocol = Field(default="paper", description="Which frames count.")
    accept_licence: bool = Field(
        default=False,
        description="The licences of the weights that limit their use were read and accepted.",
    )
