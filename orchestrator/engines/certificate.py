"""The independent check of a circuit engine: its results against Qiskit's own circuit on Aer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.aer.drawn import expectations
from orchestrator.backends.base import Precision
from orchestrator.errors import CertificateError
from orchestrator.groups import Array
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.expression import evaluate
from orchestrator.models.circuits.program import Point, Program
from orchestrator.streams import Purpose, Streams

if TYPE_CHECKING:
    from qiskit.quantum_info import SparsePauliOp

Rule = list[tuple[float, float]]
"""Pairs (shift of a parameter, factor): dE/dθ is the sum of factor · E(θ + shift)."""

MOST_QUBITS = 16
"""No certificate is due above this number."""

TOLERANCE = 1e-9
"""Largest deviation of E and its derivatives in complex128, for an observable of norm 1 and angles whose
derivatives by parameters are at most 1. Rounding errors are below 1e-12."""

_ROUNDING = float(np.finfo(np.float32).eps)


def tolerance(program: Program, precision: Precision, largest_slope: float = 1.0) -> float:
    """Returns the largest deviation that is allowed for E and its derivatives.

    In complex64, each rotation multiplies ψ, and λ in the backward pass, by a matrix with errors of about
    eps = 1.2e-7. At worst these add up to a few eps per rotation. The error of E, and of its derivative by
    one angle, is this sum times the norm of the observable. For the derivative by a parameter it is
    multiplied by the sum of the scales of the parameter's gates.

    Args:
        largest_slope: the largest |d angle/dθ| of all gates, at least 1. An angle of 1e5·θ has 1e5 times the
            rounding error of θ, and its derivative by θ is 1e5 times larger.
    """
    norms = [sum(abs(t.coefficient) for t in o.terms) + abs(o.projector) for o in program.observables]
    if precision == "complex128":
        return TOLERANCE * sum(norms) * largest_slope
    gates = program.gates[program.live]
    scales = [float(np.abs(gates["scale"][gates["parameter"] == k]).sum()) for k in range(program.parameters)]
    return 4.0 * _ROUNDING * (len(gates) + 1) * sum(norms) * max([1.0, *scales])


def certify(program: Program, seed: int, precision: Precision = "complex128") -> float | None:
    """Compares all E_k, and d(Σ_k E_k/(k+1))/dθ for the first and the last live parameter, at one point.

    The point (parameters, inputs, axes) is random, drawn from ``seed``. Aer runs the circuit that Qiskit
    draws from the configuration, not the program that was read; its derivatives are by parameter shift. If
    the user gave the circuit as text, E is also compared with a second reading of it (``Drawing.state_at``).

    Returns:
        The largest deviation. None above ``MOST_QUBITS`` qubits, and if the second reading does not support
        a part of the text.

    Raises:
        CertificateError: the deviation is above the ``tolerance``, or not a number.
    """
    if program.qubits > MOST_QUBITS:
        return None
    from orchestrator.backends.batched.differentiator import BatchedProgram

    parameters, inputs, axes = _random_point(program, seed)
    cotangents = 1.0 / np.arange(1.0, program.outputs + 1.0)
    (part,) = BatchedProgram(program, precision).parts(parameters, inputs, axes, cotangents)
    rules, drawing = _shift_rules(program), program.redraw()
    points = [
        parameters[0],
        *(_shift_parameter(parameters[0], k, by) for k, rule in rules.items() for by, _ in rule),
    ]
    values, *shifted = expectations(drawing, points, inputs[0, 0], axes[0])
    allowed = tolerance(program, precision, _largest_slope(program, Point(parameters, inputs, axes)))
    references = [("Aer", values)]
    try:
        again = _second_reading(drawing, parameters[0], inputs[0, 0])
    except ValueError:
        return None
    references += [] if again is None else [("a second reading of the file", again)]
    deviations = [
        _deviation(program.name, f"E_{k}", *pair, allowed, source)
        for source, expected in references
        for k, pair in enumerate(zip(part.expectation[0].tolist(), expected.tolist(), strict=True))
    ]
    for k, rule in rules.items():
        slope = sum(factor * float(cotangents @ shifted.pop(0)) for _, factor in rule)
        found = float(part.derivative[0, k])
        deviations.append(_deviation(program.name, f"dE/dθ_{k}", found, slope, allowed, "Aer"))
    return max(deviations)


def _largest_slope(program: Program, point: Point) -> float:
    """The largest |derivative| of any angle by a parameter or an input at a point, at least 1."""
    flat = point.inputs[:, 0]
    trees = [tree for angle in program.angles for _, tree in angle.slopes]
    slopes = [abs(evaluate(tree, point.parameters, flat).item()) for tree in trees]
    return max([1.0, *filter(math.isfinite, slopes), *np.abs(program.gates["scale"]).tolist()])


def _second_reading(drawing: Drawing, parameters: Array, inputs: Array) -> Array | None:
    """E [K] of the state from a second reading of the user's text; None if there is none."""
    if drawing.state_at is None:
        return None
    symbols = [*(symbol for layer in drawing.layers for symbol in layer), *drawing.inputs]
    values = [*parameters, *inputs]
    state = drawing.state_at({symbol.name: float(v) for symbol, v in zip(symbols, values, strict=True)})
    if state is None:
        return None
    zero = abs(state[0]) ** 2
    return np.array([_expectation(state, o.paulis) + o.projector * zero for o in drawing.operators])


