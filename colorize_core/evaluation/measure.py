"""What came of an evaluation: a row a clip, what is read off them all, the files that say so."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from colorize_core import storage
from colorize_core.archive.rollup import ArchiveRow
from colorize_core.config import digest_of, load_config
from colorize_core.errors import InputError, WorkError
from colorize_core.evaluation.perceptual import Perceptual, frechet_distance
from colorize_core.evaluation.prepare import PreparedClip, output_folder
from colorize_core.evaluation.request import PROTOCOLS, EvaluationRequest
from colorize_core.evaluation.score import Features, Scores, score
from colorize_core.film import read_record
from colorize_core.manifest.read import latest, latest_film
from colorize_core.manifest.schema import FilmRow
from colorize_core.media.color import resolve_tags
from colorize_core.paths import ArchivePaths, FilmPaths
from colorize_core.work import Progress

SCORE_VERSION = 1  # a change of what `score` gives


class ClipResult(BaseModel):
    """A clip's row. `scores`: None where it has none, and `error` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: str
    frames: int
    width: int
    height: int
    seconds: float | None = Field(default=None, description="Workers' wall clock for the clip.")
    scores: Scores | None = None
    error: str = ""


class Overall(BaseModel):
    """Means over the clips that have scores; FID over all their frames. None: not available."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: int
    frames: int
    psnr: float | None
    ssim: float | None
    lpips: float | None
    fid: float | None
    cdc: float | None
    colorfulness: float | None
    colorfulness_absolute: float | None
    true_colorfulness: float | None
    warp_error: float | None


class Evaluation(BaseModel):
    """All of it. `protocol`: lines for people, to be quoted with every figure; `missing`: for each
    measure that is not available, the command that gets it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    preset: str
    reference: str
    protocol: tuple[str, ...]
    missing: dict[str, str]
    overall: Overall
    clips: tuple[ClipResult, ...] = Field(description="The worst first; those without scores last.")


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str
    scores: Scores


def measure(
    request: EvaluationRequest,
    prepared: Sequence[PreparedClip],
    measures: Perceptual,
    progress: Progress,
) -> Evaluation:
    """Score every clip that is published; what was scored already is not scored again.

    Raises:
        StorageError.
    """
    folder = output_folder(request)
    rows = {row.name: row for row in latest(ArchivePaths(str(folder / "work")), ArchiveRow).rows}
    total = sum(each.record.frames for each in prepared if each.record)
    done, results, films = 0, list[ClipResult](), list[FilmRow]()
    for each in prepared:
        begun = done
        row = rows.get(each.clip.name)

        def tell(frames: int, begun: int = begun) -> None:
            progress("score", begun + frames, total)

        result, film = _result(request, folder, each, row, measures, tell)
        results.append(result)
        films += [film] if film else []
        done += result.frames
    progress("score", total, total)
    ranked = sorted(results, key=lambda each: each.scores.psnr if each.scores else np.inf)
    return Evaluation(
        dataset=storage.redact(request.dataset),
        preset=request.preset,
        reference=request.reference,
        protocol=_protocol(request, results, films),
        missing=measures.missing,
        overall=_overall(results, _fid(_scores_folder(request), results, measures)),
        clips=tuple(ranked),
    )


