"""What has to change on a server so that it is as the files say, and how each change is made.

Only what is kinecolor's is touched: the work pool and the queues that the files name, deployments
with the tag `OWNED`, automations whose names begin with it. What somebody has paused or switched
off stays so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import (
    ConcurrencyLimitStrategy,
    ConcurrencyOptions,
    DeploymentSchedule,
)
from prefect.client.schemas.objects import WorkQueue as PrefectQueue
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from colorize_core.errors import SettingError
from deployments.automations import automation_changes, with_blocks
from deployments.change import Change
from deployments.files import OWNED, Deployment, Limits, Schedule, Wanted, WorkQueue


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, in the order in which they have to be made. One line each for automations that
    are left out: `unnamed`, since nobody said which block notifies; `missing`, since the server
    does not have it."""

    changes: tuple[Change, ...]
    unnamed: tuple[str, ...]
    missing: tuple[str, ...]


def difference(client: SyncPrefectClient, wanted: Wanted) -> Difference:
    """What has to change on the server.

    Raises:
        SettingError: an automation is wrong, or a deployment of that name is somebody else's.
    """
    automations, unnamed, missing = with_blocks(client, wanted.automations)
    found = [
        *_limits(client, wanted.limits),
        *_deployments(client, wanted),
        *automation_changes(client, automations),
    ]
    changes = tuple(each for each in found if each.before != each.after)
    return Difference(changes, tuple(unnamed), tuple(missing))


# -- the work pool ---------------------------------------------------------------------------


def _limits(client: SyncPrefectClient, limits: Limits) -> Iterator[Change]:
    pool, what = limits.work_pool, f"work pool {limits.work_pool.name}"
    after, limit = pool.model_dump(), pool.concurrency_limit
    try:
        there = client.read_work_pool(pool.name)
    except ObjectNotFound:
        new = WorkPoolCreate(name=pool.name, type=pool.type, concurrency_limit=limit)
        yield Change(what, None, after, lambda: client.create_work_pool(new))
        queues = {}
    else:
        update = WorkPoolUpdate(concurrency_limit=limit)
        after["type"] = there.type  # a site may run the flows elsewhere
        yield Change(
            what,
            after | {"concurrency_limit": there.concurrency_limit},
            after,
            lambda: client.update_work_pool(pool.name, update),
        )
        queues = {each.name: each for each in client.read_work_queues(pool.name)}
    for name, queue in limits.work_queues.items():
        yield _queue(client, pool.name, name, queue, queues.get(name))


def _queue(
    client: SyncPrefectClient, pool: str, name: str, wanted: WorkQueue, there: PrefectQueue | None
) -> Change:
    what, after = f"work queue {pool}/{name}", wanted.model_dump()
    if there is None:
        return Change(
            what,
            None,
            after,
            lambda: client.create_work_queue(name, work_pool_name=pool, **after),
        )
    before = {"priority": there.priority, "concurrency_limit": there.concurrency_limit}
    return Change(what, before, after, lambda: client.update_work_queue(there.id, **after))


# -- deployments -----------------------------------------------------------------------------


def _deployments(client: SyncPrefectClient, wanted: Wanted) -> Iterator[Change]:
    owned = client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[OWNED]))
    )
    stale = {each.id: each for each in owned}
    for each in wanted.deployments:
        there = _there(client, each)
        if there is not None and stale.pop(there.id, None) is None:
            raise SettingError(
                f"The server has a deployment {each.name} without the tag {OWNED}: it is "
                "somebody else's.",
                "Rename it, or the one in prefect.yaml.",
            )
        yield Change(
            f"deployment {each.name}",
            _of_server(there) if there else None,
            _of_files(each),
            partial(_create, client, each, there),
        )
    for each in stale.values():
        name = f"{client.read_flow(each.flow_id).name}/{each.name}"
        yield Change(
            f"deployment {name}",
            _of_server(each),
            None,
            partial(client.delete_deployment, each.id),
        )


def _there(client: SyncPrefectClient, wanted: Deployment) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(wanted.name)
    except ObjectNotFound:
        return None


def _create(
    client: SyncPrefectClient, wanted: Deployment, there: DeploymentResponse | None
) -> None:
    """Creates the deployment, or writes it anew: all its schedules are then the wanted ones, which
    an update would only add to."""
    asked = wanted.asked
    paused = {each.slug for each in there.schedules if not each.active} if there else set()
    client.create_deployment(
        client.create_flow_from_name(wanted.flow),
        asked.name,
        version=wanted.version,
        description=asked.description,
        tags=list(asked.tags),
        entrypoint=asked.entrypoint,
        pull_steps=[],
        parameters=asked.parameters,
        parameter_openapi_schema=wanted.schema,
        enforce_parameter_schema=True,
        concurrency_limit=asked.concurrency_limit.limit,
        concurrency_options=ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy(asked.concurrency_limit.collision_strategy)
        ),
        work_pool_name=asked.work_pool.name,
        work_queue_name=asked.work_pool.work_queue_name,
        schedules=[
            DeploymentScheduleCreate(
                schedule=CronSchedule(cron=each.cron, timezone=each.timezone),
                slug=each.slug,
                active=each.slug not in paused,
            )
            for each in asked.schedules
        ],
    )


def _of_files(wanted: Deployment) -> dict[str, Any]:
    asked = wanted.asked
    return {
        "version": wanted.version,
        "entrypoint": asked.entrypoint,
        "description": asked.description,
        "tags": sorted(asked.tags),
        "parameters": asked.parameters,
        "parameter_schema": _digest(wanted.schema),
        "concurrency_limit": asked.concurrency_limit.model_dump(),
        "work_pool": asked.work_pool.model_dump(),
        "schedules": [each.model_dump() for each in sorted(asked.schedules, key=_slug)],
    }


def _of_server(there: DeploymentResponse) -> dict[str, Any]:
    limit, options = there.global_concurrency_limit, there.concurrency_options
    return {
        "version": there.version,
        "entrypoint": there.entrypoint,
        "description": there.description,
        "tags": sorted(there.tags),
        "parameters": there.parameters,
        "parameter_schema": _digest(there.parameter_openapi_schema),
        "concurrency_limit": {
            "limit": limit and limit.limit,
            "collision_strategy": options and options.collision_strategy.value,
        },
        "work_pool": {"name": there.work_pool_name, "work_queue_name": there.work_queue_name},
        "schedules": [
            {
                "slug": each.slug,
                "cron": getattr(each.schedule, "cron", str(each.schedule)),
                "timezone": getattr(each.schedule, "timezone", None),
            }
            for each in sorted(there.schedules, key=_slug)
        ],
    }


def _slug(schedule: Schedule | DeploymentSchedule) -> str:
    return schedule.slug or ""


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
