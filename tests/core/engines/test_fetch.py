"""`kinecolor fetch-weights` against a hub of our own on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from colorize_core.config import load_config
from colorize_core.engines.diffusion import fetch as fetching
from colorize_core.engines.diffusion import weights
from colorize_core.engines.diffusion.fetch import Fetched, wanted
from colorize_core.engines.diffusion.published import PUBLISHED
from colorize_core.errors import LicenceNotAccepted, SettingError, WeightsMissing
from tests.tiny.hub import save_to_cache, served
from tests.tiny.sd import save_tiny_sd

REPO, COMMIT = "CompVis/stable-diffusion-v1-4", "133a221b8aa7292a167afc5127cb63fb5005638b"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as the hub has it: with an fp16 copy, and with much that is not wanted."""
    folder = save_tiny_sd(tmp_path_factory.mktemp("repository") / "sd")
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float16)
    unet.save_pretrained(folder / "unet", variant="fp16")
    (folder / "safety_checker").mkdir()
    for unwanted in ("sd-v1-4.ckpt", "unet/diffusion_pytorch_model.bin", "safety_checker/a.json"):
        (folder / unwanted).write_bytes(b"{}")
    (folder / "unet" / "code.py").write_text("raise SystemExit")
    return folder


class Machine:
    """This machine with a Hugging Face cache of its own, and the hub that it knows."""

    def __init__(self, cache: Path, patch: pytest.MonkeyPatch) -> None:
        self.cache = cache
        self.said: list[str] = []
        self._patch = patch
        self._set("HF_HUB_CACHE", str(cache))
        self._set("HF_HUB_DISABLE_PROGRESS_BARS", True)
        self.knows("http://127.0.0.1:9")  # nothing listens there

    def knows(self, url: str) -> None:
        self._set("ENDPOINT", url)
        template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        self._set("HUGGINGFACE_CO_URL_TEMPLATE", template)

    def is_offline(self) -> None:
        self._set("HF_HUB_OFFLINE", True)

    def fetch(self, *settings: str, parts: Sequence[str] = ("dual_attention",)) -> list[Fetched]:
        return fetching.fetch(parts, load_config("paper", settings), False, self.said.append)

    def refused(self, *settings: str) -> WeightsMissing:
        with pytest.raises(WeightsMissing) as refused:
            self.fetch(*settings)
        return refused.value

    def _set(self, name: str, value: object) -> None:
        self._patch.setattr(f"huggingface_hub.constants.{name}", value)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "hub", monkeypatch)


# -- what is fetched -----------------------------------------------------------------------------


def test_what_the_part_loads_is_fetched_and_nothing_else(
    repository: Path, machine: Machine
) -> None:
    with served(REPO, COMMIT, repository) as (url, downloads):
        machine.knows(url)
        (found,) = machine.fetch()
    assert sorted(downloads) == sorted(
        [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            *(name for name in downloads if name.startswith("tokenizer/")),
        ]
    )
    assert found.downloaded and found.source == f"{REPO}@{COMMIT}"
    assert found.folder == weights.folder(REPO, COMMIT, "dual_attention")
    assert weights.record(REPO, COMMIT, "dual_attention", "fp16").endswith(found.digest)
    assert REPO in machine.said[0] and "OpenRAIL" in machine.said[0].replace(" ", "")


def test_a_second_fetch_downloads_nothing_and_needs_no_hub(
    repository: Path, machine: Machine
) -> None:
    with served(REPO, COMMIT, repository) as (url, _):
        machine.knows(url)
        (first,) = machine.fetch()
    machine.is_offline()
    (again,) = machine.fetch()
    assert not again.downloaded and again.digest == first.digest


def test_another_precision_fetches_the_other_copy(repository: Path, machine: Machine) -> None:
    with served(REPO, COMMIT, repository) as (url, downloads):
        machine.knows(url)
        machine.fetch()
        downloads.clear()
        (full,) = machine.fetch("dual_attention.precision=fp32")
    assert downloads == ["unet/diffusion_pytorch_model.safetensors"]
    assert full.downloaded


def test_a_fetch_that_was_cut_off_goes_on(repository: Path, machine: Machine) -> None:
    snapshot = save_to_cache(machine.cache, REPO, COMMIT, repository)
    lost = snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    lost.resolve().unlink()
    lost.unlink()
    with served(REPO, COMMIT, repository) as (url, downloads):
        machine.knows(url)
        (found,) = machine.fetch()
    assert downloads == ["vae/diffusion_pytorch_model.safetensors"] and found.downloaded


