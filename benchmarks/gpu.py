"""Gradients on Aer's GPU, Aer's CPU and our kernel: ``python -m benchmarks.gpu [--small]``.

Prints Markdown. The work is that of ``benchmarks.gradients``. Without a GPU, it says so and times the rest.
"""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser
from collections.abc import Mapping
from importlib.metadata import distributions

import numpy as np

from benchmarks.gradients import machine
from benchmarks.process import LeftOutError, Program
from benchmarks.work import Array, Shape
from orchestrator.backends.aer.simulator import no_gpu

SHAPES = (Shape(10, 256), Shape(16, 32), Shape(20, 8), Shape(24, 1))
SMALL = (Shape(2, 3),)
"""Measures nothing: shows within seconds that everything runs."""

PROGRAMS: Mapping[str, str] = {
    "kernel, adjoint": "orchestrator adjoint",
    "Aer CPU, adjoint": "orchestrator adjoint CPU",
    "Aer GPU, adjoint": "orchestrator adjoint GPU",
    "kernel, shift": "orchestrator parameter-shift",
    "Aer CPU, shift": "orchestrator parameter-shift CPU",
    "Aer GPU, shift": "orchestrator parameter-shift GPU",
}
THREADS = 1
"""As many as a worker has by default."""

LIMIT_S = 60.0
"""Limit for the first gradient, start of the process included; a program that takes longer is left out."""

CALLS, SLOW_S = 3, 20.0
TOLERANCE = 1e-8


def measure(shape: Shape, programs: Mapping[str, str]) -> dict[str, float]:
    """Returns the seconds of the shortest call by program, without programs that fail or take too long."""
    times, expected = dict[str, float](), None
    for name, program in programs.items():
        try:
            seconds, gradient = _measured(program, shape)
        except LeftOutError as reason:
            print(f"<!-- {shape}: {name}: left out, {reason} -->", flush=True)
            continue
        print(f"<!-- {shape}: {name}: {seconds:.4g} s -->", flush=True)
        expected = gradient if expected is None else expected
        if not np.allclose(gradient, expected, rtol=0.0, atol=TOLERANCE):
            raise SystemExit(f"{name} computes another gradient of {shape} than the first program")
        times[name] = seconds
    return times


def _measured(program: str, shape: Shape) -> tuple[float, Array]:
    """Returns the shortest call of a program and its gradient; a slow program is called once."""
    running = Program(program, shape, THREADS)
    try:
        first = running.first(LIMIT_S)
        again = running.seconds(CALLS, 10 * LIMIT_S) if first.seconds < SLOW_S else []
        return min([first.seconds, *again]), first.gradient
    finally:
        running.close()


def table(times: Mapping[Shape, Mapping[str, float]]) -> str:
    """Returns a table of milliseconds per shape and program."""
    names = [name for name in PROGRAMS if any(name in seconds for seconds in times.values())]
    lines = ["| " + " | ".join(["qubits, batch", *names]) + " |", "|---" * (1 + len(names)) + "|"]
    for shape, seconds in times.items():
        cells = (f"{1e3 * seconds[name]:,.4g}" if name in seconds else "–" for name in names)
        lines.append("| " + " | ".join([str(shape), *cells]) + " |")
    return "\n".join(lines)


def _gpus() -> str:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measures, and prints the table."""
    parser = ArgumentParser("python -m benchmarks.gpu", description="Gradients on Aer's GPU.")
    parser.add_argument("--small", action="store_true", help="measure nothing; show that everything runs")
    shapes = SMALL if parser.parse_args().small else SHAPES
    missing = no_gpu()
    programs = {name: p for name, p in PROGRAMS.items() if not (missing and p.endswith("GPU"))}
    print(f"{machine()}; {THREADS} thread; {f'no GPU for Aer: {missing}' if missing else _gpus()}")
    packages = ("numba", "numpy", "qiskit", "qiskit-aer", "qiskit-aer-gpu")
    print(", ".join(sorted(f"{d.name} {d.version}" for d in distributions() if d.name in packages)))
    times = {shape: measure(shape, programs) for shape in shapes}
    print("\nMilliseconds for a gradient:\n\n" + table(times))


if __name__ == "__main__":
    main()
