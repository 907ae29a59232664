"""A JAX program written for this circuit alone, as an expert would write it in an afternoon.

RZ·RY is one 2x2 matrix, and a layer's chain of CX is one permutation of the amplitudes. Gradients are by
reverse-mode differentiation under ``jit``. Samples are the last, contiguous axis, so that each gate is
vectorised over them; with one sample, over the amplitudes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.work import Array, Gradient, Work

PACKAGES = ("jax", "jaxlib")


def build(work: Work, threads: int) -> Gradient:  # noqa: ARG001 - XLA uses all CPUs of the process
    """Compiles one function of the parameters and the data."""
    jax.config.update("jax_enable_x64", True)
    inputs, signs = jnp.asarray(work.inputs), jnp.asarray(work.signs)
    compiled = jax.jit(jax.vmap(jax.grad(_loss)))

    def gradient(parameters: Array) -> Array:
        return np.asarray(compiled(parameters, inputs, signs))

    return gradient


def _loss(parameters: Any, inputs: Any, signs: Any) -> Any:
    samples, qubits = inputs.shape
    psi = jnp.zeros((2**qubits, samples), jnp.complex128).at[0].set(1.0)
    for q in range(qubits):
        psi = _rotate(psi, q, inputs[:, q], jnp.zeros(samples))
    order = _chain(qubits)
    for ry, rz in parameters:
        for q in range(qubits):
            psi = _rotate(psi, q, ry[q], rz[q])
        psi = psi[order]
    probability = (psi.real**2 + psi.imag**2).reshape(2, -1, samples).sum(1)
    return jnp.mean((probability[0] - probability[1] - signs) ** 2)


def _rotate(psi: Any, qubit: int, ry: Any, rz: Any) -> Any:
    """Applies RY, then RZ, to a state [2^n, samples]; qubit 0 is the lowest bit of an amplitude's index."""
    shape = psi.shape
    psi = psi.reshape(-1, 2, 2**qubit, shape[1])
    a, b = psi[:, 0], psi[:, 1]
    cosine, sine, phase = jnp.cos(ry / 2), jnp.sin(ry / 2), jnp.exp(0.5j * rz)
    turned = (phase.conj() * (cosine * a - sine * b), phase * (sine * a + cosine * b))
    return jnp.stack(turned, 1).reshape(shape)


def _chain(qubits: int) -> Any:
    """Returns CX(0, 1), CX(1, 2), … as a permutation: the source index of each amplitude."""
    index = np.arange(2**qubits)
    for q in reversed(range(qubits - 1)):
        index ^= (index >> q & 1) << (q + 1)
    return index
