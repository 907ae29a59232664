"""qulacs: ``backprop_inner_product`` with Z|ψ>, which gives half of dE/dθ, one sample at a time.

Its RY and RZ are exp(+iθP/2), so angles change sign.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from qulacs import Observable, ParametricQuantumCircuit, QuantumState

from benchmarks.work import LAYERS, Array, Gradient, Work

PACKAGES = ("qulacs",)

THREADED_QUBITS = 14
"""Smaller states are faster on one thread, and many times so while other programs compute."""


def build(work: Work, threads: int) -> Gradient:
    """Builds one circuit per sample with fixed inputs; each call sets its θ."""
    qubits = work.shape.qubits
    os.environ["QULACS_NUM_THREADS"] = str(threads if qubits >= THREADED_QUBITS else 1)
    psi, lam, scratch = (QuantumState(qubits) for _ in range(3))
    observable = Observable(qubits)
    observable.add_operator(1.0, f"Z {qubits - 1}")
    circuits = [[_circuit(sample) for sample in trial] for trial in work.inputs]

    def sample_gradient(circuit: Any, angles: list[float], sign: float) -> Array:
        for k, angle in enumerate(angles):
            circuit.set_parameter(k, angle)
        psi.set_zero_state()
        circuit.update_quantum_state(psi)
        expectation = observable.get_expectation_value(psi)
        observable.apply_to_state(scratch, psi, lam)
        return np.multiply(-4.0 * (expectation - sign), circuit.backprop_inner_product(lam))

    def trial_gradient(parameters: Array, trial: list[Any], signs: Array) -> Array:
        angles = (-parameters.reshape(-1)).tolist()
        total = sum(sample_gradient(c, angles, s) for c, s in zip(trial, signs.tolist(), strict=True))
        return np.asarray(total / len(trial)).reshape(parameters.shape)

    def gradient(parameters: Array) -> Array:
        trials = zip(parameters, circuits, work.signs, strict=True)
        return np.stack([trial_gradient(*trial) for trial in trials])

    return gradient


def _circuit(inputs: Array) -> ParametricQuantumCircuit:
    circuit = ParametricQuantumCircuit(len(inputs))
    for q, value in enumerate(inputs):
        circuit.add_RY_gate(q, -value)
    for _ in range(LAYERS):
        for q in range(len(inputs)):
            circuit.add_parametric_RY_gate(q, 0.0)
        for q in range(len(inputs)):
            circuit.add_parametric_RZ_gate(q, 0.0)
        for q in range(len(inputs) - 1):
            circuit.add_CNOT_gate(q, q + 1)
    return circuit
