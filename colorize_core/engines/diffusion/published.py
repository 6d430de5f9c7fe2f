"""What is published: the weights that the GPU parts load, how large they are, and their licences.

A table of facts; nothing is loaded. Parameters were counted by building each published
configuration without memory (torch's meta device); revisions are the settings' defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from colorize_core.engines.diffusion.settings import (
    DualAttentionSettings,
    Precision,
    QwenSettings,
    SvdSettings,
    WeightSettings,
)

ELEMENT_BYTES: Mapping[Precision, int] = {"fp16": 2, "bf16": 2, "fp32": 4}


@dataclass(frozen=True, slots=True)
class Licence:
    """What a model's owner allows.

    Attributes:
        name, url: of the text that counts; nothing here takes its place.
        forbids: its limits in one or two sentences.
        limits_use: it forbids some commercial use, so the run's owner is asked to accept it.
    """

    name: str
    url: str
    forbids: str
    limits_use: bool


@dataclass(frozen=True, slots=True)
class Component:
    """A folder of a model in diffusers' format. `parameters`: of its network; 0: it has none."""

    name: str
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """The model that an engine part was made for.

    Attributes:
        part: the engine part's name.
        repo, revision: hub id and commit.
        components: the folders that the part loads; the others are never fetched.
        half: a second copy in fp16 is published, of half the size.
        stored: the format that the weights are published in.
    """

    part: str
    repo: str
    revision: str
    components: tuple[Component, ...]
    half: bool
    stored: Precision
    licence: Licence

    @property
    def networks(self) -> tuple[Component, ...]:
        return tuple(each for each in self.components if each.parameters)

    def parameters(self, components: Sequence[str]) -> int:
        """How many parameters the named components have together."""
        counts = {each.name: each.parameters for each in self.components}
        return sum(counts[name] for name in components)

    def download_bytes(self, precision: Precision) -> int:
        """About what fetching it for `precision` downloads: its weights."""
        stored = "fp16" if self.half and precision != "fp32" else self.stored
        return self.parameters([each.name for each in self.networks]) * ELEMENT_BYTES[stored]


def _default(settings: type[WeightSettings]) -> tuple[str, str]:
    fields = settings.model_fields
    return fields["weights"].default, fields["revision"].default


def _published(
    part: str,
    settings: type[WeightSettings],
    components: tuple[Component, ...],
    licence: Licence,
    *,
    half: bool,
    stored: Precision,
) -> Published:
    return Published(part, *_default(settings), components, half, stored, licence)


PUBLISHED: Mapping[str, Published] = {
    each.part: each
    for each in (
        _published(
            "qwen",
            QwenSettings,
            (
                Component("transformer", 20_430_401_088),
                Component("text_encoder", 8_292_166_656),
                Component("vae", 126_892_531),
                Component("tokenizer"),
                Component("processor"),
                Component("scheduler"),
            ),
            Licence(
                "Apache License 2.0",
                "https://huggingface.co/Qwen/Qwen-Image-Edit-2509",
                "Nothing that matters here: redistribution keeps the licence and its notices.",
                limits_use=False,
            ),
            half=False,
            stored="bf16",
        ),
        _published(
            "dual_attention",
            DualAttentionSettings,
            (
                Component("unet", 859_520_964),
                Component("vae", 83_653_863),
                Component("text_encoder", 123_060_480),
                Component("tokenizer"),
                Component("scheduler"),
            ),
            Licence(
                "CreativeML Open RAIL-M",
                "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
                "The uses that its attachment A lists (harm, deception, discrimination, law "
                "enforcement predictions, medical advice). Commercial use is allowed; whoever "
                "passes the model on passes these limits on.",
                limits_use=False,
            ),
            half=True,
            stored="fp32",
        ),
        _published(
            "svd",
            SvdSettings,
            (
                Component("unet", 1_524_623_082),
                Component("vae", 97_742_847),
                Component("image_encoder", 632_076_800),
                Component("feature_extractor"),
                Component("scheduler"),
            ),
            Licence(
                "Stability AI Community License",
                "https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt/blob/"
                "9e43909513c6714f1bc78bcb44d96e733cd242aa/LICENSE.md",
                "Commercial use by people or organisations with a yearly revenue of 1,000,000 US "
                "dollars or more, without a licence bought from Stability AI; and what Stability "
                "AI's Acceptable Use Policy lists. (The model's first licence, of November 2023, "
                "forbade every commercial use.)",
                limits_use=True,
            ),
            half=True,
            stored="fp32",
        ),
    )
}
