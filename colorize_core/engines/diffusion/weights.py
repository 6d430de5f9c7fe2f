"""Weights on this machine: where they lie, whether they are whole, what they are named by.

Nothing here downloads (`fetch.py` does), and no model library is loaded. Weights are a hub id with
a commit, read from the Hugging Face cache (``HF_HOME``, ``HF_HUB_CACHE``), or a local folder in
diffusers' format.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colorize_core.engines.diffusion.model_files import (
    counted_in,
    counts,
    names_in,
    sha256,
    tensor_bytes,
    weight_files,
)
from colorize_core.engines.diffusion.published import ELEMENT_BYTES, PUBLISHED, Component
from colorize_core.engines.diffusion.settings import Precision
from colorize_core.errors import SettingError, WeightsMissing

if TYPE_CHECKING:
    from colorize_core.config import RunConfig

INSTALL = "pip install 'kinecolor[diffusion]'"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


# -- where weights lie -----------------------------------------------------------------------


def is_hub_id(weights: str) -> bool:
    """Whether `weights` names a repository (``owner/name``); if not it is a folder's path.

    A relative folder of that form is written with a leading ``./``.
    """
    return _HUB_ID.fullmatch(weights) is not None


def folder(weights: str, revision: str, part: str) -> Path:
    """The folder with the weights of `part`, all its components whole.

    Args:
        part: an engine part, or another setting that names weights (``qwen.lora``), of which
            nothing but being there is checked.

    Raises:
        WeightsMissing: they are not on this machine, or not whole; the remedy fetches them.
        SettingError: `weights` is a hub id and `revision` is no commit.
    """
    found = _place(weights, revision)
    if found is None:
        raise WeightsMissing(
            f"{part} needs the package huggingface_hub to find {weights}.", f"Run {INSTALL}"
        )
    if not found.is_dir():
        raise WeightsMissing(
            f"{weights}, which {part} needs, is not on this machine ({found}).",
            _remedy(part, weights, revision),
        )
    components = PUBLISHED[part].components if part in PUBLISHED else ()
    if missing := lacking(found, components):
        raise WeightsMissing(
            f"The weights of {part} in {found} are not whole: {', '.join(missing)} missing.",
            _remedy(part, weights, revision),
        )
    return found


def _remedy(part: str, weights: str, revision: str) -> str:
    """The command that fetches the weights of `part`."""
    own, _, other = part.partition(".")
    keys = (part, f"{part}_revision") if other else (f"{part}.weights", f"{part}.revision")
    if not is_hub_id(weights):
        return f"Check {keys[0]}: a folder in diffusers' format, at the same path on every machine."
    command = ["kinecolor", "fetch-weights", own]
    if other or (weights, revision) != (PUBLISHED[own].repo, PUBLISHED[own].revision):
        for key, value in zip(keys, (weights, revision), strict=True):
            command += ["--set", f"{key}={value}"]
    return f"Run on every machine that works: {shlex.join(command)}"


def _place(weights: str, revision: str) -> Path | None:
    """Where the weights have to be; None where the hub's library, which knows, is missing."""
    if not is_hub_id(weights):
        return Path(weights).expanduser().absolute()
    commit = _commit(weights, revision)
    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import constants

    return Path(
        constants.HF_HUB_CACHE, f"models--{weights.replace('/', '--')}", "snapshots", commit
    )


def _commit(weights: str, revision: str) -> str:
    if _COMMIT.fullmatch(revision):
        return revision
    raise SettingError(
        f"“{revision}” is no commit of {weights}: results have to say which weights made them.",
        "Give the revision as 40 hex digits (the repository's page, “Files and versions”); a "
        "folder in the current one is written with ./ before it.",
    )


# -- what a component's folder holds ---------------------------------------------------------


def lacking(folder: Path, components: Iterable[Component]) -> list[str]:
    """Names of the components of which something that is loaded is not there."""
    return [each.name for each in components if not _is_whole(folder / each.name, each)]


def variant(folder: Path, component: str, precision: Precision) -> str | None:
    """What ``from_pretrained(..., variant=…)`` wants for `component`: the fp16 copy serves fp16 and
    bf16, where there is one.

    Raises:
        WeightsMissing: only the fp16 copy is there, and fp32 is asked for.
    """
    names = names_in(folder / component)
    if precision != "fp32" and weight_files(names, "fp16"):
        return "fp16"
    if weight_files(names, None):
        return None
    raise WeightsMissing(
        f"The weights of {component} in {folder} are not there in {precision}.",
        "Fetch them again with this precision (kinecolor fetch-weights PART "
        f"--set PART.precision={precision}), or set precision=fp16.",
    )


def configuration(weights: str, revision: str, component: str) -> dict[str, Any] | None:
    """A component's ``config.json``; None where the weights are not on this machine."""
    place = _place(weights, revision)
    path = place / component / "config.json" if place else None
    if path is None or not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise WeightsMissing(f"{path} is damaged.", "Fetch the weights again.") from error


