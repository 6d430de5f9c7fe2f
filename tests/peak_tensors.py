"""How many bytes of tensors live at once while something runs: the same on every machine."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakTensors(TorchDispatchMode):
    """Counts the storages that operations make while it is entered; `peak` and `live` in bytes.

    What a fused kernel uses inside itself is not seen; what exists before is not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        before = {id_of(t) for t in tensors(tree_leaves((args, kwargs or {})))}
        found = func(*args, **(kwargs or {}))
        for tensor in tensors(tree_leaves(found)):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in before or key in self._known:
                continue
            self._known.add(key)
            self.live += storage.nbytes()
            weakref.finalize(storage, self._freed, key, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return found

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def tensors(leaves: Iterable[Any]) -> Iterable[torch.Tensor]:
    return (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))


def id_of(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes of tensors that `run` made and held at one time."""
    with PeakTensors() as mode:
        run()
    return mode.peak
