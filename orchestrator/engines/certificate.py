"""The independent check of a circuit engine: Qiskit's own circuit on Aer against what the engine computes."""

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
"""Pairs (shift of a parameter, factor): dE/dθ is the sum of factor · E(shifted)."""

MOST_QUBITS = 16
"""Above, no certificate is due."""

TOLERANCE = 1e-9
"""On E and its derivatives in complex128, of an observable of norm 1 and angles that grow no faster than
their parameters; rounding errors are below 1e-12."""

_ROUNDING = float(np.finfo(np.float32).eps)


def tolerance(program: Program, precision: Precision, largest_slope: float = 1.0) -> float:
    """What E and its derivatives may deviate by.

    In complex64 each rotation multiplies ψ, and on the way back λ, by a matrix with errors of some
    eps = 1.2e-7, which add up to a few eps for each rotation at worst. E, and the derivative by one angle,
    err by as much times the norm of the observable; that by a parameter, times the sum of its gates' scales.

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
    """Compares all E, and Σ_k E_k/(k+1) derived by the first and the last live parameter, at one point.

    The point (parameters, inputs, axes) is random, drawn from ``seed``. Aer runs the circuit as Qiskit
    draws it from the configuration, not as it was read; its derivatives are by parameter shift. Where Qiskit
    itself was given text, E is also that of a second reading of the text (``Drawing.state_at``).

    Returns:
        The largest deviation; None above ``MOST_QUBITS`` qubits, and where the second reading does not know
        a part of the text.

    Raises:
        CertificateError: it is above the ``tolerance``, or not a number.
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
    """The largest derivative of any angle by a parameter or an input at a point, at least 1."""
    flat = point.inputs[:, 0]
    trees = [tree for angle in program.angles for _, tree in angle.slopes]
    slopes = [abs(evaluate(tree, point.parameters, flat).item()) for tree in trees]
    return max([1.0, *filter(math.isfinite, slopes), *np.abs(program.gates["scale"]).tolist()])


def _second_reading(drawing: Drawing, parameters: Array, inputs: Array) -> Array | None:
    """E [K] from the state that a second reading of the user's text gives; None if there is none."""
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
    """<ψ|O|ψ>: X flips bits of the index, Z turns the sign where its bit is set, and Y = iXZ."""
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
    """The shift rules of the first and the last live parameter that has one."""
    live = np.flatnonzero(~program.dead).tolist()
    found = (
        next(((k, rule) for k in order if (rule := _shift_rule(program, k))), None)
        for order in (live, live[::-1])
    )
    return dict(pair for pair in found if pair)


def _shift_rule(program: Program, k: int) -> Rule | None:
    """How to get dE/dθ_k from values of E: Wierichs et al. 2022 (arXiv 2107.12390), equidistant frequencies.

    As a function of θ_k, E has frequencies up to the sum of its gates' scales. There is a rule if the
    scales are multiples of the smallest, u. One gate of scale 1 gives ½E(θ + π/2) - ½E(θ + 3π/2).
    There is none for a parameter of a computed angle.
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


def _deviation(name: str, what: str, found: float, expected: float, allowed: float, source: str) -> float:
    deviation = abs(found - expected)
    if not deviation <= allowed:
        raise CertificateError(
            f"{name}: {what} is {found!r}, {source} gives {expected!r}; they differ by {deviation:.1e}, "
            f"more than {allowed:.3g}, so no result of this structure can be trusted"
        )
    return deviation
