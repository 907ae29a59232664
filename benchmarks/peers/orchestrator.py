"""This package: a gradient as in training, from parameters to the ``GradientSum``."""

from __future__ import annotations

import numpy as np

from benchmarks.work import LAYERS, Array, Gradient, Work
from orchestrator.backends.batched.threads import use_threads
from orchestrator.config.families import discover
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Shard
from orchestrator.models.circuits.circuit import Circuit

PACKAGES = ("numba", "numpy")


def build(
    work: Work, threads: int, engine: str = "adjoint", device: str = "", precision: str = "complex128"
) -> Gradient:
    """Prepares the circuit once, as a worker does; on Aer if a device is given, else on our kernel."""
    use_threads(threads)
    shape = work.shape
    circuit = Circuit(kind="circuit", qubits=shape.qubits, layers=LAYERS)
    backend = {"kind": "aer", "device": device} if device else {"kind": "batched", "precision": precision}
    configured = discover(Engine)[f"engine={engine}"].parse({"engine": engine, "backend": backend})
    prepared = configured.prepare(circuit.build(shape.qubits, 2), "mse", 2)
    rows = (shape.trials, shape.samples)
    classes, weights = (work.signs + 1.0) / 2.0, np.full(rows, 1.0 / shape.samples)
    shard = Shard(work.inputs, classes, weights, np.zeros((shape.trials, 0), np.int8))

    def gradient(parameters: Array) -> Array:
        total = prepared.gradient(parameters.reshape(shape.trials, -1), shard)
        return total.gradient.reshape(parameters.shape)

    return gradient
