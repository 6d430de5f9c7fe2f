"""Weights from the hub to this machine: the one place that downloads, and only when asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from colorize_core.config import RunConfig
from colorize_core.engines.diffusion.licences import check_accepted, licences_of
from colorize_core.engines.diffusion.model_files import counts, damaged, weight_files
from colorize_core.engines.diffusion.published import PUBLISHED, Component
from colorize_core.engines.diffusion.settings import Precision
from colorize_core.engines.diffusion.weights import (
    INSTALL,
    digest,
    folder,
    is_hub_id,
    loaded_files,
)
from colorize_core.errors import SettingError, WeightsMissing

Say = Callable[[str], None]
"""Called with a line for a person before and after each download."""

_COPY = "docs/models.md says how to fetch on another machine and copy."


@dataclass(frozen=True, slots=True)
class Fetched:
    """Weights that are on this machine now, whole and as published.

    Attributes:
        part: an engine part, or the setting that names them (``qwen.lora``).
        source: ``owner/name@commit``, or a local folder.
        folder: where they are.
        bytes, files: of what the part loads.
        digest: sha256 of it, as manifests record it.
        downloaded: False: it was all there.
    """

    part: str
    source: str
    folder: Path
    bytes: int
    files: int
    digest: str
    downloaded: bool


@dataclass(frozen=True, slots=True)
class _Want:
    """A repository to fetch, and how to tell which of its files."""

    part: str
    repo: str
    revision: str
    choose: Callable[[Sequence[str]], list[str]]
    here: Callable[[Path], list[Path]]


def fetch(parts: Sequence[str], config: RunConfig, accepted: bool, say: Say) -> list[Fetched]:
    """Download what is missing of the weights of `parts` (none: of all parts of `config`) and
    read every file of them once, to see that it is what was published.

    Raises:
        SettingError: a part has no weights.
        LicenceNotAccepted: a licence limits their use and `accepted` is False. Before any download.
        WeightsMissing: the hub cannot be reached or refuses, or what came is not whole.
    """
    chosen = list(parts) or [
        each for each in config.parts.model_dump().values() if each in PUBLISHED
    ]
    for part in chosen:
        if part not in PUBLISHED:
            raise SettingError(f"{part} has no weights.", f"Parts: {', '.join(PUBLISHED)}.")
    check_accepted([] if accepted else licences_of(chosen))
    if find_spec("huggingface_hub") is None:
        raise WeightsMissing("Fetching needs the package huggingface_hub.", f"Run {INSTALL}")
    return [_fetch(want, say) for part in chosen for want in _wants(part, config)]


def wanted(
    names: Sequence[str], components: Iterable[Component], precision: Precision
) -> list[str]:
    """Of a repository's paths those that are fetched: the components' small files, and of their
    weights the fp16 copy where there is one and it serves `precision`.

    Raises:
        WeightsMissing: a component has no weights as safetensors there.
    """
    found = [name for name in names if name == "model_index.json"]
    for component in components:
        start = f"{component.name}/"
        inside = [name.removeprefix(start) for name in names if name.startswith(start)]
        half = () if precision == "fp32" else weight_files(inside, "fp16")
        weights = half or weight_files(inside, None)
        if component.parameters and not weights:
            raise WeightsMissing(
                f"There are no weights of {component.name} as safetensors.",
                "Choose another repository or revision: pickled weights are not loaded.",
            )
        small = (name for name in inside if counts(name) and ".safetensors" not in name)
        found += [start + name for name in (*small, *weights)]
    return found


def _wants(part: str, config: RunConfig) -> list[_Want]:
    settings: Any = config.settings_of(part)
    precision, components = settings.precision, PUBLISHED[part].components
    wants = [
        _Want(
            part,
            settings.weights,
            settings.revision,
            lambda names: wanted(names, components, precision),
            lambda home: loaded_files(home, part, precision),
        )
    ]
    if part == "qwen" and config.qwen.lora:
        file = config.qwen.lora_file

        def is_lora(name: str) -> bool:
            return name == file if file else name.endswith(".safetensors")

        wants.append(
            _Want(
                "qwen.lora",
                config.qwen.lora,
                config.qwen.lora_revision,
                lambda names: [name for name in names if is_lora(name)],
                lambda home: [each for each in home.rglob("*") if is_lora(_inside(each, home))],
            )
        )
    return wants


def _inside(path: Path, home: Path) -> str:
    return path.relative_to(home).as_posix()


def _fetch(want: _Want, say: Say) -> Fetched:
    published = PUBLISHED.get(want.part)
    source = f"{want.repo}@{want.revision}" if is_hub_id(want.repo) else want.repo
    licence = f"; {published.licence.name}, {published.licence.url}" if published else ""
    say(f"{want.part}: {source}{licence}")
    downloaded = is_hub_id(want.repo) and not _is_here(want)
    if downloaded:
        _download(want, say)
    home = folder(want.repo, want.revision, want.part)
    files = want.here(home)
    if not files:
        raise WeightsMissing(f"There are no weights in {home}.", f"Check the setting {want.part}.")
    say(f"{want.part}: reading {len(files)} files to verify them")
    if bad := damaged(files):
        raise WeightsMissing(
            f"{bad[0]} is not what was published.",
            f"Delete {bad[0].resolve()} and run the same command again.",
        )
    size = sum(file.stat().st_size for file in files)
    return Fetched(
        want.part, source, home, size, len(files), digest(home, files), downloaded=downloaded
    )


def _is_here(want: _Want) -> bool:
    try:
        return bool(want.here(folder(want.repo, want.revision, want.part)))
    except WeightsMissing:
        return False


def _download(want: _Want, say: Say) -> None:
    from huggingface_hub import HfApi, snapshot_download

    try:
        told = HfApi().model_info(want.repo, revision=want.revision, files_metadata=True)
        sizes = {each.rfilename: each.size or 0 for each in told.siblings or ()}
        files = want.choose(list(sizes))
        say(f"{want.part}: downloading {sum(sizes[file] for file in files) / 1e9:.2f} GB")
        snapshot_download(want.repo, revision=want.revision, allow_patterns=files)
    except WeightsMissing:
        raise
    except Exception as error:  # the hub's library lets its HTTP client's errors through
        raise _explained(want, error) from error


def _explained(want: _Want, error: Exception) -> WeightsMissing:
    """What went wrong with the hub, for a person."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{want.repo}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return WeightsMissing(
            "HF_HUB_OFFLINE is set, so nothing is fetched on this machine.", f"Unset it; or {_COPY}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsMissing(f"{want.repo} has no commit {want.revision}.", f"Look at {page}.")
    if isinstance(error, errors.GatedRepoError):
        return WeightsMissing(
            f"{want.repo} is given only to accounts that agreed to its terms.",
            f"Agree on {page}, then run `hf auth login` with that account here.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsMissing(
            f"There is no {want.repo} on the hub, or this machine may not read it.",
            f"Look at {page}; where that needs an account, run `hf auth login` with it here.",
        )
    first = str(error).strip().partition("\n")[0]
    return WeightsMissing(
        f"Fetching {want.repo} from {constants.ENDPOINT} failed: {type(error).__name__}: {first}",
        f"Run the same command again: it goes on where it stopped. Without a network, {_COPY}",
    )
