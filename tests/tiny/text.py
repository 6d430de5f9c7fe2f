"""Tokenizers of bytes: the real classes with a vocabulary of 256 characters and no merges."""

from __future__ import annotations

import json
from pathlib import Path


def byte_characters() -> list[str]:
    """The characters that stand for the bytes 0 to 255 in GPT-2's byte-level tokenizers."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    table = {byte: byte for byte in shown} | {byte: 256 + i for i, byte in enumerate(hidden)}
    return [chr(table[byte]) for byte in range(256)]


def write_tokenizer(folder: Path, vocabulary: list[str], config: dict[str, object]) -> None:
    """The files that a byte-level BPE tokenizer is loaded from."""
    folder.mkdir(parents=True)
    numbered = {word: i for i, word in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(numbered, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
