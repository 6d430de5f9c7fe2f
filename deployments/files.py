"""The files, read and checked: what a server is to be like.

A value that is ``{{ $NAME }}`` as a whole is the environment variable NAME's: null where that is
not set, or empty.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import MissingFlowError, ScriptError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from colorize_core.errors import SettingError

FOLDER = Path(__file__).parent
OWNED = "kinecolor"  # the tag of deployments, and how the names of automations begin

_VARIABLE = re.compile(r"\{\{ \$(\w+) \}\}")

M = TypeVar("M", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkPool(_Part):
    name: str
    type: str
    concurrency_limit: int | None = Field(default=None, ge=1)


class WorkQueue(_Part):
    priority: int = Field(ge=1)
    concurrency_limit: int | None = Field(default=None, ge=1)


class Limits(_Part):
    """limits.yaml."""

    work_pool: WorkPool
    work_queues: dict[str, WorkQueue]


class Schedule(_Part):
    slug: str
    cron: str
    timezone: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        CronSchedule(cron=self.cron, timezone=self.timezone)
        return self


class DeploymentLimit(_Part):
    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class _Place(_Part):
    name: str
    work_queue_name: str


class _Deployment(_Part):
    name: str
    entrypoint: str
    description: str
    tags: tuple[str, ...]
    parameters: dict[str, Any]
    schedules: tuple[Schedule, ...]
    concurrency_limit: DeploymentLimit
    work_pool: _Place


class _Deployments(_Part):
    """prefect.yaml: what of Prefect's format is used."""

    name: str
    pull: tuple[()]
    deployments: tuple[_Deployment, ...]


class _Automations(RootModel[tuple[dict[str, Any], ...]]):
    """automations.yaml. Prefect's own models check the rest, once blocks have their ids."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment whose parameters fit its flow. `schema`: that of the flow's parameters."""

    asked: _Deployment
    flow: str
    schema: dict[str, Any]
    version: str

    @property
    def name(self) -> str:
        return f"{self.flow}/{self.asked.name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the server is to be like. `automations` are Prefect's, as JSON, but for the notification
    blocks, which are names."""

    limits: Limits
    deployments: tuple[Deployment, ...]
    automations: tuple[dict[str, Any], ...]


def read_files(folder: Path, environment: Mapping[str, str]) -> Wanted:
    """The three files of `folder`.

    Raises:
        SettingError: a file is missing or wrong, or parameters do not fit their flow.
    """
    limits = _File(folder / "limits.yaml", environment)
    deployments = _File(folder / "prefect.yaml", environment)
    automations = _File(folder / "automations.yaml", environment)
    wanted = Wanted(
        limits.parsed(Limits),
        tuple(
            _deployment(each, deployments) for each in deployments.parsed(_Deployments).deployments
        ),
        tuple(automations.parsed(_Automations).root),
    )
    for each in wanted.deployments:
        pool, queue = each.asked.work_pool.name, each.asked.work_pool.work_queue_name
        if pool != wanted.limits.work_pool.name or queue not in wanted.limits.work_queues:
            raise deployments.wrong(f"{each.name}: limits.yaml has no queue {queue} of pool {pool}")
    return wanted


class _File:
    """A file with its variables filled in."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._unset: set[str] = set()
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise self.wrong(error.strerror or str(error)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise self.wrong(str(error)) from error
        self._content = self._filled(raw, environment)

    def parsed(self, model: type[M]) -> M:
        try:
            return model.model_validate(self._content)
        except ValidationError as error:
            raise self.wrong(_said(error)) from error

    def wrong(self, what: str) -> SettingError:
        unset = f" Variables not set: {', '.join(sorted(self._unset))}." if self._unset else ""
        return SettingError(f"{self._path}: {' '.join(what.split())}", f"Mend it.{unset}")

    def _filled(self, value: Any, environment: Mapping[str, str]) -> Any:
        match value:
            case str() if found := _VARIABLE.fullmatch(value):
                if not environment.get(found[1]):
                    self._unset.add(found[1])
                return environment.get(found[1]) or None
            case list():
                return [self._filled(each, environment) for each in value]
            case dict():
                return {key: self._filled(each, environment) for key, each in value.items()}
        return value


def _deployment(asked: _Deployment, file: _File) -> Deployment:
    try:
        flow = load_flow_from_entrypoint(asked.entrypoint, use_placeholder_flow=False)
    except (ImportError, MissingFlowError, ScriptError) as error:
        raise file.wrong(f"{asked.name}: {asked.entrypoint}: {error}") from error
    if wrong := list(_misfits(flow, asked.parameters)):
        raise file.wrong(f"{flow.name}/{asked.name}: {'; '.join(wrong)}")
    schema = parameter_schema(flow).model_dump(mode="json", exclude_unset=True)
    version = importlib.metadata.version("kinecolor")
    return Deployment(asked, flow.name, schema, version)


def _misfits(flow: Flow[..., Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with those parameters of a flow that are given."""
    taken = inspect.signature(flow.fn).parameters
    for name, value in parameters.items():
        if name not in taken:
            yield f"the flow has no parameter {name}"
            continue
        try:
            TypeAdapter(taken[name].annotation).validate_python(value)
        except ValidationError as error:
            yield f"{name}: {_said(error)}"


def _said(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ")
        for each in error.errors()
    )
