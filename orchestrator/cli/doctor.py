"""``orchestrator doctor``: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from orchestrator.cli import show

_PACKAGES = (
    "ray",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "numba",
    "numpy",
    "pyarrow",
    "duckdb",
    "scikit-learn",
    "pydantic",
    "click",
)


@click.command()
def doctor() -> None:
    """Say what this machine can do, and what to install for the rest.

    Exit code 1 if something that every sweep needs is missing.

    \b
    Example:
      orchestrator doctor
    """
    checks = [_python(), *map(_package, _PACKAGES), _memory(), _kernel_cache(), _aer(), _gpu(), _ray()]
    show.table(
        ("", "what", "found"), [("ok" if ok else "no" if ok is False else "–", *rest) for ok, *rest in checks]
    )
    if any(ok is False for ok, *_ in checks):
        raise SystemExit(1)


Check = tuple[bool | None, str, str]
"""Whether it is there (None: optional and missing), what, and what was found or what to do."""


def _python() -> Check:
    return sys.version_info >= (3, 11), "Python", sys.version.split()[0]


def _package(name: str) -> Check:
    try:
        return True, name, version(name)
    except PackageNotFoundError:
        return False, name, f"missing: pip install {name}"


def _memory() -> Check:
    from orchestrator.sweep.problem import size

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return True, "CPUs, memory", f"{os.cpu_count()}, {size(memory)}"


def _kernel_cache() -> Check:
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


def _aer() -> Check:
    from orchestrator.engines.aer.simulator import devices

    try:
        return True, "Aer devices", ", ".join(devices())
    except ImportError as error:
        return False, "Aer", f"does not load: {error}"


def _gpu() -> Check:
    from orchestrator.engines.aer.simulator import devices

    try:
        if "GPU" in devices():
            return True, "GPU", "Aer can use it"
    except ImportError:
        pass
    return None, "GPU", "none for Aer; with an NVIDIA card: pip install qiskit-aer-gpu in place of qiskit-aer"


def _ray() -> Check:
    from orchestrator.fleet.cluster import running_cluster

    found = running_cluster()
    return (
        (True, "Ray cluster", found) if found else (None, "Ray cluster", "none running; `run` starts its own")
    )
