"""PennyLane's lightning.qubit with adjoint differentiation (with ``device_vjp`` it is slower here)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp

from benchmarks.work import LAYERS, Array, Gradient, Work

PACKAGES = ("pennylane", "pennylane-lightning")


def build(work: Work, threads: int) -> Gradient:  # noqa: ARG001 - set by OMP_NUM_THREADS
    """Builds one QNode: parameter broadcasting over samples, trials one after another."""
    qubits = work.shape.qubits
    device = qml.device("lightning.qubit", wires=qubits)

    @qml.qnode(device, interface="autograd", diff_method="adjoint")
    def circuit(parameters: Any, inputs: Any) -> Any:
        for q in range(qubits):
            qml.RY(inputs[:, q], wires=q)
        for layer in range(LAYERS):
            for q in range(qubits):
                qml.RY(parameters[layer, 0, q], wires=q)
                qml.RZ(parameters[layer, 1, q], wires=q)
            for q in range(qubits - 1):
                qml.CNOT(wires=(q, q + 1))
        return qml.expval(qml.PauliZ(qubits - 1))

    def loss(parameters: Any, inputs: Any, signs: Any) -> Any:
        return pnp.mean((circuit(parameters, inputs) - signs) ** 2)

    slope = qml.grad(loss, argnums=0)
    inputs, signs = (pnp.array(a, requires_grad=False) for a in (work.inputs, work.signs))

    def gradient(parameters: Array) -> Array:
        trials = zip(pnp.array(parameters, requires_grad=True), inputs, signs, strict=True)
        return np.stack([slope(*trial) for trial in trials])

    return gradient
