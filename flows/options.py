"""Options and arguments that several commands have, as typer takes them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Source = Annotated[str, typer.Argument(help="The film: a path or URL.", metavar="SOURCE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Work = Annotated[
    str,
    typer.Option(
        envvar="KINECOLOR_WORK", help="The work root: a path or URL. Unfinished work is kept there."
    ),
]
AcceptLicence = Annotated[
    bool,
    typer.Option("--accept-licence", help="Accept the licences of weights that limit their use."),
]
Device = Literal["auto", "cpu", "cuda"]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="IMAGE[@TIME]",
        help="A colour still; TIME is the frame it shows: f250, 12.5 or 00:00:10:12.",
    ),
]
ReferencesDir = Annotated[
    str | None,
    typer.Option(
        "--references",
        metavar="DIR",
        help="A folder of colour stills (IMAGE or IMAGE@TIME names).",
    ),
]
Preset = Annotated[str, typer.Option("--preset", help="Choice of parts and parameters.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as merge=lab."),
]
Shots = Annotated[
    str | None, typer.Option("--shots", metavar="FILE", help="An edited shot list (CSV).")
]
Ray = Annotated[
    str | None, typer.Option("--ray", metavar="ADDRESS", help="The Ray cluster to join.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        envvar="KINECOLOR_WORKERS",
        help="At most so many workers of a kind (default: one for each CPU and GPU; on a cluster "
        "as there is room).",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device",
        envvar="KINECOLOR_DEVICE",
        help="Where parts that want a GPU compute; auto never means the CPU.",
    ),
]
AcceptDamage = Annotated[
    bool, typer.Option("--accept-damage", help="Keep the readable part of a damaged source.")
]
HoldBelow = Annotated[
    float | None,
    typer.Option(
        "--hold-below",
        min=0.0,
        max=1.0,
        metavar="SCORE",
        help="Do not publish a film with a coloured shot below this score until a person has "
        "looked (as --set quality.hold_below=SCORE).",
    ),
]
Local = Annotated[
    bool, typer.Option("--local", help="Run in this process, without Ray and Prefect.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show stack traces and all logs.")]


def settings(assignments: list[str] | None, hold_below: float | None) -> tuple[str, ...]:
    """What was set, with what has an option of its own."""
    held = () if hold_below is None else (f"quality.hold_below={hold_below}",)
    return (*(assignments or ()), *held)


WORK_ROOT = "kinecolor-work"
