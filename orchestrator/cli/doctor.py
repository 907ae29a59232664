"""``orchestrator doctor``: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from orchestrator.cli import show

_PACKAGES = (
    "ray",
    "qiskit",
    "qiskit-ibm-runtime",
    "numba",
    "numpy",
    "pyarrow",
    "duckdb",
    "scikit-learn",
    "pydantic",
    "click",
)
_AER_PACKAGES = ("qiskit-aer", "qiskit-aer-gpu")
_CUDA_LIBRARIES = (
    "qiskit-aer-gpu needs the libraries of CUDA 12, which pip brings along unless it was told not to; "
    "without a card, install qiskit-aer instead"
)


@click.command()
def doctor() -> None:
    """Say what this machine can do, and what to install for the rest.

    Exit code 1 if something that every sweep needs is missing.

    \b
    Example:
      orchestrator doctor
    """
    packages = [*map(_package, _PACKAGES), _aer_package()]
    checks = [_python(), *packages, _memory(), _kernel_cache(), _aer(), _gpu(), _ray()]
    show.table(
        ("", "what", "found"), [("ok" if ok else "no" if ok is False else "–", *rest) for ok, *rest in checks]
    )
    if any(ok is False for ok, *_ in checks):
        raise SystemExit(1)


Finding = tuple[bool | None, str, str]
"""Whether it is there (None: optional and missing), what, and what was found or what to do."""


def _python() -> Finding:
    return sys.version_info >= (3, 11), "Python", sys.version.split()[0]


def _package(name: str) -> Finding:
    try:
        return True, name, version(name)
    except PackageNotFoundError:
        return False, name, f"missing: pip install {name}"


def _memory() -> Finding:
    from orchestrator.trial.problem import format_bytes

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return True, "CPUs, memory", f"{os.cpu_count()}, {format_bytes(memory)}"


def _kernel_cache() -> Finding:
    """Where Numba keeps compiled kernels; without it every worker compiles for itself."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(chosen)] if chosen else [Path(__file__).parents[1] / "engines", Path.home() / ".cache"]
    for place in places:
        if _writable(place):
            return True, "kernel cache", str(place)
    return None, "kernel cache", "nowhere to write: set NUMBA_CACHE_DIR to a folder that is"


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _aer_package() -> Finding:
    """Either of the two packages of Aer; of both at once only one is really there."""
    found = [f"{name} {version(name)}" for name in _AER_PACKAGES if _installed(name)]
    if len(found) == 1:
        return True, "Aer", found[0]
    missing = "missing: pip install qiskit-aer (or, for an NVIDIA GPU, qiskit-aer-gpu)"
    both = "qiskit-aer and qiskit-aer-gpu hide each other: uninstall both, then install one"
    return False, "Aer", both if found else missing


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _aer() -> Finding:
    from orchestrator.backends.aer.simulator import devices, methods

    try:
        return True, "Aer offers", f"{', '.join(devices())}; {', '.join(methods())}"
    except (ImportError, OSError) as error:
        return False, "Aer offers", f"nothing, it does not load: {error}; {_CUDA_LIBRARIES}"


def _gpu() -> Finding:
    from orchestrator.backends.aer.simulator import no_gpu

    cards = _cards() or "no NVIDIA card found"
    try:
        reason = no_gpu()
    except (ImportError, OSError):
        return None, "GPU", f"{cards}; Aer does not load"
    if reason:
        return None, "GPU", f"{cards}; not for Aer: {reason}"
    return True, "GPU", f"{cards}; in a sweep: backend: {{kind: aer, device: GPU}}"


def _cards() -> str:
    """The NVIDIA cards that the driver knows; empty if there are none, or no driver."""
    try:
        asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(line.partition(" (UUID")[0] for line in asked.stdout.splitlines())


def _ray() -> Finding:
    from orchestrator.fleet.cluster import running_cluster

    found = running_cluster()
    return (
        (True, "Ray cluster", found) if found else (None, "Ray cluster", "none running; `run` starts its own")
    )
