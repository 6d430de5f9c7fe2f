"""The files of a model in diffusers' format: which belong together, their size, their sha256.

Only safetensors, JSON and text count: nothing that is read can run code. No library is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from colorize_core.engines.diffusion.published import ELEMENT_BYTES
from colorize_core.engines.diffusion.settings import Precision
from colorize_core.errors import WeightsMissing

_COUNTED = (".safetensors", ".json", ".txt", ".jinja")
_STEMS = ("diffusion_pytorch_model", "model")  # as diffusers and as transformers call them
_LONGEST_HEADER = 100_000_000  # bytes, the format's own limit
_SHA256 = re.compile(r"[0-9a-f]{64}")


def counts(name: str) -> bool:
    """Whether a file of this name is ever fetched, loaded or digested."""
    return name.endswith(_COUNTED)


def names_in(home: Path) -> list[str]:
    """The files in a folder; a link to a file that is not there yet does not count."""
    return [each.name for each in home.iterdir() if each.is_file()] if home.is_dir() else []


def counted_in(folder: Path) -> list[Path]:
    """The files that count, of a folder in diffusers' format: its own and its components'."""
    both = (*folder.glob("*"), *folder.glob("*/*"))
    visible = (each for each in both if not each.relative_to(folder).parts[0].startswith("."))
    return sorted(each for each in visible if counts(each.name) and each.is_file())


def weight_files(names: Iterable[str], variant: str | None) -> tuple[str, ...]:
    """Those of a component's file names that hold its weights in `variant` ("fp16", or None: as
    published); empty where they are not all there."""
    present, mark = set(names), f".{variant}" if variant else ""
    for stem in _STEMS:
        if (single := f"{stem}{mark}.safetensors") in present:
            return (single,)
        shard = re.compile(rf"{stem}{re.escape(mark)}-\d+-of-(\d+)\.safetensors")
        shards = [match for name in sorted(present) if (match := shard.fullmatch(name))]
        index = f"{stem}.safetensors.index{mark}.json"
        if shards and index in present and len(shards) == int(shards[0][1]):
            return (*(match[0] for match in shards), index)
    return ()


def tensor_bytes(path: Path, precision: Precision) -> int:
    """Bytes of a safetensors file's tensors, those of real numbers in `precision`."""
    total = 0
    for name, tensor in _header(path).items():
        if name == "__metadata__":
            continue
        start, end = tensor["data_offsets"]
        count = prod(tensor["shape"])
        real = tensor["dtype"].startswith(("F", "BF"))
        total += count * ELEMENT_BYTES[precision] if real else end - start
    return total


def _header(path: Path) -> dict[str, Any]:
    """The tensors' names, types and places: safetensors begins with its header's length (8 bytes,
    little-endian) and the header as JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if not 2 <= length <= min(_LONGEST_HEADER, path.stat().st_size):
                raise ValueError("no header")
            return json.loads(file.read(length))
        except ValueError as error:
            raise WeightsMissing(
                f"{path} is no safetensors file (a Git LFS pointer, or cut off?).",
                "Fetch the weights again.",
            ) from error


def sha256(path: Path) -> str:
    """sha256 (hex) of a file; of one in the Hugging Face cache as its name there says, which
    spares reading gigabytes."""
    if path.is_symlink():
        blob = path.resolve()
        if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
            return blob.name
    status = path.stat()
    return _read_sha256(path, status.st_size, status.st_mtime_ns)


def damaged(files: Iterable[Path]) -> list[Path]:
    """Those files of the Hugging Face cache whose content is not what their name there says; each
    is read. Files elsewhere are compared with nothing."""
    return [each for each in files if sha256(each) != sha256(each.resolve())]


@lru_cache(maxsize=1024)
def _read_sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
