"""A data set through the real pipeline, and what came of it against the truth."""

# No postponed annotations: Prefect, which loads deployments from this file, would find no names.

from contextlib import suppress
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.exceptions import CancelledRun

from colorize_core import storage
from colorize_core.errors import Unfinished
from colorize_core.evaluation.measure import Evaluation, measure, write_tables
from colorize_core.evaluation.page import build_page, in_words
from colorize_core.evaluation.perceptual import perceptual
from colorize_core.evaluation.prepare import archive_request, output_folder, prepare
from colorize_core.evaluation.request import EvaluationRequest
from colorize_core.placement import DeviceKind
from flows.colorize_archive import colorize_archive
from tasks import observe
from tasks.cancel import as_cancelled, ended_on_cancel


@flow(name="evaluate", persist_result=False)
def evaluate(
    request: EvaluationRequest,
    ray_address: str | None = None,
    workers: int | None = None,
    device: DeviceKind = "auto",
) -> dict[str, Any]:
    """Turn the clips of a data set grey, colorize them, and score them.

    Args:
        request: the data set, and how it is measured.
        ray_address, workers, device: as for `colorize_film`.

    Returns:
        The evaluation (`Evaluation` as JSON). Tables and page are in the output folder.

    Raises:
        Unfinished: clips have no score; those that have one are in the tables and on the page.
        CancelledRun: it was cancelled in Prefect.
        KinecolorError: with what is wrong and what to do.
    """
    try:
        with ended_on_cancel():
            progress = observe.StageProgress("evaluate")
            folder = output_folder(request)
            clips = prepare(request, progress)
            with suppress(Unfinished):  # those that failed have no score, which is said below
                colorize_archive(
                    archive_request(request),
                    ray_address=ray_address,
                    workers=workers,
                    device=device,
                )
            evaluation = measure(request, clips, perceptual(), progress)
            write_tables(evaluation, folder)
            storage.replace_atomically(str(folder / "index.html"), build_page(evaluation))
            _show(evaluation)
            _check_scored(evaluation)
            return evaluation.model_dump(mode="json")
    except CancelledRun as cancelled:
        return as_cancelled(cancelled)


def _check_scored(evaluation: Evaluation) -> None:
    without = [clip for clip in evaluation.clips if clip.scores is None]
    if not without:
        return
    named = "; ".join(f"{clip.clip}: {clip.error}" for clip in without[:10])
    unfinished = Unfinished(
        f"{len(without)} of {len(evaluation.clips)} clips have no score: {named}",
        "Mend that, and run the same command again: what is scored is not scored again.",
    )
    unfinished.summary = evaluation.model_dump(mode="json")
    raise unfinished


def _show(evaluation: Evaluation) -> None:
    lines = [f"# {in_words(evaluation.overall)}", *(f"- {line}" for line in evaluation.protocol)]
    lines += [f"- {name} is not available: `{how}`" for name, how in evaluation.missing.items()]
    create_markdown_artifact("\n".join(lines), key="evaluation", description="Overall")
    create_table_artifact(
        [
            {
                "clip": clip.clip,
                "frames": clip.frames,
                "psnr": clip.scores and round(clip.scores.psnr, 2),
                "ssim": clip.scores and round(clip.scores.ssim, 3),
                "error": clip.error,
            }
            for clip in evaluation.clips
        ],
        key="evaluation-clips",
        description="Clips, the worst first.",
    )
