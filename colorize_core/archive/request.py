"""What a person asks for: many films, and how. Plain values: it can be a flow's parameter."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ArchiveRequest(BaseModel):
    """The films of an archive to colorize. Paths and URLs may be as people type them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: str = Field(
        description="A folder, a glob (s3://reels/**/*.mkv), or a catalogue (.csv or .parquet)."
    )
    output: str = Field(description="The folder for the results: a path or URL.")
    work: str = Field(description="The work root, where unfinished work is kept.")
    references: str | None = Field(
        default=None,
        description="A folder that has a folder of colour stills for each film, of its name.",
    )
    preset: str = Field(default="exemplar", description="Preset of films that name none.")
    settings: tuple[str, ...] = Field(
        default=(), description="Settings of all films: key=value, such as merge=lab."
    )
    accept_damage: bool = Field(
        default=False, description="Keep the readable part of damaged sources."
    )
    accept_licence: bool = Field(
        default=False,
        description="The licences of the weights that limit their use were read and accepted.",
    )
