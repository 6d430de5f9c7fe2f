"""Weights on this machine: found, whole, named, measured; in a folder and in the hub's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModel

from colorize_core.config import RunConfig, load_config
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.licences import check_licences, licences
from colorize_core.engines.diffusion.model_files import weight_files
from colorize_core.engines.diffusion.published import ELEMENT_BYTES, PUBLISHED
from colorize_core.engines.diffusion.settings import Precision
from colorize_core.errors import LicenceNotAccepted, SettingError, WeightsMissing
from tests.tiny.hub import save_to_cache
from tests.tiny.sd import save_tiny_sd

REPO, COMMIT = "CompVis/stable-diffusion-v1-4", "133a221b8aa7292a167afc5127cb63fb5005638b"
NETWORKS = ("unet", "vae", "text_encoder")


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD with weights in fp32 and an fp16 copy of its U-Net's, as hubs hold them."""
    folder = save_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float16)
    unet.save_pretrained(folder / "unet", variant="fp16")
    return folder


@pytest.fixture
def folder(tiny_sd: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(tiny_sd, tmp_path / "sd"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache that counts as this machine's."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def anchors_config(folder: Path | str, precision: str = "fp16") -> RunConfig:
    parts = '{"reference": "images", "anchors": "dual_attention", "interpolation": "flow"}'
    settings = (f"parts={parts}", f"dual_attention.precision={precision}")
    return load_config("exemplar", (*settings, f"dual_attention.weights={folder}"))


# -- found and whole ---------------------------------------------------------------------------


def test_a_local_folder_is_found(tiny_sd: Path) -> None:
    assert weights.folder(str(tiny_sd), "", "dual_attention") == tiny_sd


def test_the_hubs_cache_is_found_without_network_and_loads(tiny_sd: Path, cache: Path) -> None:
    snapshot = save_to_cache(cache, REPO, COMMIT, tiny_sd)
    found = weights.folder(REPO, COMMIT, "dual_attention")
    assert found == snapshot
    unet = UNet2DConditionModel.from_pretrained(
        found,
        subfolder="unet",
        variant=weights.variant(found, "unet", "fp16"),
        use_safetensors=True,
        local_files_only=True,
    )
    assert tuple(unet.config["block_out_channels"]) == (8, 16, 32, 32)


def test_weights_that_are_not_here_name_the_command(cache: Path) -> None:
    with pytest.raises(WeightsMissing) as missing:
        weights.folder(REPO, COMMIT, "dual_attention")
    assert "kinecolor fetch-weights dual_attention" in missing.value.remedy
    assert "--set" not in missing.value.remedy


def test_the_command_repeats_settings_that_are_not_the_defaults(cache: Path) -> None:
    with pytest.raises(WeightsMissing) as missing:
        weights.folder("me/fine-tuned", "0" * 40, "svd")
    assert missing.value.remedy.endswith(
        f"fetch-weights svd --set svd.weights=me/fine-tuned --set svd.revision={'0' * 40}"
    )
    with pytest.raises(WeightsMissing) as missing:
        weights.folder("me/lora", "1" * 40, "qwen.lora")
    assert missing.value.remedy.endswith(
        f"fetch-weights qwen --set qwen.lora=me/lora --set qwen.lora_revision={'1' * 40}"
    )


def test_a_missing_folder_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"svd\.controlnet"):
        weights.folder(str(tmp_path / "none"), "", "svd.controlnet")


@pytest.mark.parametrize("revision", ["", "main", "133a221", "G" * 40])
def test_a_revision_is_a_commit(revision: str) -> None:
    with pytest.raises(SettingError, match="40 hex digits"):
        weights.identity(REPO, revision)


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("vae/diffusion_pytorch_model.safetensors", "vae"),
        ("text_encoder/config.json", "text_encoder"),
        ("tokenizer", "tokenizer"),
    ],
)
def test_what_is_not_whole_is_named(folder: Path, lost: str, named: str) -> None:
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(WeightsMissing, match=f"not whole: {named} missing"):
        weights.folder(str(folder), "", "dual_attention")


