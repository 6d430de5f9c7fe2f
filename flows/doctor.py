"""What this machine can run: each line with its remedy. Starts nothing, and never needs a package
that might be missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

_GIB = 2**30
_LEAST_MEMORY, _LEAST_DISK = 4 * _GIB, 10 * _GIB
_CONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        required: whether kinecolor cannot colorize a film (preset `exemplar`) unless it is ok.
        detail: what was found. remedy: what to do, empty where nothing is to be done.
    """

    name: str
    ok: bool
    required: bool
    detail: str
    remedy: str = ""


def diagnose(work: Path = Path()) -> list[Check]:
    """Looks at this machine, in under three seconds. `work`: the local work root, or a folder in
    which it will be made."""
    return [
        _python(),
        *_packages(),
        *_ffmpeg(),
        _opencv(),
        *_machine(),
        _writable(work),
        _disk(work),
        _prefect(),
        _ray(),
        _diffusion(),
        _gpu(),
        *_weights(),
        _terminal(),
    ]


def _check(name: str, ok: bool, required: bool, detail: str, remedy: str) -> Check:
    return Check(name, ok, required, detail, "" if ok else remedy)


# -- packages --------------------------------------------------------------------------------


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    return _check("Python", good, True, found, "Use Python 3.11, 3.12 or 3.13.")


def _packages() -> Iterator[Check]:
    """Ray and Prefect, and whether every installed version lies in the range that was tested."""
    for label, name in (("Ray", "ray"), ("Prefect", "prefect")):
        version = _version(name)
        remedy = f"Install it: pip install {name}"
        yield _check(label, version is not None, True, version or "not installed", remedy)
    yield _versions()


def _versions() -> Check:
    """FastAPI ≥ 0.155 breaks Prefect's server at import and SQLAlchemy 2.1 stops its scheduler
    without a word: the ranges of the package itself are the one list of such traps."""
    name, remedy = "Package versions", "Install kinecolor into a fresh environment: pip install ."
    if find_spec("packaging") is None:
        return Check(name, False, True, "the package “packaging” is not installed", remedy)
    from packaging.requirements import Requirement

    try:
        declared = metadata.requires("kinecolor") or []
    except metadata.PackageNotFoundError:
        return Check(name, False, False, "kinecolor runs from a folder; not compared", remedy)
    wrong: list[str] = []
    for need in map(Requirement, declared):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        if version is None:
            wrong.append(f"{need.name} is not installed")
        elif not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version} is not {need.specifier}")
    return _check(name, not wrong, True, "; ".join(wrong) or "as tested", remedy)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _ffmpeg() -> Iterator[Check]:
    remedy = "Install PyAV's own wheel, which brings FFmpeg: pip install --force-reinstall av"
    try:
        import av
    except ImportError as error:
        yield Check("PyAV", False, True, str(error), remedy)
        return
    versions = f"{av.__version__} with FFmpeg {av.ffmpeg_version_info}"
    yield Check("PyAV", True, True, versions)
    for codec, use in (("ffv1", "the master"), ("libx264", "access copies in MP4")):
        there = _encodes(codec)
        detail = f"{use}: {'there' if there else 'missing'}"
        yield _check(f"Encoder {codec}", there, codec == "ffv1", detail, remedy)


def _encodes(codec: str) -> bool:
    """Whether FFmpeg was built with this encoder (PyAV's list of codecs holds decoders too)."""
    import av

    try:
        av.Codec(codec, "w")
    except ValueError:
        return False
    return True


def _opencv() -> Check:
    remedy = "pip install opencv-python; on Debian also: apt-get install libgl1 libglib2.0-0"
    try:
        import cv2
    except ImportError as error:
        return Check("OpenCV", False, True, str(error), remedy)
    there = hasattr(cv2, "DISOpticalFlow_create")
    detail = f"{cv2.__version__}, DIS optical flow {'there' if there else 'missing'}"
    return _check("OpenCV", there, True, detail, remedy)


def _diffusion() -> Check:
    needed = ("torch", "diffusers", "transformers", "accelerate", "safetensors")
    missing = [name for name in needed if _version(name) is None]
    detail = f"without {', '.join(missing)}" if missing else "installed"
    remedy = "Not needed for the preset exemplar. Install it: pip install 'kinecolor[diffusion]'"
    return _check("Extra diffusion", not missing, False, detail, remedy)


