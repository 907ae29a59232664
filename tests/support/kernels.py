"""Compiles the kernels of the batched simulator, so that tests which run side by side find them on the disk.

    python kernels.py

Each kernel is compiled in a process of its own, two at a time. What is compiled already takes a second.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context

import numpy as np

from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.gradient import Shard
from orchestrator.models.circuits.circuit import Circuit

QUBITS = (2, 16)
"""Rows in lanes, and amplitudes in lanes."""

PRECISIONS = ("complex128", "complex64")


def compute_gradient(qubits: int, precision: str) -> None:
    """Computes one gradient of two samples."""
    backend = {"kind": "batched", "precision": precision}
    engine = Adjoint.parse({"engine": "adjoint", "backend": backend})
    model = Circuit.parse({"kind": "circuit", "qubits": qubits, "layers": 1}).build(qubits, 2)
    weights, axes = np.full((1, 2), 0.5), np.zeros((1, 0), np.int8)
    shard = Shard(np.ones((1, 2, qubits)), np.ones((1, 2)), weights, axes)
    engine.prepare(model, "mse", 2).gradient(np.ones((1, model.parameters)), shard)


if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        done = [pool.submit(compute_gradient, *kernel) for kernel in product(QUBITS, PRECISIONS)]
        for future in done:
            future.result()
