"""Gradients of a mini-batch, of this package and of its peers: ``python -m benchmarks.gradients [--small]``.

Prints Markdown. Each program runs in a process of its own. The programs of a shape take turns over several
rounds, so that a disturbance of the machine affects all of them.
"""

from __future__ import annotations

import os
import platform
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import limits
from benchmarks.process import FirstCall, LeftOutError, Program
from benchmarks.work import Shape

SHAPES = (
    Shape(4, 32),
    Shape(4, 256),
    Shape(4, 32, trials=64),
    Shape(8, 256),
    Shape(10, 64),
    Shape(12, 16),
    Shape(16, 1),
)
SMALL = (Shape(2, 3),)
"""Measures nothing: shows within seconds that everything runs."""

OURS = "orchestrator"
COMPILING_S, EVALUATION_S = 180.0, 12.0
PEERS: Mapping[str, float] = {
    OURS: COMPILING_S,
    "pennylane_jax": COMPILING_S,
    "jax_by_hand": COMPILING_S,
    "pennylane_lightning": EVALUATION_S,
    "qulacs_backprop": EVALUATION_S,
    "qiskit_machine_learning": EVALUATION_S,
}
"""Seconds allowed for the first gradient, start of the process included; a slower program is left out."""

THREADS = 2
ROUNDS, CALLS = 8, 6
SLOW_S, SLOW_CALLS = 1.0, 1
"""A program whose call takes longer than ``SLOW_S`` has one round, of ``SLOW_CALLS`` calls."""

TOLERANCE = 1e-8


@dataclass
class Column:
    """The results for one shape.

    Attributes:
        seconds: the shortest call so far, by peer.
        first: seconds of the first call, by peer.
        left_out: why there is no time, by peer.
        versions: versions by package.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def measure(shape: Shape) -> Column:
    """Measures all programs on one shape."""
    column, running = Column(), dict[str, Program]()
    try:
        _start(shape, column, running)
        for peer, program in running.items():
            _call(column, peer, program, SLOW_CALLS)
        contenders = {peer: program for peer, program in running.items() if column.seconds[peer] < SLOW_S}
        for _ in range(ROUNDS):
            for peer, program in contenders.items():
                _call(column, peer, program, CALLS)
    finally:
        for program in running.values():
            program.close()
    return column


def _start(shape: Shape, column: Column, running: dict[str, Program]) -> None:
    """Starts one program after another; leaves out those whose first gradient fails or takes too long.

    Raises SystemExit if a gradient differs from ours.
    """
    ours: FirstCall | None = None
    for peer, limit_s in PEERS.items():
        program = running[peer] = Program(peer, shape, THREADS)
        try:
            first = program.first(limit_s)
        except LeftOutError as failure:
            column.left_out[peer] = str(failure)
            running.pop(peer).close()
            continue
        ours = ours or first
        if not np.allclose(first.gradient, ours.gradient, rtol=0.0, atol=TOLERANCE):
            raise SystemExit(f"{peer} computes another gradient than {OURS}")
        column.first[peer] = column.seconds[peer] = first.seconds
        column.versions |= first.versions


def _call(column: Column, peer: str, program: Program, calls: int) -> None:
    column.seconds[peer] = min(column.seconds[peer], *program.seconds(calls, 10 * EVALUATION_S))


def table(columns: Mapping[Shape, Column]) -> str:
    """Returns a table of milliseconds per program and shape, and of our speed-up over the best peer."""
    lines = ["| qubits, batch | " + " | ".join(str(shape) for shape in columns) + " |"]
    lines += ["|---" * (len(columns) + 1) + "|"]
    for peer in PEERS:
        cells = (_cell(column, peer) for column in columns.values())
        lines.append(f"| {peer.replace('_', ' ')} | " + " | ".join(cells) + " |")
    ratios = (_ratio(column) for column in columns.values())
    return "\n".join([*lines, "| best peer / ours | " + " | ".join(ratios) + " |"])


def _cell(column: Column, peer: str) -> str:
    if peer not in column.seconds:
        return f"– ({column.left_out[peer]})"
    milliseconds = 1e3 * column.seconds[peer]
    return f"{milliseconds:,.0f}" if milliseconds >= 100.0 else f"{milliseconds:.3g}"


def _ratio(column: Column) -> str:
    peers = [seconds for peer, seconds in column.seconds.items() if peer != OURS]
    return f"**{min(peers) / column.seconds[OURS]:.1f}**" if peers else "–"


def first_calls(columns: Mapping[Shape, Column]) -> str:
    """Returns a table of seconds to the first gradient in a new process; ours loads Numba, Qiskit, kernel."""
    lines = ["| qubits, batch | " + " | ".join(str(shape) for shape in columns) + " |"]
    lines += ["|---" * (len(columns) + 1) + "|"]
    for peer in (OURS, "pennylane_jax", "jax_by_hand"):
        cells = (f"{column.first[peer]:.1f}" if peer in column.first else "–" for column in columns.values())
        lines.append(f"| {peer.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    """Returns CPU model, number of cores, and versions of system and Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU"
    )
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Measures, and prints the tables."""
    parser = ArgumentParser("python -m benchmarks.gradients", description="Gradients of a mini-batch.")
    parser.add_argument("--small", action="store_true", help="measure nothing; show that everything runs")
    small = parser.parse_args().small
    limit = str(THREADS)
    os.environ |= {"OMP_NUM_THREADS": limit, "NUMBA_NUM_THREADS": limit, "OPENBLAS_NUM_THREADS": limit}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    columns = {}
    for shape in SMALL if small else SHAPES:
        columns[shape] = measure(shape)
        print(f"<!-- {shape}: {columns[shape]} -->", flush=True)
    versions = {name: text for column in columns.values() for name, text in column.versions.items()}
    print("\n" + machine())
    print(", ".join(f"{name} {text}" for name, text in sorted(versions.items())))
    print("\nMilliseconds for a gradient:\n\n" + table(columns))
    print("\nSeconds until the first gradient:\n\n" + first_calls(columns))
    print("\n" + limits.report(limits.SMALL if small else limits.FULL, THREADS))


if __name__ == "__main__":
    main()
