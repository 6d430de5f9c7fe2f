"""Qwen2-VL's processor without its video part, which alone needs torchvision.

The same arithmetic on every machine: the stock processor resizes pictures with torchvision where
that is installed, and with Pillow where it is not.
"""

from __future__ import annotations

from pathlib import Path

from transformers import Qwen2Tokenizer, Qwen2VLImageProcessorPil, Qwen2VLProcessor
from transformers.processing_utils import ProcessorMixin


class ImageOnlyProcessor(Qwen2VLProcessor):
    """Prompts with pictures, as tokens and patches."""

    def __init__(
        self,
        image_processor: Qwen2VLImageProcessorPil,
        tokenizer: Qwen2Tokenizer,
        chat_template: str | None = None,
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        # Not the parent's: it asks for a video processor.
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def load(cls, folder: Path) -> ImageOnlyProcessor:
        """From the folder `processor` of a pipeline in diffusers' format."""
        return cls(
            Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True),
            Qwen2Tokenizer.from_pretrained(folder, local_files_only=True),
        )

    @property
    def model_input_names(self) -> list[str]:
        """Without those of videos."""
        names = self.tokenizer.model_input_names + self.image_processor.model_input_names
        return [*names, "mm_token_type_ids"]