def test_a_download_that_was_cut_off_is_not_whole(tiny_sd: Path, cache: Path) -> None:
    snapshot = save_to_cache(cache, REPO, COMMIT, tiny_sd)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").resolve().unlink()
    with pytest.raises(WeightsMissing, match="not whole: vae missing"):
        weights.folder(REPO, COMMIT, "dual_attention")


def test_pickled_weights_are_no_weights(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )
    with pytest.raises(WeightsMissing, match="vae missing"):
        weights.folder(str(folder), "", "dual_attention")


def test_shards_count_when_all_are_there(tiny_sd: Path, tmp_path: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_sd, subfolder="unet")
    unet.save_pretrained(tmp_path, max_shard_size="100KB")
    names = [path.name for path in tmp_path.iterdir()]
    found = weight_files(names, None)
    assert len(found) > 3 and found[-1] == "diffusion_pytorch_model.safetensors.index.json"
    assert set(found) == set(names) - {"config.json"}
    assert weight_files(names, "fp16") == ()
    for name in found:
        assert weight_files(set(names) - {name}, None) == ()


def test_variants(tiny_sd: Path) -> None:
    assert weights.variant(tiny_sd, "unet", "fp16") == "fp16"
    assert weights.variant(tiny_sd, "unet", "bf16") == "fp16"
    assert weights.variant(tiny_sd, "unet", "fp32") is None
    assert weights.variant(tiny_sd, "vae", "fp16") is None


def test_half_weights_are_not_taken_for_full_ones(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="not there in fp32"):
        weights.variant(folder, "unet", "fp32")


# -- named -------------------------------------------------------------------------------------


def test_results_are_named_by_commit_or_content(folder: Path) -> None:
    assert weights.identity(REPO, COMMIT) == f"{REPO}@{COMMIT}"
    before = weights.identity(str(folder), "")
    assert before.startswith("sha256:") and len(before) == 71
    (folder / "README.md").write_text("not loaded")
    assert weights.identity(str(folder), "") == before
    (folder / "vae" / "config.json").write_text("{}")
    assert weights.identity(str(folder), "") != before


def test_the_digest_is_the_same_in_the_cache_and_in_a_folder(tiny_sd: Path, cache: Path) -> None:
    snapshot = save_to_cache(cache, REPO, COMMIT, tiny_sd)
    assert weights.digest(snapshot) == weights.digest(tiny_sd)
    held = weights.record(REPO, COMMIT, "dual_attention", "fp16")
    local = weights.record(str(tiny_sd), "", "dual_attention", "fp16")
    assert held.split()[:2] == ["dual_attention", f"{REPO}@133a221b"]
    assert held.split()[-1] == local.split()[-1] and "sha256:" in held


def test_large_files_of_the_cache_are_not_read_for_their_digest(tiny_sd: Path, cache: Path) -> None:
    snapshot = save_to_cache(cache, REPO, COMMIT, tiny_sd)
    (snapshot / "unet" / "diffusion_pytorch_model.safetensors").resolve().write_bytes(b"")
    assert weights.digest(snapshot) == weights.digest(tiny_sd)


def test_the_record_holds_what_is_loaded_in_the_precision(folder: Path) -> None:
    def record(precision: Precision) -> str:
        return weights.record(str(folder), "", "dual_attention", precision)

    full, half = record("fp32"), record("fp16")
    assert full != half
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    assert record("fp32") == full and record("fp16") == full


# -- measured ----------------------------------------------------------------------------------


def test_bytes_of_networks_from_their_files(tiny_sd: Path) -> None:
    networks = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    for name, kind in networks.items():
        network = kind.from_pretrained(tiny_sd, subfolder=name)
        count = sum(parameter.numel() for parameter in network.parameters())
        for precision, size in ELEMENT_BYTES.items():
            assert weights.parameter_bytes(str(tiny_sd), "", [name], precision) == size * count