def _expectation(state: NDArray[np.complex128], paulis: SparsePauliOp) -> float:
    """<ψ|O|ψ>: X flips bits of the index, Z flips the sign where its bit is set, and Y = iXZ."""
    index, total = np.arange(len(state)), 0.0
    for pauli, coefficient in zip(paulis.paulis, paulis.coeffs, strict=True):
        x, z = (sum(1 << int(q) for q in np.flatnonzero(bits)) for bits in (pauli.x, pauli.z))
        sign = 1 - 2 * (np.bitwise_count(index & z) % 2).astype(np.int64)
        phase = 1j ** int((pauli.x & pauli.z).sum())
        total += coefficient.real * float((state[index ^ x].conj() @ (phase * sign * state)).real)
    return total


def _random_point(program: Program, seed: int) -> tuple[Array, Array, NDArray[np.int8]]:
    """Random parameters [1, P], inputs [1, 1, F] in [0, π) and axes [1, A]."""
    streams = Streams([seed], 0)
    inputs = math.pi * streams.uniform(Purpose.DATA, program.inputs)
    axes = streams.bits(Purpose.AXES, program.axes) % np.uint64(3)
    return program.initial(streams), inputs[:, None], axes.astype(np.int8)


def _shift_rules(program: Program) -> dict[int, Rule]:
    """The shift rules, by parameter, of the first and the last live parameter that has one."""
    live = np.flatnonzero(~program.dead).tolist()
    found = (
        next(((k, rule) for k in order if (rule := _shift_rule(program, k))), None)
        for order in (live, live[::-1])
    )
    return dict(pair for pair in found if pair)


def _shift_rule(program: Program, k: int) -> Rule | None:
    """The shift rule of dE/dθ_k for equidistant frequencies: Wierichs et al. 2022 (arXiv 2107.12390).

    As a function of θ_k, E has frequencies up to the sum of its gates' scales. There is a rule if all scales
    are multiples of the smallest, u. One gate of scale 1 gives ½E(θ + π/2) - ½E(θ + 3π/2). A parameter of a
    computed angle has no rule: None.
    """
    if any(k == index for angle in program.angles for index, _ in angle.slopes):
        return None
    scales = np.abs(program.gates["scale"][program.gates["parameter"] == k])
    multiples = np.round(scales / scales.min())
    if not np.allclose(multiples * scales.min(), scales, rtol=1e-12, atol=0.0):
        return None
    unit, count = float(scales.min()), int(multiples.sum())
    angles = [(2 * index + 1) * math.pi / (2 * count) for index in range(2 * count)]
    return [
        (angle / unit, unit * (-1) ** index / (4 * count * math.sin(angle / 2) ** 2))
        for index, angle in enumerate(angles)
    ]


def _shift_parameter(parameters: Array, k: int, by: float) -> Array:
    moved = parameters.copy()
    moved[k] += by
    return moved


def _deviation(name: str, quantity: str, found: float, expected: float, allowed: float, source: str) -> float:
    deviation = abs(found - expected)
    if not deviation <= allowed:
        raise CertificateError(
            f"{name}: {quantity} is {found!r}, {source} gives {expected!r}; they differ by {deviation:.1e}, "
            f"more than {allowed:.3g}, so no result of this structure can be trusted"
        )
    return deviation
