"""This package: a gradient as training asks for it, from parameters to the finished ``GradientSum``."""

from __future__ import annotations

import numpy as np

from benchmarks.work import LAYERS, Array, Gradient, Work
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.gradient import Shard
from orchestrator.engines.threads import use_threads
from orchestrator.models.circuit import Circuit

PACKAGES = ("numba", "numpy")


def build(work: Work, threads: int) -> Gradient:
    """Prepares the circuit once, as a worker does."""
    use_threads(threads)
    shape = work.shape
    circuit = Circuit(kind="circuit", qubits=shape.qubits, layers=LAYERS)
    engine = Adjoint(engine="adjoint").prepare(circuit.build(shape.qubits, 2), "mse", 2)
    rows = (shape.trials, shape.samples)
    classes, weights = (work.signs + 1.0) / 2.0, np.full(rows, 1.0 / shape.samples)
    shard = Shard(work.inputs, classes, weights, np.zeros((shape.trials, 0), np.int8))

    def gradient(parameters: Array) -> Array:
        total = engine.gradient(parameters.reshape(shape.trials, -1), shard)
        return total.gradient.reshape(parameters.shape)

    return gradient
