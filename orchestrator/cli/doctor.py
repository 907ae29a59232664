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
    "qiskit-aer-gpu needs the libraries of CUDA 12, which pip installs with it (unless --no-deps is given); "
    "without an NVIDIA GPU, install qiskit-aer instead"
)


@click.command()
def doctor() -> None:
    """Check this machine: packages, memory, Aer, GPU, Ray.

    Says what to install for whatever is missing. Exit code 1 if something is missing that every sweep needs.

    \b
    Example:
      orchestrator doctor
    """
    packages = [*map(_package, _PACKAGES), _aer_package()]
    checks = [_python(), *packages, _memory(), _kernel_cache(), _aer(), _gpu(), _ray()]
    show.table(
        ("", "what", "found"),
        [("ok" if ok else "no" if ok is False else "–", *rest) for ok, *rest in checks],
        wrap_last=True,
    )
    if any(ok is False for ok, *_ in checks):
        raise SystemExit(1)


Finding = tuple[bool | None, str, str]
"""Of one check: passed (None: missing, but optional), what was checked, and what was found or what to do."""


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
    """Finds the folder where Numba caches compiled kernels; without one every worker compiles them again."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(__file__).parents[1] / "backends" / "batched"
    folders = [Path(chosen)] if chosen else [beside, Path.home() / ".cache"]
    for folder in folders:
        if _writable(folder):
            return True, "kernel cache", str(folder)
    return None, "kernel cache", "no writable folder: set NUMBA_CACHE_DIR to one"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _aer_package() -> Finding:
    """Checks that one of Aer's two packages is installed; both overwrite the same files."""
    installed = [f"{name} {version(name)}" for name in _AER_PACKAGES if _installed(name)]
    if len(installed) == 1:
        return True, "Aer", installed[0]
    missing = "missing: pip install qiskit-aer (or, for an NVIDIA GPU, qiskit-aer-gpu)"
    both = "qiskit-aer and qiskit-aer-gpu overwrite each other: uninstall both, then install one"
    return False, "Aer", both if installed else missing


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
        return False, "Aer offers", f"nothing: Aer does not load: {error}; {_CUDA_LIBRARIES}"


def _gpu() -> Finding:
    from orchestrator.backends.aer.simulator import no_gpu

    gpus = _nvidia_gpus() or "no NVIDIA GPU found"
    try:
        reason = no_gpu()
    except (ImportError, OSError):
        return None, "GPU", f"{gpus}; Aer does not load"
    if reason:
        return None, "GPU", f"{gpus}; Aer cannot use a GPU: {reason}"
    return True, "GPU", f"{gpus}; in a sweep: backend: {{kind: aer, device: GPU}}"


def _nvidia_gpus() -> str:
    """Returns the GPUs that NVIDIA's driver lists; empty without a GPU or a driver."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(line.partition(" (UUID")[0] for line in listing.stdout.splitlines())


def _ray() -> Finding:
    from orchestrator.fleet.cluster import running_cluster

    resources = running_cluster()
    return (
        (True, "Ray cluster", resources)
        if resources
        else (None, "Ray cluster", "none running; `run` starts its own")
    )
