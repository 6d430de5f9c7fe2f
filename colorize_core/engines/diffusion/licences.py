"""The licence guard: weights whose licence limits their use are not used before it is accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from colorize_core.engines.diffusion.published import PUBLISHED, Licence
from colorize_core.errors import LicenceNotAccepted

if TYPE_CHECKING:
    from colorize_core.config import RunConfig


@dataclass(frozen=True, slots=True)
class PartLicence:
    """A part and the licence of its weights; as text, what the manifest records."""

    part: str
    licence: Licence

    def __str__(self) -> str:
        return f"{self.licence.name} ({self.part}: {self.licence.url})"


def licences(config: RunConfig) -> list[PartLicence]:
    """Of the chosen parts those whose licence limits their use.

    Other weights in place of the published ones (a folder, a fine-tuned model) derive from them,
    so the licence is asked for all the same.
    """
    return licences_of(config.parts.model_dump().values())


def licences_of(parts: Iterable[str]) -> list[PartLicence]:
    """Of engine parts, by name, those whose licence limits their use."""
    known = (PUBLISHED[part] for part in parts if part in PUBLISHED)
    return [PartLicence(each.part, each.licence) for each in known if each.licence.limits_use]


def check_licences(config: RunConfig, accepted: bool) -> None:
    """Refuse a run with weights of limited use whose licence nobody has accepted.

    Raises:
        LicenceNotAccepted: names part, licence, and what it forbids.
    """
    check_accepted([] if accepted else licences(config))


def check_accepted(missing: Sequence[PartLicence]) -> None:
    """Refuse to go on where the acceptance of any licence is missing.

    Raises:
        LicenceNotAccepted: as `check_licences`.
    """
    if missing:
        said = " ".join(
            f"{each.part} uses weights under the {each.licence.name} ({each.licence.url}), which "
            f"forbids: {each.licence.forbids}"
            for each in missing
        )
        raise LicenceNotAccepted(
            said, "Read the licence; if you may use the weights, add --accept-licence."
        )
