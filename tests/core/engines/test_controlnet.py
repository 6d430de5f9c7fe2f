"""The ControlNet for video: silent at first, its residuals where a hand-made forward adds them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import nn

from colorize_core.engines.diffusion.svd.controlnet import SVDControlNet, residuals
from tests.tiny.svd import save_tiny_svd, tiny_svd_unet

BATCH, FRAMES, HEIGHT, WIDTH = 2, 3, 8, 16  # of latents
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> UNetSpatioTemporalConditionModel:
    return tiny_svd_unet(save_tiny_svd(tmp_path_factory.mktemp("svd"))).eval()


@pytest.fixture(scope="module")
def trained(unet: UNetSpatioTemporalConditionModel) -> SVDControlNet:
    """One whose zero convolutions are no longer zero."""
    found = SVDControlNet.from_unet(unet).eval()
    torch.manual_seed(1)
    layers = (found.edge_stem.conv_out, found.flow_stem.conv_out, found.mid_zero)
    for layer in (*layers, *found.down_zeros):
        nn.init.normal_(cast(nn.Conv2d, layer).weight, std=0.05)
    return found


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def inputs() -> Inputs:
    """What U-Net and ControlNet both get."""
    torch.manual_seed(0)
    sample = torch.randn(BATCH, FRAMES, 8, HEIGHT, WIDTH)
    time_ids = torch.tensor([[6.0, 127.0, 0.02]]).expand(BATCH, -1)
    return sample, torch.tensor(0.7), torch.randn(BATCH, 1, 16), time_ids


@pytest.fixture
def controls() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    shape = (BATCH, FRAMES, 3, 8 * HEIGHT, 8 * WIDTH)
    return torch.rand(shape), torch.rand(shape)


def predicted(unet: UNetSpatioTemporalConditionModel, inputs: Inputs) -> torch.Tensor:
    return unet(*inputs, return_dict=False)[0]


def by_hand(
    unet: UNetSpatioTemporalConditionModel,
    inputs: Inputs,
    down: tuple[torch.Tensor, ...],
    mid: torch.Tensor,
) -> torch.Tensor:
    """The U-Net's forward written out, with the residuals added where they belong."""
    sample, timestep, picture, time_ids = inputs
    level = unet.time_embedding(unet.time_proj(timestep.expand(BATCH)))
    added = unet.add_embedding(unet.add_time_proj(time_ids.flatten()).reshape(BATCH, -1))
    shared = {
        "temb": (level + added).repeat_interleave(FRAMES, 0),
        "image_only_indicator": torch.zeros(BATCH, FRAMES),
    }
    attended = {"encoder_hidden_states": picture.repeat_interleave(FRAMES, 0)}
    x = unet.conv_in(sample.flatten(0, 1))
    skips = [x]
    for i, block in enumerate(unet.down_blocks):
        x, found = block(x, **shared, **(attended if i < 3 else {}))
        skips += found
    skips = [skip + each for skip, each in zip(skips, down, strict=True)]
    x = unet.mid_block(x, **shared, **attended) + mid
    for i, block in enumerate(unet.up_blocks):
        taken, skips = tuple(skips[-3:]), skips[:-3]
        x = block(x, res_hidden_states_tuple=taken, **shared, **(attended if i > 0 else {}))
    x = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
    return x.unflatten(0, (BATCH, FRAMES))