def parameter_bytes(
    weights: str, revision: str, components: Sequence[str], precision: Precision
) -> int:
    """Bytes of the components' networks in `precision`: from the files where they are on this
    machine, otherwise from the table of what is published.

    Raises:
        WeightsMissing: neither knows them.
    """
    place = _place(weights, revision)
    return sum(_component_bytes(place, weights, name, precision) for name in components)


def _component_bytes(place: Path | None, weights: str, name: str, precision: Precision) -> int:
    if place is not None:
        names = names_in(place / name)
        files = weight_files(names, None) or weight_files(names, "fp16")
        if files:
            tensors = (file for file in files if file.endswith(".safetensors"))
            return sum(tensor_bytes(place / name / file, precision) for file in tensors)
    for published in PUBLISHED.values():
        if weights == published.repo:
            return published.parameters([name]) * ELEMENT_BYTES[precision]
    raise WeightsMissing(
        f"How large {name} of {weights} is cannot be known: it is not on this machine.",
        "Fetch the weights on this machine, too (kinecolor fetch-weights), or check their name.",
    )


def _is_whole(home: Path, component: Component) -> bool:
    names = names_in(home)
    if not component.parameters:
        return any(name.endswith(".json") for name in names)
    weights = any(weight_files(names, mark) for mark in (None, "fp16"))
    return weights and "config.json" in names


# -- what weights are named by ---------------------------------------------------------------


def identity(weights: str, revision: str) -> str:
    """What results are named by: ``owner/name@commit``, or ``sha256:…`` of a folder's content.

    Raises:
        WeightsMissing: there is no such folder.
        SettingError: `revision` is no commit.
    """
    if is_hub_id(weights):
        return f"{weights}@{_commit(weights, revision)}"
    place = Path(weights).expanduser().absolute()
    if not place.is_dir():
        raise WeightsMissing(f"There is no folder {place}.", "Check the setting's path.")
    return f"sha256:{digest(place)}"


def digest(folder: Path, files: Iterable[Path] | None = None) -> str:
    """sha256 (hex) of paths and sha256s of `files` in `folder` (None: all that count)."""
    chosen = counted_in(folder) if files is None else sorted(files)
    lines = [f"{each.relative_to(folder).as_posix()} {sha256(each)}" for each in chosen]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def record(weights: str, revision: str, part: str, precision: Precision) -> str:
    """The manifest's line: part, hub id and commit or folder, and the sha256 of the files that the
    part loads.

    Raises:
        WeightsMissing: they are not on this machine.
    """
    home = folder(weights, revision, part)
    name = f"{weights}@{revision[:8]}" if is_hub_id(weights) else str(home)
    return f"{part} {name} sha256:{digest(home, loaded_files(home, part, precision))}"


def loaded_files(folder: Path, part: str, precision: Precision) -> list[Path]:
    """The files that the part loads: its components', of weights those for `precision`."""
    found: list[Path] = []
    for component in PUBLISHED[part].components:
        home = folder / component.name
        names = names_in(home)
        if component.parameters:
            weights = weight_files(names, variant(folder, component.name, precision))
            found += [home / name for name in weights if not name.endswith(".json")]
        found += [home / name for name in names if counts(name) and ".safetensors" not in name]
    return sorted(found)


# -- before a run ----------------------------------------------------------------------------


def check_weights(config: RunConfig) -> None:
    """Refuse at once a run whose parts lack weights or libraries on this machine.

    Raises:
        WeightsMissing: with the command that brings them.
        SettingError: a revision is no commit.
    """
    for part in config.parts.model_dump().values():
        if part not in PUBLISHED:
            continue
        if find_spec("diffusers") is None or find_spec("torch") is None:
            raise WeightsMissing(f"{part} needs torch and diffusers.", f"Run {INSTALL}")
        settings: Any = config.settings_of(part)
        found = folder(settings.weights, settings.revision, part)
        for network in PUBLISHED[part].networks:
            variant(found, network.name, settings.precision)
    if config.parts.interpolation == "svd" and config.svd.controlnet:
        controlnet_folder(config.svd.controlnet)
        _check_flow(config.svd.flow)


def controlnet_folder(path: str) -> Path:
    """Where the ControlNet of `svd.controlnet` is.

    Raises:
        WeightsMissing: there is none.
    """
    home = Path(path).expanduser().absolute()
    names = names_in(home)
    if "config.json" not in names or not weight_files(names, None):
        raise WeightsMissing(
            f"There is no ControlNet in {home}.",
            "Check svd.controlnet: a folder that kinecolor train-controlnet made.",
        )
    return home


def _check_flow(flow: str) -> None:
    if flow == "unimatch" and find_spec("ptlflow") is None:
        raise WeightsMissing(
            "svd.flow=unimatch needs the package ptlflow.",
            "Run pip install 'kinecolor[unimatch]', or set svd.flow=dis.",
        )
