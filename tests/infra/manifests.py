"""The files of infra/, read, and what of them more than one test looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

INFRA = ROOT / "infra"
COMPOSE = INFRA / "compose.yaml"
KUBERNETES = INFRA / "kubernetes"
HELM = INFRA / "helm"

Object = dict[str, Any]


@cache
def objects(path: Path) -> list[Object]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def services() -> dict[str, Object]:
    """The services of compose.yaml."""
    return objects(COMPOSE)[0]["services"]


def resources() -> list[Object]:
    """Every object that the kustomization applies."""
    kustomization = objects(KUBERNETES / "kustomization.yaml")[0]
    return [each for name in kustomization["resources"] for each in objects(KUBERNETES / name)]


def ray_cluster() -> Object:
    (cluster,) = (each for each in resources() if each["kind"] == "RayCluster")
    return cluster


def pod_templates() -> dict[str, Object]:
    """What the pods of the RayCluster, the Job and Prefect's worker are made from, by a name for
    people."""
    spec = ray_cluster()["spec"]
    found = {"ray head": spec["headGroupSpec"]["template"]}
    for group in spec["workerGroupSpecs"]:
        found[f"ray {group['groupName']}"] = group["template"]
    for each in resources():
        if each["kind"] == "Job":
            found[f"job {each['metadata']['name']}"] = each["spec"]["template"]
    return found | {"prefect worker": _worker_template()}


def _worker_template() -> Object:
    """What the chart prefect-worker makes of our values, as far as they reach into the pod."""
    worker = objects(HELM / "prefect-worker.values.yaml")[0]["worker"]
    container = {
        "name": "prefect-worker",
        "image": f"{worker['image']['repository']}:{worker['image']['prefectTag']}",
        "env": worker["extraEnvVars"],
        "envFrom": [{"configMapRef": {"name": worker["extraEnvVarsCM"]}}],
        "resources": worker["resources"],
        "securityContext": worker["containerSecurityContext"],
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, *worker["extraVolumeMounts"]],  # noqa: S108
    }
    return {
        "metadata": {"labels": worker["podLabels"]},
        "spec": {
            "securityContext": worker["podSecurityContext"],
            "nodeSelector": worker["nodeSelector"],
            "initContainers": worker["initContainer"]["extraContainers"],
            "containers": [container],
            "volumes": [{"name": "scratch", "emptyDir": {}}, *worker["extraVolumes"]],
        },
    }


def containers(template: Object) -> list[Object]:
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def images() -> set[str]:
    """Every image that is named anywhere."""
    named = {service["image"] for service in services().values()}
    for template in pod_templates().values():
        named |= {each["image"] for each in containers(template)}
    server = objects(HELM / "prefect-server.values.yaml")[0]["global"]["prefect"]["image"]
    dockerfile = (INFRA / "images" / "Dockerfile").read_text(encoding="utf-8")
    base = re.findall(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    return named | {f"{server['repository']}:{server['prefectTag']}", *base}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The texts in a tree, each with the name it has: its key, or the `name` beside a `value`."""
    if isinstance(value, dict):
        for key, each in value.items():
            named = str(value["name"]) if key == "value" and "name" in value else str(key)
            yield from leaves(each, named)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, name)
    elif isinstance(value, str):
        yield name, value
