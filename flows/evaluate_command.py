"""What `kinecolor evaluate` does: one call into the flow, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from colorize_core.errors import Unfinished
from flows.terminal import Terminal, json_only
from flows.through_prefect import through_prefect

if TYPE_CHECKING:
    from colorize_core.evaluation.measure import Evaluation
    from colorize_core.evaluation.request import EvaluationRequest
    from flows.commands import Where


def evaluate(request: EvaluationRequest, where: Where, *, as_json: bool, debug: bool) -> None:
    """Measure a preset on a data set, and say what came of it.

    Raises:
        Unfinished: clips have no score. With `as_json` the evaluation was printed.
    """
    from colorize_core.config import load_config
    from colorize_core.evaluation.measure import Evaluation

    load_config(request.preset, request.settings)  # before anything is started
    with json_only() if as_json else nullcontext() as write:
        try:
            evaluation = _run(request, where, debug=debug)
        except Unfinished as unfinished:
            _say(Evaluation.model_validate(unfinished.summary), request, write)
            raise
        _say(evaluation, request, write)


def _run(request: EvaluationRequest, where: Where, *, debug: bool) -> Evaluation:
    from colorize_core.evaluation.measure import Evaluation

    def start() -> dict[str, Any]:
        from flows.evaluate import evaluate as flow

        return flow(request, where.ray, where.workers, where.device)

    return Evaluation.model_validate(through_prefect(start, debug=debug))


def _say(
    evaluation: Evaluation, request: EvaluationRequest, write: Callable[[str], None] | None
) -> None:
    from colorize_core.evaluation.page import in_words
    from colorize_core.evaluation.prepare import output_folder

    if write is not None:
        write(evaluation.model_dump_json())
        return
    terminal = Terminal()
    for clip in evaluation.clips:
        said = f"PSNR {clip.scores.psnr:.2f} dB" if clip.scores else f"not scored: {clip.error}"
        terminal.say(f"{clip.clip}: {said}")
    overall = evaluation.overall
    terminal.say(f"{overall.clips} clips, {overall.frames} frames: {in_words(overall)}")
    for name, command in evaluation.missing.items():
        terminal.say(f"{name} is not available. To get it: {command}")
    terminal.say(f"Page:   {output_folder(request) / 'index.html'}")