def test_bytes_of_networks_that_are_not_here(cache: Path) -> None:
    assert weights.parameter_bytes(REPO, COMMIT, NETWORKS, "fp16") == 2 * 1_066_235_307
    with pytest.raises(WeightsMissing, match="cannot be known"):
        weights.parameter_bytes("me/fine-tuned", COMMIT, NETWORKS, "fp16")


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\n", b"", b"x" * 9]
)
def test_a_file_without_a_header_is_named(folder: Path, content: bytes) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    with pytest.raises(WeightsMissing, match="Git LFS pointer"):
        weights.parameter_bytes(str(folder), "", ["vae"], "fp16")


def test_configurations_of_what_is_here(tiny_sd: Path, cache: Path) -> None:
    assert weights.configuration(REPO, COMMIT, "unet") is None
    found = weights.configuration(str(tiny_sd), "", "unet")
    assert found is not None and found["cross_attention_dim"] == 16


def test_the_table_counts_the_published_networks() -> None:
    """Against the real classes of the published configurations, built without memory."""
    from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage
    from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
        AutoencoderKLTemporalDecoder,
    )
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel
    from diffusers.models.unets.unet_spatio_temporal_condition import (
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPVisionConfig, CLIPVisionModelWithProjection

    vae = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
    vae["down_block_types"] = ("DownEncoderBlock2D",) * 4
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12
    )
    vision = CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        projection_dim=1024,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
    )
    with torch.device("meta"):
        networks = {
            ("dual_attention", "unet"): UNet2DConditionModel(cross_attention_dim=768),
            ("dual_attention", "vae"): AutoencoderKL(
                up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
                **vae,
            ),
            ("dual_attention", "text_encoder"): CLIPTextModel(text),
            ("svd", "unet"): UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20)),
            ("svd", "vae"): AutoencoderKLTemporalDecoder(**vae),
            ("svd", "image_encoder"): CLIPVisionModelWithProjection(vision),
            ("qwen", "transformer"): QwenImageTransformer2DModel(),
            ("qwen", "vae"): AutoencoderKLQwenImage(),
        }
    for (part, name), network in networks.items():
        count = sum(parameter.numel() for parameter in network.parameters())
        assert PUBLISHED[part].parameters([name]) == count, (part, name)


# -- before a run ------------------------------------------------------------------------------


def test_a_run_is_refused_before_it_starts(folder: Path, cache: Path) -> None:
    weights.check_weights(RunConfig())
    weights.check_weights(anchors_config(folder))
    with pytest.raises(WeightsMissing, match="fetch-weights dual_attention"):
        weights.check_weights(anchors_config(REPO))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    weights.check_weights(anchors_config(folder, "fp16"))
    with pytest.raises(WeightsMissing, match="fp32"):
        weights.check_weights(anchors_config(folder, "fp32"))


def test_only_stable_video_diffusion_asks_for_its_licence() -> None:
    assert licences(load_config("exemplar")) == licences(load_config("fast")) == []
    paper = load_config("paper")
    (asked,) = licences(paper)
    assert asked.part == "svd" and "Stability AI" in str(asked) and "https://" in str(asked)
    check_licences(paper, accepted=True)
    check_licences(load_config("fast"), accepted=False)
    with pytest.raises(LicenceNotAccepted) as refused:
        check_licences(paper, accepted=False)
    assert "svd" in refused.value.what and "1,000,000" in refused.value.what
    assert "--accept-licence" in refused.value.remedy


def test_a_folder_in_place_of_the_published_weights_asks_all_the_same() -> None:
    assert licences(load_config("paper", ["svd.weights=/models/svd"]))


def test_no_model_library_is_loaded() -> None:
    code = (
        "import sys; from colorize_core.engines.diffusion import fetch, licences, weights; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