def hooks(unet: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


def test_a_new_one_changes_nothing(
    unet: UNetSpatioTemporalConditionModel,
    inputs: Inputs,
    controls: tuple[torch.Tensor, torch.Tensor],
) -> None:
    down, mid = SVDControlNet.from_unet(unet)(*inputs, *controls)
    assert len(down) == 12
    assert not any(each.any() for each in (*down, mid))
    plain = predicted(unet, inputs)
    with residuals(unet, down, mid):
        assert torch.equal(predicted(unet, inputs), plain)


def test_it_is_the_unets_own_encoder(
    unet: UNetSpatioTemporalConditionModel,
    inputs: Inputs,
    controls: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """With the zero convolutions made identities it gives back the U-Net's own skip connections
    and mid block: the copied forward is the U-Net's."""
    whole = SVDControlNet.from_unet(unet).eval()
    for layer in (*whole.down_zeros, whole.mid_zero):
        nn.init.dirac_(cast(nn.Conv2d, layer).weight)
    seen: list[Any] = []
    taken = [
        block.register_forward_pre_hook(
            lambda _, __, named: seen.extend(reversed(named["res_hidden_states_tuple"])),
            with_kwargs=True,
        )
        for block in unet.up_blocks
    ]
    taken.append(unet.mid_block.register_forward_hook(lambda _, __, out: seen.append(out)))
    predicted(unet, inputs)
    for hook in taken:
        hook.remove()
    down, mid = whole(*inputs, *controls)
    torch.testing.assert_close((mid, *reversed(down)), tuple(seen))


def test_residuals_are_added_where_a_forward_by_hand_adds_them(
    unet: UNetSpatioTemporalConditionModel,
    trained: SVDControlNet,
    inputs: Inputs,
    controls: tuple[torch.Tensor, torch.Tensor],
) -> None:
    down, mid = trained(*inputs, *controls)
    with residuals(unet, down, mid):
        found = predicted(unet, inputs)
    torch.testing.assert_close(found, by_hand(unet, inputs, down, mid))
    assert (found - predicted(unet, inputs)).abs().max() > 1e-2


def test_each_control_is_seen_and_scaled(
    trained: SVDControlNet, inputs: Inputs, controls: tuple[torch.Tensor, torch.Tensor]
) -> None:
    edges, flow = controls
    down, mid = trained(*inputs, edges, flow)
    assert not torch.equal(trained(*inputs, edges.flip(-1), flow)[1], mid)
    assert not torch.equal(trained(*inputs, edges, flow.flip(-1))[1], mid)
    assert not torch.equal(trained(*inputs, flow, edges)[1], mid)
    half_down, half_mid = trained(*inputs, edges, flow, 0.5)
    torch.testing.assert_close((*half_down, half_mid), tuple(each / 2 for each in (*down, mid)))


def test_a_clip_alone_is_a_clip_of_a_batch(
    trained: SVDControlNet, inputs: Inputs, controls: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """And each may have its own noise level."""
    sample, _, picture, time_ids = inputs
    levels = torch.tensor([0.7, -0.4])
    together, mid = trained(sample, levels, picture, time_ids, *controls)
    last = [each[1:] for each in (sample, levels, picture, time_ids, *controls)]
    alone, mid_alone = trained(*last)
    torch.testing.assert_close(mid_alone, mid[FRAMES:], atol=1e-4, rtol=0)
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one, many[FRAMES:], atol=1e-4, rtol=0)


def test_hooks_are_taken_out_after_an_error(
    unet: UNetSpatioTemporalConditionModel,
    trained: SVDControlNet,
    inputs: Inputs,
    controls: tuple[torch.Tensor, torch.Tensor],
) -> None:
    down, mid = trained(*inputs, *controls)
    plain = predicted(unet, inputs)
    with pytest.raises(RuntimeError), residuals(unet, down, mid):
        predicted(unet, (inputs[0][:, :, :7], *inputs[1:]))
    with pytest.raises(ValueError, match="1 of 13 residuals"), residuals(unet, (*down, mid), mid):
        pass
    with pytest.raises(ValueError), residuals(unet, down[1:], mid):
        predicted(unet, inputs)
    assert hooks(unet) == 0
    assert torch.equal(predicted(unet, inputs), plain)


def test_a_compiled_unet_is_refused(tmp_path: Path) -> None:
    """torch.compile does not look at hooks again: its answer would be without the residuals."""
    unet = tiny_svd_unet(save_tiny_svd(tmp_path))
    unet.compile(backend="eager")
    zeros = [torch.zeros(1)] * 12
    with pytest.raises(ValueError, match="compile"), residuals(unet, zeros, zeros[0]):
        pass


def test_saved_and_loaded(trained: SVDControlNet, tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == "SVDControlNet"
    found = SVDControlNet.from_pretrained(tmp_path, use_safetensors=True, local_files_only=True)
    assert isinstance(found, SVDControlNet)
    weights = found.state_dict()
    assert all(torch.equal(each, weights[name]) for name, each in trained.state_dict().items())


def test_half_precision(unet: UNetSpatioTemporalConditionModel) -> None:
    half = copy.deepcopy(unet)
    nn.Module.to(half, dtype=torch.bfloat16)
    assert SVDControlNet.from_unet(half).dtype == torch.bfloat16
