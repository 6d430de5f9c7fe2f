"""What a person asks for: one film, and how. Plain values, so that it can be a flow's parameter."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorize_core import storage
from colorize_core.config import RunConfig
from colorize_core.engines.catalog import makes_references
from colorize_core.engines.diffusion.licences import check_licences
from colorize_core.errors import (
    InputError,
    ObjectMissing,
    ReferenceUnusable,
    SettingError,
    ShotListError,
    SourceUnreadable,
)
from colorize_core.paths import FilmPaths
from colorize_core.references.stills import list_references, parse_reference

MASTER_SUFFIX = ".mkv"
COPY_SUFFIXES = (".mp4", ".mov")


class FilmRequest(BaseModel):
    """One film to colorize. All URIs are normalised: absolute paths, or URLs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="The film: a path or URL.")
    output: str = Field(description="Where the result goes: .mkv master, .mp4 or .mov access copy.")
    work: str = Field(description="The work root, where unfinished work is kept.")
    references: tuple[str, ...] = Field(
        default=(), description="Colour stills: IMAGE or IMAGE@TIME."
    )
    references_dir: str | None = Field(default=None, description="A folder of colour stills.")
    shots: str | None = Field(
        default=None, description="A shot list (CSV) that takes the place of the film's."
    )
    config: RunConfig = Field(default=RunConfig(), description="Everything that changes a pixel.")
    accept_damage: bool = Field(
        default=False, description="Keep the readable part of a damaged source."
    )

    accept_licence: bool = Field(
        default=False,
        description="The licences of the weights that limit their use were read and accepted.",
    )

    @property
    def title(self) -> str:
        return storage.name_of(self.source)

    def stills(self) -> tuple[str, ...]:
        """Every still that was given, as IMAGE[@TIME], in order."""
        found = list_references(self.references_dir) if self.references_dir else []
        return (*self.references, *(str(each) for each in found))


class RequestRecord(BaseModel):
    """`request.json`: what the film's last run was asked for, for `kinecolor retry`. `whole`: no
    secret of a URL had to be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    whole: bool
    request: FilmRequest


def keep_request(paths: FilmPaths, request: FilmRequest) -> None:
    """Store the request beside the film, without secrets."""
    known = FilmRequest.model_validate(_redacted(request.model_dump(mode="json")))
    record = RequestRecord(whole=known == request, request=known)
    storage.replace_atomically(paths.request_json, record.model_dump_json(indent=2).encode())


def _redacted(value: Any) -> Any:
    """A JSON value, without secrets in any of its texts."""
    match value:
        case str():
            return storage.redact(value)
        case list():
            return [_redacted(each) for each in value]
        case dict():
            return {name: _redacted(each) for name, each in value.items()}
    return value


def kept_request(paths: FilmPaths) -> FilmRequest:
    """The request that was stored, for the work root where it is now.

    Raises:
        InputError: there is none, or it cannot be used again.
    """
    again = "Run the kinecolor colorize command again: only what failed is done."
    try:
        record = RequestRecord.model_validate_json(storage.read(paths.request_json))
    except (ObjectMissing, ValidationError) as error:
        raise InputError(
            f"What film {paths.film} was asked for is not on record in {paths.root}.", again
        ) from error
    if not record.whole:
        raise InputError(
            f"Film {paths.film} was asked for with a URL that has a secret in it, which is not "
            "stored.",
            again,
        )
    return record.request.model_copy(update={"work": paths.root})


def check_request(request: FilmRequest) -> None:
    """Refuse at once what cannot work, before anything is started.

    Raises:
        InputError: with what is wrong and what to do.
        StorageError: the work root or the output's place cannot be written or trusted.
    """
    if not storage.exists(request.source):
        raise SourceUnreadable(
            f"There is no film at {storage.redact(request.source)}.", "Check the path or URL."
        )
    suffix = request.output.lower().rpartition(".")[2]
    if f".{suffix}" not in (MASTER_SUFFIX, *COPY_SUFFIXES):
        raise SettingError(
            f"The output {storage.name_of(request.output)} has no ending that says what to make.",
            "End it with .mkv (FFV1 master) or .mp4 or .mov (H.264 access copy).",
        )
    if request.output == request.source:
        raise SettingError("The output would overwrite the source.", "Give another -o.")
    if request.shots and not storage.exists(request.shots):
        raise ShotListError(f"There is no shot list at {request.shots}.", "Check the path or URL.")
    check_licences(request.config, request.accept_licence)
    stills = request.stills()
    if not stills and not makes_references(request.config):
        raise ReferenceUnusable(
            "No colour reference was given, so there is nothing to take colours from.",
            "Export a frame of the film (kinecolor references export SOURCE picks those that help "
            "most), colour it in any paint program, and pass it with --reference still.png@TIME, "
            "or a folder of stills with --references DIR.",
        )
    for still in stills:
        uri = parse_reference(still).uri
        if not storage.exists(uri):
            raise ReferenceUnusable(f"There is no colour still at {uri}.", "Check the path or URL.")
    storage.check_writable(request.work)
    storage.check_exclusive(request.work)
    storage.check_writable(storage.parent(request.output))
