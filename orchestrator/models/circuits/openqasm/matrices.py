"""The gates of OpenQASM 3 as NumPy matrices, from the language's own definitions.

Sources: Cross et al. 2022 (arXiv 2104.14722); version 3.0 of the specification, where U has a phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from openqasm3 import ast

from orchestrator.models.circuits.openqasm import parsing

Complex = NDArray[np.complex128]

_STDGATES = """
gate p(l) a { ctrl @ gphase(l) a; }
gate x a { gphase(-pi/2); U(pi, 0, pi) a; }
gate y a { gphase(-pi/2); U(pi, pi/2, pi/2) a; }
gate z a { p(pi) a; }
gate h a { gphase(-pi/4); U(pi/2, 0, pi) a; }
gate s a { p(pi/2) a; }
gate sdg a { p(-pi/2) a; }
gate t a { p(pi/4) a; }
gate tdg a { p(-pi/4) a; }
gate sx a { gphase(pi/4); rx(pi/2) a; }
gate rx(t) a { gphase(-t/2); U(t, -pi/2, pi/2) a; }
gate ry(t) a { gphase(-t/2); U(t, 0, 0) a; }
gate rz(l) a { gphase(-l/2); U(0, 0, l) a; }
gate cx a, b { ctrl @ x a, b; }
gate cy a, b { ctrl @ y a, b; }
gate cz a, b { ctrl @ z a, b; }
gate cp(l) a, b { ctrl @ p(l) a, b; }
gate crx(t) a, b { ctrl @ rx(t) a, b; }
gate cry(t) a, b { ctrl @ ry(t) a, b; }
gate crz(l) a, b { ctrl @ rz(l) a, b; }
gate ch a, b { ctrl @ h a, b; }
gate swap a, b { cx a, b; cx b, a; cx a, b; }
gate ccx a, b, c { ctrl(2) @ x a, b, c; }
gate cswap a, b, c { ctrl @ swap a, b, c; }
gate cu(t, f, l, g) a, b { p(g - t/2) a; ctrl @ U(t, f, l) a, b; }
gate CX a, b { cx a, b; }
gate phase(l) q { p(l) q; }
gate cphase(l) a, b { cp(l) a, b; }
gate id a { U(0, 0, 0) a; }
gate u1(l) q { p(l) q; }
gate u2(f, l) q { gphase(-(f + l + pi/2)/2); U(pi/2, f, l) q; }
gate u3(t, f, l) q { gphase(-(f + l + t)/2); U(t, f, l) q; }
"""


@cache
def stdgates() -> dict[str, ast.QuantumGateDefinition]:
    """Returns the definitions of ``stdgates.inc``, by name."""
    statements = parsing.parse(_STDGATES).statements
    return {node.name.name: node for node in statements if isinstance(node, ast.QuantumGateDefinition)}


def u(theta: float, phi: float, lam: float) -> Complex:
    """Returns the matrix of the built-in gate U; its phase e^(iθ/2) has an effect under a control."""
    plus, minus = 1 + np.exp(1j * theta), 1 - np.exp(1j * theta)
    first, second = np.exp(1j * phi), np.exp(1j * lam)
    matrix = [[plus, -1j * second * minus], [1j * first * minus, first * second * plus]]
    return np.array(matrix, np.complex128) / 2


def power(matrix: Complex, exponent: float) -> Complex:
    """Returns a power of a unitary; if fractional, the principal one, with eigenvalue angles in (-π, π]."""
    if exponent == int(exponent):
        return np.linalg.matrix_power(matrix, int(exponent))
    values, vectors = np.linalg.eig(matrix)
    vectors, _ = np.linalg.qr(vectors)
    values = np.diag(vectors.conj().T @ matrix @ vectors)
    angles = np.angle(values)
    angles = np.where(angles < -math.pi + 1e-9, math.pi, angles)
    return np.asarray((vectors * np.exp(1j * exponent * angles)) @ vectors.conj().T, np.complex128)


def apply(state: Complex, matrix: Complex, qubits: Sequence[int]) -> Complex:
    """Applies a gate to a state [2^n, columns]; the first of the gate's qubits is its highest bit."""
    if not qubits:
        return matrix[0, 0] * state
    count, size = len(state).bit_length() - 1, len(qubits)
    axes = [count - 1 - qubit for qubit in qubits]
    tensor = state.reshape((2,) * count + state.shape[1:])
    gate = matrix.reshape((2,) * (2 * size))
    product = np.tensordot(gate, tensor, (range(size, 2 * size), axes))
    return np.moveaxis(product, range(size), axes).reshape(state.shape)
