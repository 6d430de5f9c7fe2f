"""What made an object is its name: a digest of everything that it depends on.

Same name, same content: what is there is not made again, and a change reaches only what depends
on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from colorize_core.config import RunConfig, digest_of
from colorize_core.engines.contract import Facts
from colorize_core.references.tone import VERSION as TONE_VERSION
from colorize_core.references.tone import Tone
from colorize_core.timebase import FrameSpan
from colorize_core.work import StillRef

MERGE_VERSION = 1  # a change of what `merge`, `upsample` or the chunk's encoding gives


def reference_name(
    source: str,
    frame: int,
    prompt: str,
    kindred: Sequence[StillRef],
    facts: Facts,
    config: RunConfig,
) -> str:
    """The still that `facts`' part makes of a frame; it stands for the still's digest."""
    return digest_of(
        {
            "kind": "reference",
            "source": source,
            "frame": frame,
            "prompt": prompt,
            "kindred": [still.digest for still in kindred],
            **_part(facts, config),
        }
    )


def toned_name(still: str, tone: Tone) -> str:
    """The still with this digest, its white balance changed by `tone`; it stands for its digest."""
    return digest_of(
        {
            "kind": "toned",
            "still": still,
            "tone": [tone.red, tone.blue],
            "version": TONE_VERSION,
        }
    )


def anchor_name(
    source: str,
    shot: FrameSpan,
    frame: int,
    stills: Sequence[StillRef],
    facts: Facts,
    config: RunConfig,
) -> str:
    """`source` is the source's digest, `stills` are the shot's, `facts` the anchor part's."""
    return digest_of(
        {
            "kind": "anchor",
            "source": source,
            "shot": [shot.start, shot.end],
            "frame": frame,
            "stills": [[still.digest, still.frame] for still in stills],
            **_part(facts, config),
        }
    )


def segment_name(
    source: str, owns: FrameSpan, anchors: tuple[str, str], facts: Facts, config: RunConfig
) -> str:
    """`anchors` are the names of both anchors, `facts` the interpolation part's."""
    return digest_of(
        {
            "kind": "segment",
            "source": source,
            "span": [owns.start, owns.end],
            "anchors": list(anchors),
            **_part(facts, config),
        }
    )


def chunk_name(
    source: str, span: FrameSpan, segments: Sequence[str | None], config: RunConfig
) -> str:
    """`segments` are the names of the segments whose colours go in, None for one that stays grey;
    nothing else than such means grey, however many they are."""
    return digest_of(
        {
            "kind": "chunk",
            "source": source,
            "span": [span.start, span.end],
            "segments": list(segments) if any(segments) else [],
            "merge": config.merge,
            "dither": config.lab_dither if config.merge == "lab" else 0,
            "version": MERGE_VERSION,
        }
    )


def master_name(source: str, chunks: Sequence[str]) -> str:
    """Identifies the master that joining these chunks gives."""
    return digest_of({"kind": "master", "source": source, "chunks": list(chunks)})


def _part(facts: Facts, config: RunConfig) -> dict[str, Any]:
    named = {
        "part": facts.name,
        "version": facts.version,
        "settings": config.settings_of(facts.name).model_dump(mode="json"),
        "seed": config.seed,
    }
    return named | {"weights": facts.weights} if facts.weights else named