def write_tables(evaluation: Evaluation, folder: Path) -> None:
    """``clips.parquet``, ``clips.csv`` and ``evaluation.json`` in `folder`."""
    rows = [_flat(each) for each in evaluation.clips]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink)
    storage.replace_atomically(str(folder / "clips.parquet"), sink.getvalue().to_pybytes())
    text = io.StringIO()
    table = csv.DictWriter(text, _SCHEMA.names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    storage.replace_atomically(str(folder / "clips.csv"), text.getvalue().encode())
    data = json.dumps(evaluation.model_dump(mode="json"), indent=2).encode()
    storage.replace_atomically(str(folder / "evaluation.json"), data)


def _result(
    request: EvaluationRequest,
    folder: Path,
    prepared: PreparedClip,
    row: ArchiveRow | None,
    measures: Perceptual,
    progress: Callable[[int], None],
) -> tuple[ClipResult, FilmRow | None]:
    """A clip's row, and its film's."""
    record, name = prepared.record, prepared.clip.name
    if record is None:
        return ClipResult(clip=name, frames=0, width=0, height=0, error=prepared.error), None
    blank = ClipResult(clip=name, frames=record.frames, width=record.width, height=record.height)
    if row is None or row.status != "published" or row.film is None or row.output is None:
        why = (row.error or f"It is {row.status}.") if row else "It was not colorized."
        return blank.model_copy(update={"error": why}), None
    paths = FilmPaths(str(folder / "work"), row.film)
    film = latest_film(paths)
    given = record.given if request.protocol == "held-out" else ()
    state = digest_of(
        [SCORE_VERSION, record.state, storage.fingerprint(row.output), given, measures.missing]
    )
    kept = _scores_folder(request)
    try:
        scores = _stored(kept, name, state)
        if scores is None:
            features = Features(measures)
            tags = resolve_tags(read_record(paths).source)
            scores = score(prepared.clip, row.output, tags, given, measures, features, progress)
            _store(kept, name, state, scores, features)
    except (InputError, WorkError) as error:
        return blank.model_copy(update={"error": error.what}), film
    seconds = film.seconds if film else None
    return blank.model_copy(update={"scores": scores, "seconds": seconds}), film


def _scores_folder(request: EvaluationRequest) -> Path:
    return output_folder(request) / "scores" / request.protocol


def _stored(folder: Path, clip: str, state: str) -> Scores | None:
    try:
        found = _Stored.model_validate_json((folder / f"{clip}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return found.scores if found.state == state else None


def _store(folder: Path, clip: str, state: str, scores: Scores, features: Features) -> None:
    path = folder / f"{clip}.json"
    if (rows := features.finish()) is not None:
        buffer = io.BytesIO()
        np.savez(buffer, made=rows[0], true=rows[1])
        storage.replace_atomically(str(path.with_suffix(".npz")), buffer.getvalue())
    stored = _Stored(state=state, scores=scores)
    storage.replace_atomically(str(path), stored.model_dump_json().encode())


def _fid(folder: Path, results: Sequence[ClipResult], measures: Perceptual) -> float | None:
    """Over all frames of the clips that have scores."""
    made, true = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    if measures.features is None:
        return None
    for each in results:
        if each.scores:
            path = folder / f"{each.clip}.npz"
            with np.load(path, allow_pickle=False) as stored:
                made.append(stored["made"])
                true.append(stored["true"])
    return frechet_distance(np.concatenate(made), np.concatenate(true)) if made else None


def _overall(results: Sequence[ClipResult], fid: float | None) -> Overall:
    """Means over clips; of CDC over clips and then channels, which is the same."""
    scored = [each.scores for each in results if each.scores]
    flat = [_figures(each) for each in scored]

    def mean(name: str) -> float | None:
        values = [value for each in flat if (value := each[name]) is not None]
        return float(np.mean(values)) if values else None

    return Overall(
        clips=len(scored),
        frames=sum(each.frames for each in scored),
        fid=fid,
        **{name: mean(name) for name in _MEANS},
    )


def _protocol(
    request: EvaluationRequest, results: Sequence[ClipResult], films: Sequence[FilmRow]
) -> tuple[str, ...]:
    scored = [each for each in results if each.scores]
    sizes = sorted({f"{each.width} × {each.height}" for each in scored})
    shown = ", ".join(sizes[:3]) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else "")
    oracle = {
        "middle": "the true colours of each clip's middle frame, an oracle",
        "first": "the true colours of each clip's first frame, an oracle",
        "none": "none; stills are made by the preset",
    }.get(request.reference, f"stills of {storage.redact(request.reference)}")
    config = load_config(request.preset, ("merge=lab", *request.settings))
    weights = sorted({each for film in films for each in film.weights}) or ["none"]
    return (
        f"Clips: {len(scored)} of {len(results)}, {sum(each.frames for each in scored)} frames, "
        f"at their own size ({shown or 'none'}). Each is one shot.",
        "Input: 8-bit grey of the true colours' L*; result: its L* with the colours made "
        "(merge=lab).",
        f"References: {oracle}.",
        f"Protocol {request.protocol}: {PROTOCOLS[request.protocol]}.",
        f"Preset {request.preset}, configuration {config.digest[:16]}"
        + (f" ({', '.join(request.settings)})" if request.settings else "")
        + f", weights: {'; '.join(weights)}.",
        "PSNR and SSIM (scikit-image, window 7): R'G'B', float, range 255, mean over frames, then "
        "clips. LPIPS: AlexNet. FID: Inception of torch-fidelity. CDC (TCVC): d = 1, 2, 4. "
        "Colorfulness: Hasler and Süsstrunk, signed; absolute beside it. Warp error: Lai et al., "
        "on a*b*, DIS flow.",
    )


_MEANS = (
    *("psnr", "ssim", "lpips", "cdc", "colorfulness", "colorfulness_absolute"),
    *("true_colorfulness", "warp_error"),
)


def _figures(scores: Scores) -> dict[str, float | None]:
    return {
        "psnr": scores.psnr,
        "ssim": scores.ssim,
        "lpips": scores.lpips,
        "cdc": None if scores.cdc is None else float(np.mean(scores.cdc)),
        "colorfulness": scores.colorfulness,
        "colorfulness_absolute": scores.colorfulness_absolute,
        "true_colorfulness": scores.true_colorfulness,
        "warp_error": scores.warp_error,
    }


def _flat(result: ClipResult) -> dict[str, Any]:
    """A row of the tables."""
    scores = result.scores
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names)
    row |= {name: getattr(result, name) for name in ("clip", "frames", "width", "height")}
    row |= {"seconds": result.seconds, "error": result.error}
    if scores is not None:
        row |= _figures(scores) | {"counted": scores.counted}
        row |= dict(zip(("cdc_r", "cdc_g", "cdc_b"), scores.cdc or (None,) * 3, strict=True))
    return row


_SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("frames", pa.int64()),
        ("counted", pa.int64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("seconds", pa.float64()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
        ("lpips", pa.float64()),
        ("cdc", pa.float64()),
        ("cdc_r", pa.float64()),
        ("cdc_g", pa.float64()),
        ("cdc_b", pa.float64()),
        ("colorfulness", pa.float64()),
        ("colorfulness_absolute", pa.float64()),
        ("true_colorfulness", pa.float64()),
        ("warp_error", pa.float64()),
        ("error", pa.string()),
    ]
)
