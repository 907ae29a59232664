"""PennyLane's default.qubit with JAX: parameter broadcasting over samples, backprop, ``jit``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

from benchmarks.work import LAYERS, Array, Gradient, Work

PACKAGES = ("pennylane", "jax")


def build(work: Work, threads: int) -> Gradient:  # noqa: ARG001 - XLA uses all CPUs of the process
    """Compiles one function; several trials are computed by ``vmap``."""
    jax.config.update("jax_enable_x64", True)
    qubits = work.shape.qubits

    @qml.qnode(qml.device("default.qubit", wires=qubits), interface="jax", diff_method="backprop")
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
        return jnp.mean((circuit(parameters, inputs) - signs) ** 2)

    inputs, signs = jnp.asarray(work.inputs), jnp.asarray(work.signs)
    compiled = jax.jit(jax.vmap(jax.grad(loss)) if work.shape.trials > 1 else _single(jax.grad(loss)))

    def gradient(parameters: Array) -> Array:
        return np.asarray(compiled(parameters, inputs, signs))

    return gradient


def _single(gradient: Any) -> Any:
    """Wraps the gradient of one trial, which needs no ``vmap``."""
    return lambda *arguments: gradient(*(argument[0] for argument in arguments))[None]