def test_damage_is_found(repository: Path, machine: Machine) -> None:
    snapshot = save_to_cache(machine.cache, REPO, COMMIT, repository)
    blob = (snapshot / "vae" / "diffusion_pytorch_model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert "not what was published" in machine.refused().what


def test_a_local_folder_is_read_and_nothing_is_fetched(repository: Path, machine: Machine) -> None:
    (found,) = machine.fetch(f"dual_attention.weights={repository}")
    assert not found.downloaded and found.folder == repository
    missing = machine.refused("dual_attention.weights=/nowhere")
    assert "/nowhere" in missing.what and "fetch-weights" not in missing.remedy


def test_a_lora_is_fetched_with_its_part(
    repository: Path, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = tmp_path / "lora"
    lora.mkdir()
    for name in ("4steps.safetensors", "8steps.safetensors", "other.bin"):
        (lora / name).write_bytes(name.encode())
    monkeypatch.setitem(PUBLISHED, "qwen", PUBLISHED["dual_attention"])  # a small stand-in
    with served("me/lora", COMMIT, lora) as (url, downloads):
        machine.knows(url)
        _, found = machine.fetch(
            f"qwen.weights={repository}",
            "qwen.lora=me/lora",
            f"qwen.lora_revision={COMMIT}",
            "qwen.lora_file=8steps.safetensors",
            parts=["qwen"],
        )
    assert downloads == ["8steps.safetensors"]
    assert (found.part, found.files) == ("qwen.lora", 1)
    assert weights.folder("me/lora", COMMIT, "qwen.lora") == found.folder


def test_published_listings_give_what_is_loaded() -> None:
    """Names as the repositories' pages list them."""
    shards = [
        f"transformer/diffusion_pytorch_model-{i:05}-of-00009.safetensors" for i in range(1, 10)
    ]
    index = "transformer/diffusion_pytorch_model.safetensors.index.json"
    names = ["README.md", "transformer/config.json", index, *shards]
    transformer = [PUBLISHED["qwen"].components[0]]
    assert sorted(wanted(names, transformer, "bf16")) == sorted([*names[1:3], *shards])
    with pytest.raises(WeightsMissing, match="no weights of transformer as safetensors"):
        wanted(names[:-1], transformer, "bf16")
    with pytest.raises(WeightsMissing, match="pickled"):
        wanted(
            ["unet/config.json", "unet/diffusion_pytorch_model.bin"],
            [PUBLISHED["svd"].components[0]],
            "fp16",
        )


# -- what can go wrong ---------------------------------------------------------------------------


def test_parts_without_weights_are_named(machine: Machine) -> None:
    with pytest.raises(SettingError, match="flow has no weights"):
        machine.fetch(parts=["flow"])


def test_the_licence_comes_before_any_download(machine: Machine) -> None:
    with pytest.raises(LicenceNotAccepted, match="Stability AI"):
        machine.fetch(parts=["dual_attention", "svd"])
    with pytest.raises(LicenceNotAccepted):
        machine.fetch(parts=[])  # all parts of the preset
    assert machine.said == []


def test_a_hub_that_cannot_be_reached(machine: Machine) -> None:
    refused = machine.refused()
    assert "127.0.0.1:9 failed" in refused.what and "docs/models.md" in refused.remedy


def test_an_offline_machine(machine: Machine) -> None:
    machine.is_offline()
    refused = machine.refused()
    assert "HF_HUB_OFFLINE is set" in refused.what and "docs/models.md" in refused.remedy


@pytest.mark.parametrize(
    ("code", "what"), [("GatedRepo", "agreed to its terms"), ("RepoNotFound", "may not read it")]
)
def test_a_hub_that_refuses(repository: Path, machine: Machine, code: str, what: str) -> None:
    with served(REPO, COMMIT, repository, refuse=code) as (url, _):
        machine.knows(url)
        refused = machine.refused()
    assert what in refused.what
    assert "hf auth login" in refused.remedy and f"{url}/{REPO}" in refused.remedy


def test_a_repository_or_commit_that_does_not_exist(repository: Path, machine: Machine) -> None:
    with served(REPO, COMMIT, repository) as (url, _):
        machine.knows(url)
        assert "has no commit" in machine.refused(f"dual_attention.revision={'0' * 40}").what
        assert "There is no me/none" in machine.refused("dual_attention.weights=me/none").what


# -- as people do it -----------------------------------------------------------------------------


def test_fetched_on_one_machine_copied_and_used_offline_on_another(
    repository: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    fetch = (
        "import json, sys; from colorize_core.config import load_config; "
        "from colorize_core.engines.diffusion.fetch import fetch; "
        "done = fetch(['dual_attention'], load_config('paper'), False, lambda line: None); "
        "print(json.dumps([str(done[0].folder), done[0].digest]))"
    )
    use = (
        "import json; from colorize_core.engines.diffusion import weights; "
        f"found = weights.folder('{REPO}', '{COMMIT}', 'dual_attention'); "
        f"record = weights.record('{REPO}', '{COMMIT}', 'dual_attention', 'fp16'); "
        "print(json.dumps([str(found), record.rpartition(':')[2]]))"
    )
    with served(REPO, COMMIT, repository) as (url, _):
        fetched, digest = run(fetch, HF_HOME=str(one), HF_ENDPOINT=url)
    shutil.copytree(one, other, symlinks=True)
    shutil.rmtree(one)
    found, again = run(use, HF_HOME=str(other), HF_HUB_OFFLINE="1")
    assert (found, again) == (fetched.replace(str(one), str(other)), digest)


def run(code: str, **environment: str) -> list[str]:
    """What a fresh Python prints, as JSON."""
    hub = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**hub, **environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)
