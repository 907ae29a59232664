"""A circuit as data: an array of rotations, CX and CZ gates, and the observables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.models.circuits.expression import Expression, evaluate
from orchestrator.models.circuits.gates import NONE, Observable
from orchestrator.models.circuits.lightcone import in_light_cone
from orchestrator.models.samples import RowsAsSamples
from orchestrator.streams import Purpose, Streams

if TYPE_CHECKING:
    from orchestrator.models.circuits.ansatz import Drawing


class Point(NamedTuple):
    """Numbers that the gates' angles are computed from: parameters [R, P], inputs [R, B, F], axes [R, A]."""

    parameters: Array
    inputs: Array
    axes: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Program(RowsAsSamples):
    """A circuit that was read; implements ``models.base.Built``. No array depends on 2^n.

    Attributes:
        name: the circuit's name in messages.
        qubits: n.
        inputs: F, number of features.
        axes: A, number of axes that are drawn for each row.
        gates: [G] of dtype ``GATE``, in order of application; read-only. A ``parameter`` from P on is an
            angle, an ``input`` from F on a feature, that ``expand`` computes.
        observables: [K] observables.
        groups: one for each layer of the ansatz; of a user's circuit, for its vectors and single parameters.
        redraw: draws the circuit anew from what the user wrote, for checks that must not rely on ``gates``.
        head: how the loss takes the K expectation values: ``expectation`` or ``softmax``.
        twins: pairs of parameters; the first starts with the value of the second.
        angles: computed angles: functions of parameters, and possibly of inputs.
        features: computed features: functions of inputs alone.
        names: [P] Qiskit's names of the parameters; empty if gates use other numbers than these.
        starts: pairs of a parameter and its initial value; the others start uniform in [0, 2π).
        amplitudes: whether the inputs, normalised by ``expand``, are the first amplitudes of the initial
            state, the others 0; if not, the initial state is |0…0>.
    """

    name: str
    qubits: int
    inputs: int
    axes: int
    gates: NDArray[np.void]
    observables: tuple[Observable, ...]
    groups: tuple[Group, ...]
    redraw: Callable[[], Drawing]
    head: str = "expectation"
    twins: tuple[tuple[int, int], ...] = ()
    angles: tuple[Expression, ...] = ()
    features: tuple[Expression, ...] = ()
    amplitudes: bool = False
    names: tuple[str, ...] = ()
    starts: tuple[tuple[int, float], ...] = ()

    signals: ClassVar[tuple[Group, ...]] = ()

    @property
    def parameters(self) -> int:
        """P, number of parameters."""
        return self.groups[-1].stop if self.groups else 0

    @property
    def outputs(self) -> int:
        """K, number of observables."""
        return len(self.observables)

    @property
    def circuits(self) -> tuple[Program, ...]:
        """The program itself, executed once."""
        return (self,)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """[G] false where a gate can change no expectation value, whatever the angles."""
        terms = [term for observable in self.observables for term in observable.terms]
        projected = any(observable.projector for observable in self.observables)
        return in_light_cone(self.gates, self.qubits, terms, projected)

    @cached_property
    def dead(self) -> NDArray[np.bool_]:
        """[P] true for parameters whose gates are all outside the observables' light cone."""
        return self.unused_by(self.live)

    def unused_by(self, gates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Returns [P], true for parameters that no chosen gate uses, directly or in a computed angle.

        Args:
            gates: [G] true for the chosen gates.
        """
        used = set(self.gates["parameter"][gates].tolist()) - {NONE}
        for index, angle in enumerate(self.angles, self.parameters):
            if index in used:
                used |= {k for k, _ in angle.slopes}
        return np.array([k not in used for k in range(self.parameters)], np.bool_)

    def expand(self, point: Point) -> Point:
        """Appends computed angles and features to a point, and normalises amplitudes.

        Computed angles may differ from sample to sample. With them, each sample becomes a row: parameters
        [R·B, P + angles], inputs [R·B, 1, F + features], axes [R·B, A].
        """
        if self.amplitudes:
            point = point._replace(inputs=_normalise(point.inputs))
        if not self.angles and not self.features:
            return point
        rows, samples, width = point.inputs.shape
        flat = point.inputs.reshape(rows * samples, width)
        repeated = np.repeat(point.parameters, samples, 0)
        inputs = _append_computed(flat, self.features, repeated, flat)
        if not self.angles:
            return point._replace(inputs=inputs.reshape(rows, samples, -1))
        angles = _append_computed(repeated, self.angles, repeated, flat)
        return Point(angles, inputs[:, None], np.repeat(point.axes, samples, 0))

    def chain(self, jacobian: Array, expanded: Point, span: slice, power: int = 1) -> Array:
        """Applies the chain rule to a span of samples: dE/dθ [N, P] from ``jacobian`` [N, P + angles].

        The jacobian holds derivatives by parameters and by computed angles. With ``power`` 2 both hold
        variances instead.
        """
        if not self.angles:
            return jacobian
        total = np.ascontiguousarray(jacobian[:, : self.parameters])
        parameters, inputs = expanded.parameters[span], expanded.inputs[span, 0]
        for index, angle in enumerate(self.angles, self.parameters):
            for k, slope in angle.slopes:
                total[:, k] += jacobian[:, index] * evaluate(slope, parameters, inputs) ** power
        return total

    def initial(self, streams: Streams) -> NDArray[np.float64]:
        """Draws parameters uniform in [0, 2π), except for ``starts`` and for twins; float64 [R, P]."""
        values = 2.0 * math.pi * streams.uniform(Purpose.PARAMETERS, self.parameters)
        for k, start in self.starts:
            values[:, k] = start
        for twin, other in self.twins:
            values[:, twin] = values[:, other]
        return values


def _normalise(inputs: Array) -> Array:
    """Divides every sample by its Euclidean norm; NaN where all numbers are 0."""
    with np.errstate(all="ignore"):
        inputs = inputs / np.abs(inputs).max(-1, keepdims=True, initial=0.0)  # else squares overflow
        return np.asarray(inputs / np.sqrt((inputs * inputs).sum(-1, keepdims=True)))


def _append_computed(
    values: Array, functions: tuple[Expression, ...], parameters: Array, inputs: Array
) -> Array:
    """Appends a column for each function to the columns of ``values``."""
    return np.column_stack([values, *(evaluate(f.value, parameters, inputs) for f in functions)])
