"""qiskit-machine-learning: EstimatorQNN on the statevector estimator, with its parameter-shift gradient."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.neural_networks import EstimatorQNN

from benchmarks.work import LAYERS, Array, Gradient, Work

PACKAGES = ("qiskit-machine-learning", "qiskit")


def build(work: Work, threads: int) -> Gradient:  # noqa: ARG001 - NumPy's threads
    """Builds one network; trials are computed one after another."""
    network = _network(work.shape.qubits)

    def trial_gradient(parameters: Array, inputs: Array, signs: Array) -> Array:
        weights = parameters.reshape(-1)
        expectation = network.forward(inputs, weights)[:, 0]
        _, jacobian = network.backward(inputs, weights)
        slope = 2.0 * (expectation - signs) / len(signs)
        return np.asarray(slope @ jacobian[:, 0]).reshape(parameters.shape)

    def gradient(parameters: Array) -> Array:
        trials = zip(parameters, work.inputs, work.signs, strict=True)
        return np.stack([trial_gradient(*trial) for trial in trials])

    return gradient


def _network(qubits: int) -> EstimatorQNN:
    inputs, weights = ParameterVector("x", qubits), ParameterVector("θ", LAYERS * 2 * qubits)
    angles = iter(weights)
    circuit = QuantumCircuit(qubits)
    for q in range(qubits):
        circuit.ry(inputs[q], q)
    for _ in range(LAYERS):
        for q in range(qubits):
            circuit.ry(next(angles), q)
        for q in range(qubits):
            circuit.rz(next(angles), q)
        for q in range(qubits - 1):
            circuit.cx(q, q + 1)
    return EstimatorQNN(
        circuit=circuit,
        estimator=StatevectorEstimator(),
        observables=SparsePauliOp.from_sparse_list([("Z", [qubits - 1], 1.0)], qubits),
        input_params=list(inputs),
        weight_params=list(weights),
        default_precision=0.0,
    )