# -- the machine -----------------------------------------------------------------------------


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("Cores", True, True, f"{cores}")
    total = _memory_limit()
    remedy = "Give the machine or container 4 GiB, or run with --local, which needs one worker."
    if total is None:
        yield Check("Memory", False, False, "unknown", "Install psutil: pip install psutil")
    else:
        yield _check("Memory", total >= _LEAST_MEMORY, False, f"{total / _GIB:.1f} GiB", remedy)


def _memory_limit() -> int | None:
    """Bytes that this process may use; None where psutil is missing."""
    if find_spec("psutil") is None:
        return None
    from colorize_core.placement import memory_here

    return memory_here()


def _existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that is there."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _writable(work: Path) -> Check:
    place = _existing(work)
    try:
        with tempfile.TemporaryFile(dir=place):
            writable = True
    except OSError:
        writable = False
    detail = f"{place} {'can' if writable else 'cannot'} be written to"
    return _check("Work root", writable, True, detail, "Give a folder of your own: --work FOLDER.")


def _disk(work: Path) -> Check:
    free = shutil.disk_usage(_existing(work)).free
    remedy = "Free some space: master and work are lossless, many times as large as most sources."
    return _check("Disk", free >= _LEAST_DISK, False, f"{free / _GIB:.1f} GiB free", remedy)


def _gpu() -> Check:
    remedy = "Not needed for the preset exemplar; paper and fast want an NVIDIA card."
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("GPU", False, False, "no NVIDIA driver", remedy)
    ask = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        asked = subprocess.run(ask, capture_output=True, text=True, timeout=1.5, check=True)
    except (OSError, subprocess.SubprocessError):
        return Check("GPU", False, False, "nvidia-smi does not answer", remedy)
    names = "; ".join(asked.stdout.split("\n")).strip("; ")
    return _check("GPU", bool(names), False, names or "none", remedy)


def _weights() -> Iterator[Check]:
    """Whether the weights that the parts load by default are there."""
    if find_spec("pydantic") is None:
        yield Check("Weights", False, False, "unknown", "Install kinecolor with its packages.")
        return
    from colorize_core.engines.diffusion.published import PUBLISHED
    from colorize_core.engines.diffusion.weights import folder
    from colorize_core.errors import WeightsMissing

    for part, published in PUBLISHED.items():
        try:
            folder(published.repo, published.revision, part)
            detail, remedy = f"{published.repo}@{published.revision[:8]}", ""
        except WeightsMissing as missing:
            detail = f"{published.repo} is not here, or not whole"
            remedy = f"Not needed for the preset exemplar. {missing.remedy}"
        yield _check(f"Weights of {part}", not remedy, False, detail, remedy)


def _terminal() -> Check:
    encoding = sys.stdout.encoding or "unknown"
    good = encoding.lower().replace("-", "") == "utf8"
    remedy = "Messages hold signs beyond ASCII: export LANG=C.UTF-8 (or PYTHONUTF8=1)."
    return _check("Terminal", good, False, f"encoding {encoding}", remedy)


# -- servers ---------------------------------------------------------------------------------


def _prefect() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("Prefect server", True, False, "none set: each run starts its own")
    remedy = "Start it (prefect server start), or unset PREFECT_API_URL."
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    return _reached("Prefect server", "PREFECT_API_URL", parts.hostname, port, remedy)


def _ray() -> Check:
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Check("Ray cluster", True, False, "none set: each run starts its own")
    if address in ("auto", "local"):
        return Check("Ray cluster", True, False, f"RAY_ADDRESS is “{address}”: found at start")
    if "://" in address:
        remedy = "Set RAY_ADDRESS to HOST:6379 and run on a machine of the cluster."
        return Check("Ray cluster", False, True, "RAY_ADDRESS is a URL of Ray's client", remedy)
    host, _, port = address.rpartition(":")
    remedy = "Start it (ray start --head), or unset RAY_ADDRESS to use this machine alone."
    number = int(port) if port.isdigit() else 0
    return _reached("Ray cluster", "RAY_ADDRESS", host.strip("[]"), number, remedy)


def _reached(name: str, variable: str, host: str | None, port: int, remedy: str) -> Check:
    """Whether a server that was asked for listens. It is required then: nothing takes its place."""
    if not host or not 0 < port < 65536:
        return Check(name, False, True, f"{variable} is no address", remedy)
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        return Check(name, False, True, f"{variable}: {host}:{port}: {reason}", remedy)
    return Check(name, True, True, f"{variable}: {host}:{port} listens")
