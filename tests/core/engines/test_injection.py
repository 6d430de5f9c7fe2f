"""Feature injection: put in and put back, and what it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from colorize_core.engines.diffusion.svd.injection import (
    Injection,
    attention_layers,
    injected,
    residual_layers,
)
from colorize_core.errors import SettingError
from tests.tiny.svd import save_tiny_svd, tiny_svd_unet

FRAMES = 3
BOTH = Injection(rows=2, frames=FRAMES, attention=True, residual=True)


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> UNetSpatioTemporalConditionModel:
    folder: Path = save_tiny_svd(tmp_path_factory.mktemp("svd"))
    return tiny_svd_unet(folder).eval()


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def clips(count: int) -> torch.Tensor:
    """Inputs of the U-Net ``[B, F, 8, h, w]``, all different."""
    return torch.randn(count, FRAMES, 8, 16, 16, generator=torch.Generator().manual_seed(4))


def predicted(unet: UNetSpatioTemporalConditionModel, sample: torch.Tensor) -> torch.Tensor:
    embedding = torch.linspace(-1, 1, 16).expand(len(sample), 1, 16)
    ids = torch.tensor([6.0, 127.0, 0.02]).expand(len(sample), -1)
    return unet(sample, torch.tensor(0.5), embedding, ids, return_dict=False)[0]


def test_the_layers_are_those_of_plug_and_play(unet: UNetSpatioTemporalConditionModel) -> None:
    named = {id(module): name for name, module in unet.named_modules()}
    places = [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]
    assert [named[id(layer)] for layer in attention_layers(unet)] == [
        f"up_blocks.{block}.attentions.{i}.transformer_blocks.0.attn1" for block, i in places
    ]
    (layer,) = residual_layers(unet)
    assert named[id(layer)] == "up_blocks.1.resnets.1.spatial_res_block.conv2"


def test_put_in_and_put_back_also_after_an_error(unet: UNetSpatioTemporalConditionModel) -> None:
    before = dict(unet.attn_processors)
    alone = predicted(unet, clips(2))
    with pytest.raises(ZeroDivisionError), injected(unet, BOTH):
        changed = [name for name, each in unet.attn_processors.items() if each is not before[name]]
        assert len(changed) == 8
        assert len(residual_layers(unet)[0]._forward_hooks) == 1
        raise ZeroDivisionError
    assert all(each is before[name] for name, each in unet.attn_processors.items())
    assert not residual_layers(unet)[0]._forward_hooks
    assert torch.equal(predicted(unet, clips(2)), alone)


def test_a_source_that_is_the_clip_itself_changes_nothing(
    unet: UNetSpatioTemporalConditionModel,
) -> None:
    own = clips(2)
    alone = predicted(unet, own)
    with injected(unet, BOTH):  # two directions, each with itself as the source
        found = predicted(unet, own.repeat_interleave(2, dim=0))
    torch.testing.assert_close(found[1::2], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("attention", "residual"), [(True, False), (False, True)])
def test_the_source_stays_and_its_followers_change(
    unet: UNetSpatioTemporalConditionModel, attention: bool, residual: bool
) -> None:
    sample = clips(6)  # two directions of three rows
    alone = predicted(unet, sample)
    injection = Injection(rows=3, frames=FRAMES, attention=attention, residual=residual)
    with injected(unet, injection):
        found = predicted(unet, sample)
    change = (found - alone).abs().amax(dim=(1, 2, 3, 4))
    assert change[[0, 3]].max() < 1e-5
    assert change[[1, 2, 4, 5]].min() > 1e-3


def test_directions_do_not_mix(unet: UNetSpatioTemporalConditionModel) -> None:
    sample = clips(4)
    with injected(unet, BOTH):
        together = predicted(unet, sample)
        alone = torch.cat([predicted(unet, sample[:2]), predicted(unet, sample[2:])])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("attention", "residual"), [(True, False), (False, True)])
def test_a_network_without_the_layers_is_refused(attention: bool, residual: bool) -> None:
    flat = UNetSpatioTemporalConditionModel(
        down_block_types=("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",),
        block_out_channels=(32,),
        layers_per_block=1,
        num_attention_heads=(2,),
        cross_attention_dim=16,
    )
    injection = Injection(rows=2, frames=FRAMES, attention=attention, residual=residual)
    with pytest.raises(SettingError, match="no layer"), injected(flat, injection):
        pass
