"""What the ControlNet sees of a clip: its edges, and its motion drawn in colours.

H W height and width    L* float32 [H, W] in [0, 100]    pictures float32 [3, H, W] in [0, 1]
flow  float32 [H, W, 2]: a pixel x of the first frame lies at x + flow[x] in the second (x, y)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
import torch

from colorize_core.engines.contract import F32, Device
from colorize_core.engines.diffusion.compute import torch_device
from colorize_core.engines.diffusion.pictures import grey_to_network
from colorize_core.engines.exemplar.dense_flow import DenseFlow
from colorize_core.engines.exemplar.raster import to_byte
from colorize_core.engines.exemplar.settings import FlowSettings
from colorize_core.errors import WeightsMissing

FlowName = Literal["unimatch", "dis"]

# Steps between the wheel's six main colours, red to yellow to green … (Baker et al. 2011).
_WHEEL_STEPS = (15, 6, 4, 11, 13, 6)
_MAIN_COLOURS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))
# A motion that crosses the frame's width in so many frames has full colour. Fixed, not the largest
# motion of a frame or a clip: the same motion looks the same in every segment and at every size.
_FULL_COLOUR_FRAMES = 32
_UNIMATCH_WEIGHTS = "mix"  # GMFlow with two scales, trained on mixed data: the paper's


class FlowModel(Protocol):
    """Finds optical flow."""

    def between(self, first: F32, second: F32) -> F32:
        """Flow of `first` to `second`, both L* ``[H, W]``: ``[H, W, 2]`` in pixels."""
        ...


def flow_model(name: FlowName, device: Device) -> FlowModel:
    """The flow that a setting names.

    Raises:
        WeightsMissing: UniMatch's package or weights are not on this machine.
    """
    return UniMatchFlow(device) if name == "unimatch" else DisFlow()


class DisFlow:
    """OpenCV's DIS (Kroeger et al. 2016), as the part `flow` uses it; without weights."""

    def __init__(self) -> None:
        self._flow = DenseFlow(FlowSettings())

    def between(self, first: F32, second: F32) -> F32:
        """See `FlowModel`."""
        return self._flow.between(to_byte(first), to_byte(second))


class UniMatchFlow:
    """UniMatch (Xu et al. 2023), GMFlow with two scales, by ptlflow; float32.

    Weights are read from torch's cache, never downloaded, and with ``weights_only``.
    """

    def __init__(self, device: Device) -> None:
        try:
            import ptlflow  # pyright: ignore[reportMissingImports]  an extra of its own
            from loguru import logger  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise WeightsMissing(
                f"The optical flow UniMatch needs the package ptlflow ({error}).",
                "Run pip install 'kinecolor[unimatch]', or set svd.flow=dis.",
            ) from error
        logger.disable("ptlflow")
        published = ptlflow.get_model_reference("unimatch_sc2").pretrained_checkpoints
        url = published[_UNIMATCH_WEIGHTS]
        path = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
        if not path.is_file():
            raise WeightsMissing(
                f"The weights of the optical flow UniMatch are not on this machine ({path}).",
                f"Download {url} to that place, or set svd.flow=dis.",
            )
        self._device = torch_device(device)
        self._network = ptlflow.get_model("unimatch_sc2", ckpt_path=str(path))
        self._network.requires_grad_(False).eval().to(self._device)

    @torch.no_grad()
    def between(self, first: F32, second: F32) -> F32:
        """See `FlowModel`."""
        pair = torch.stack([grey_to_network(first), grey_to_network(second)])
        unit = ((pair + 1) / 2).to(self._device)
        found = self._network({"images": unit[None]})["flows"][0, 0]  # [2, H, W]
        return np.ascontiguousarray(found.float().cpu().numpy().transpose(1, 2, 0))


def edges(lstar: F32, low: float, high: float) -> F32:
    """Canny's edges (1986) as a picture: 1 on an edge, 0 elsewhere.

    Args:
        lstar: L* ``[H, W]``.
        low, high: thresholds on the gradient of L* scaled to 255.
    """
    found = cv2.Canny(to_byte(lstar), low, high)
    return np.repeat((found > 0).astype(np.float32)[None], 3, axis=0)


def flow_picture(flow: F32) -> F32:
    """A flow as a picture by the Middlebury wheel (Baker et al. 2011): hue is the direction,
    colour grows with the length up to 1/32 of the width, beyond it is darker. Stillness is white.
    """
    unit = flow * np.float32(_FULL_COLOUR_FRAMES / flow.shape[1])
    length = np.hypot(unit[..., 0], unit[..., 1])[..., None]
    wheel = _wheel()
    turn = np.arctan2(-unit[..., 1], -unit[..., 0]) / np.float32(np.pi)  # [-1, 1]
    place = (turn + 1) / 2 * (len(wheel) - 1)
    below = np.floor(place).astype(np.int32)
    share = (place - below)[..., None]
    hue = (1 - share) * wheel[below] + share * wheel[(below + 1) % len(wheel)]
    colour = np.where(length <= 1, 1 - length * (1 - hue), hue * np.float32(0.75))
    return np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32)


def flow_pictures(lstar: Sequence[F32], model: FlowModel) -> list[F32]:
    """Pictures of the flow from each frame of a clip to the next, one for each frame (at least
    two): the last frame shows the one before it again."""
    found = [flow_picture(model.between(a, b)) for a, b in pairwise(lstar)]
    return [*found, found[-1]]


def _wheel() -> F32:
    """The wheel's 55 colours, R'G'B' in [0, 1]: straight lines between the main ones."""
    corners = np.array([*_MAIN_COLOURS, _MAIN_COLOURS[0]], np.float32)
    lines = [
        a + (b - a) * (np.arange(steps, dtype=np.float32) / steps)[:, None]
        for (a, b), steps in zip(pairwise(corners), _WHEEL_STEPS, strict=True)
    ]
    return np.concatenate(lines)
