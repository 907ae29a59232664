"""Reading a Qiskit circuit into a ``Program``.

Single-qubit gates become rotations, up to a global phase, which changes no expectation value. Two-qubit
gates become CX and CZ. Any other gate is decomposed into these (``models.circuits.elementary``). A rotation
by a sum of parameters and inputs becomes one rotation for each of them. An angle that is not linear in them
becomes a function that gates refer to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import InputError
from orchestrator.groups import Group
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.elementary import DRAWN, PATH, ElementaryGate, decompose
from orchestrator.models.circuits.expression import Expression, read_expression, sample_point, value_at
from orchestrator.models.circuits.gates import GATE, NONE, Gate, Observable, Opcode, RotationAxis, Term
from orchestrator.models.circuits.program import Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

_X, _Y, _Z = RotationAxis.X, RotationAxis.Y, RotationAxis.Z

_ROTATIONS: Mapping[str, Callable[..., tuple[tuple[RotationAxis, Any], ...]]] = {
    "id": lambda: (),
    "global_phase": lambda phase: (),  # noqa: ARG005
    "x": lambda: ((_X, math.pi),),
    "y": lambda: ((_Y, math.pi),),
    "z": lambda: ((_Z, math.pi),),
    "h": lambda: ((_Z, math.pi), (_Y, math.pi / 2)),
    "s": lambda: ((_Z, math.pi / 2),),
    "sdg": lambda: ((_Z, -math.pi / 2),),
    "t": lambda: ((_Z, math.pi / 4),),
    "tdg": lambda: ((_Z, -math.pi / 4),),
    "sx": lambda: ((_X, math.pi / 2),),
    "sxdg": lambda: ((_X, -math.pi / 2),),
    "rx": lambda theta: ((_X, theta),),
    "ry": lambda theta: ((_Y, theta),),
    "rz": lambda theta: ((_Z, theta),),
    "p": lambda theta: ((_Z, theta),),
    "u": lambda theta, phi, lam: ((_Z, lam), (_Y, theta), (_Z, phi)),
}
"""Axes and angles of the rotations that make up a gate, in order of application."""

_ENTANGLERS = {"cx": Opcode.CX, "cz": Opcode.CZ}

KNOWN = frozenset((*_ROTATIONS, *_ENTANGLERS, DRAWN))
"""The gates that are read as they are; all others are decomposed."""


def read(redraw: Callable[[], Drawing], name: str) -> Program:
    """Reads the circuit that ``redraw`` draws into a program.

    Raises:
        InputError: a gate is not unitary, or its angle is not a differentiable function.
    """
    drawing = redraw()
    reader = _Reader(drawing)
    index = {symbol: k for k, symbol in enumerate(symbol for layer in drawing.layers for symbol in layer)}
    elementary_gates = decompose(drawing.circuit, KNOWN)
    gates = [tuple(gate) for elementary_gate in elementary_gates for gate in reader.gates(elementary_gate)]
    return Program(
        name=name,
        qubits=drawing.circuit.num_qubits,
        inputs=len(drawing.inputs),
        axes=drawing.axes,
        gates=_freeze(np.array(gates, GATE)),
        observables=tuple(Observable(terms(o.paulis), o.projector) for o in drawing.operators),
        groups=_groups(drawing),
        names=tuple(symbol.name for symbol in index),
        redraw=redraw,
        twins=tuple((index[twin], index[other]) for twin, other in drawing.twins),
        angles=tuple(reader.angles),
        features=tuple(reader.features),
        amplitudes=drawing.amplitudes,
        starts=tuple((index[symbol], value) for symbol, value in drawing.starts),
    )


def first_uses(circuit: QuantumCircuit) -> list[Parameter]:
    """Returns the parameters of a circuit in the order in which its gates use them, with repetitions.

    Raises:
        InputError: a gate is not unitary.
    """
    return [symbol for gate in decompose(circuit, KNOWN) for symbol in gate.symbols]


def terms(observable: SparsePauliOp) -> tuple[Term, ...]:
    """Returns the Pauli strings of an observable whose coefficients are not 0."""
    return tuple(
        Term(float(coefficient.real), _mask(pauli.x), _mask(pauli.z))
        for pauli, coefficient in zip(observable.paulis, observable.coeffs, strict=True)
        if coefficient
    )


def _mask(bits: NDArray[np.bool_]) -> int:
    return sum(1 << int(qubit) for qubit in np.flatnonzero(bits))


def _groups(drawing: Drawing) -> tuple[Group, ...]:
    names = drawing.names or [f"layer{depth}" for depth in range(len(drawing.layers))]
    bounds = pairwise(accumulate(map(len, drawing.layers), initial=0))
    return tuple(Group(names[depth], start, stop, depth) for depth, (start, stop) in enumerate(bounds))


def _freeze(array: NDArray[np.void]) -> NDArray[np.void]:
    array.setflags(write=False)
    return array


@dataclass(frozen=True, order=True)
class _Angle:
    """scale · (parameter or input) + offset."""

    parameter: int = NONE
    input: int = NONE
    scale: float = 0.0
    offset: float = 0.0


class _Reader:
    """Reads the gates of one circuit, whose parameters are trainable or inputs.

    Attributes:
        angles, features: the nonlinear expressions so far, each with the index that gates refer to it by.
    """

    def __init__(self, drawing: Drawing) -> None:
        trainable = [parameter for layer in drawing.layers for parameter in layer]
        self._symbols = {symbol: _Angle(parameter=k, scale=1.0) for k, symbol in enumerate(trainable)}
        self._symbols |= {symbol: _Angle(input=k, scale=1.0) for k, symbol in enumerate(drawing.inputs)}
        self._leaves = {symbol: ("parameter", k) for k, symbol in enumerate(trainable)}
        self._leaves |= {symbol: ("input", k) for k, symbol in enumerate(drawing.inputs)}
        self._counts = len(trainable), len(drawing.inputs)
        self.angles: dict[Expression, int] = {}
        self.features: dict[Expression, int] = {}

    def gates(self, gate: ElementaryGate) -> Iterator[Gate]:
        """Yields the gates that an elementary gate becomes."""
        if gate.name == DRAWN:
            angle, axis = gate.angles
            yield from self._rotations(gate.qubits[0], RotationAxis.DRAWN + int(axis), angle, gate.origin)
        elif gate.name in _ENTANGLERS:
            yield Gate(_ENTANGLERS[gate.name], *gate.qubits)
        else:
            for axis, angle in _ROTATIONS[gate.name](*gate.angles):
                yield from self._rotations(gate.qubits[0], axis, angle, gate.origin)

    def _rotations(self, qubit: int, axis: int, value: Any, origin: str) -> Iterator[Gate]:
        """Yields one rotation for each summand of the angle, as rotations about the same axis add up."""
        for angle in self._angles(value, origin):
            if not math.isfinite(angle.scale) or not math.isfinite(angle.offset):
                raise _refusal(value, origin, "it is not a finite number")
            yield Gate(
                Opcode.ROTATION, qubit, NONE, axis, angle.parameter, angle.input, angle.scale, angle.offset
            )

    def _angles(self, value: Any, origin: str) -> list[_Angle]:
        """Returns the summands of an angle in a fixed order, as a Qiskit expression has none."""
        from qiskit.circuit import Parameter

        symbols = getattr(value, "parameters", ())
        if not symbols:
            return [_Angle(offset=_real(value))]
        if isinstance(value, Parameter) and value in self._symbols:
            return [self._symbols[value]]
        if unknown := symbols - self._symbols.keys():
            names = ", ".join(sorted(symbol.name for symbol in unknown))
            raise _refusal(value, origin, f"{names} is neither a parameter nor an input")
        scales = {symbol: _slope(value, symbol) for symbol in symbols}
        if None in scales.values():
            return [self._computed_angle(value, origin)]
        offset = _real(value_at(value, dict.fromkeys(symbols, 0)))
        if not _is_linear(value, scales, offset):
            return [self._computed_angle(value, origin)]
        summands = [replace(self._symbols[symbol], scale=scale) for symbol, scale in scales.items() if scale]
        first, *others = sorted(summands) or [_Angle()]
        return [replace(first, offset=offset), *others]

    def _computed_angle(self, value: Any, origin: str) -> _Angle:
        """Adds a nonlinear angle to ``angles`` or ``features``; returns the reference for the gate."""
        try:
            expression = read_expression(value, self._leaves)
        except ValueError as error:
            raise _refusal(value, origin, str(error)) from error
        if expression.slopes:
            index = self.angles.setdefault(expression, self._counts[0] + len(self.angles))
            return _Angle(parameter=index, scale=1.0)
        index = self.features.setdefault(expression, self._counts[1] + len(self.features))
        return _Angle(input=index, scale=1.0)


def _refusal(value: Any, origin: str, reason: str) -> InputError:
    legal = "a real number, or a differentiable function of the circuit's parameters and inputs"
    return InputError.at(PATH, f"{origin}: the angle is {value}: {reason}; legal: {legal}")


def _slope(expression: Any, symbol: Any) -> float | None:
    """Returns the derivative of an expression if it is a number; else None."""
    try:
        slope = expression.gradient(symbol)
    except RuntimeError:  # Qiskit cannot differentiate everything
        return None
    return None if getattr(slope, "parameters", None) else _real(slope)


def _is_linear(value: Any, scales: Mapping[Any, Any], offset: float) -> bool:
    """Returns whether an expression is this linear function, as Qiskit rounds some slopes to constants."""
    point = sample_point(scales)
    linear = math.fsum([offset, *(scale * point[symbol] for symbol, scale in scales.items())])
    size = max(1.0, abs(offset), *(abs(scale) for scale in scales.values()))
    actual = _real(value_at(value, point))
    return not (math.isfinite(actual) and math.isfinite(linear)) or abs(actual - linear) <= 1e-9 * size


def _real(value: Any) -> float:
    """Returns a real number; NaN for a complex one."""
    number = complex(value)
    return number.real if number.imag == 0.0 else math.nan
