"""A circuit as data: rotations, CX and CZ gates in arrays, and the observable that is measured."""

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
    """What the gates' angles are computed from: parameters [R, P], inputs [R, B, F], axes [R, A]."""

    parameters: Array
    inputs: Array
    axes: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Program(RowsAsSamples):
    """A circuit that was read; implements ``models.base.Built``. No array depends on 2^n.

    Attributes:
        name: what a message calls it.
        qubits: n.
        inputs: F, features that enter.
        axes: A, axes that are drawn for each row.
        gates: [G] records of ``GATE`` in order of application; read-only. A ``parameter`` of P and more is
            an angle, an ``input`` of F and more a feature, that ``expand`` computes.
        observables: [K] what is measured.
        groups: one for each layer of the ansatz, vector of parameters, or parameter of the user's own.
        redraw: draws the circuit anew from what the user wrote, for checks that must not rely on ``gates``.
        head: ``expectation``, or ``softmax``: what the K expectation values are to the loss.
        twins: pairs of parameters; the first starts with the value of the second.
        angles: functions of parameters, and perhaps inputs.
        features: functions of inputs alone.
        names: [P] of the parameters, as Qiskit has them; empty where gates turn by other numbers.
        starts: pairs of a parameter and the value that it starts from; the others start uniform in [0, 2π).
        amplitudes: whether the inputs, normalised by ``expand``, are the first amplitudes of the state that
            the gates start from, the others 0; if not, that is |0…0>.
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
        """P."""
        return self.groups[-1].stop if self.groups else 0

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.observables)

    @property
    def circuits(self) -> tuple[Program, ...]:
        """Itself, once."""
        return (self,)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """[G] false where a gate can change no expectation value, whatever the angles."""
        terms = [term for observable in self.observables for term in observable.terms]
        projected = any(observable.projector for observable in self.observables)
        return in_light_cone(self.gates, self.qubits, terms, projected)

    @cached_property
    def dead(self) -> NDArray[np.bool_]:
        """[P] true for parameters all of whose gates are outside the observables' light cone."""
        return self.unused_by(self.live)

    def unused_by(self, gates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[P] true for parameters that none of some gates turns by, directly or through a computed angle.

        Args:
            gates: [G] true for those that count.
        """
        used = set(self.gates["parameter"][gates].tolist()) - {NONE}
        for index, angle in enumerate(self.angles, self.parameters):
            if index in used:
                used |= {k for k, _ in angle.slopes}
        return np.array([k not in used for k in range(self.parameters)], np.bool_)

    def expand(self, point: Point) -> Point:
        """The point with computed angles and features behind its own, amplitudes normalised.

        Angles that are computed may differ from sample to sample, so with them each sample becomes a row:
        parameters [R·B, P + angles], inputs [R·B, 1, F + features], axes [R·B, A].
        """
        if self.amplitudes:
            point = point._replace(inputs=_normalised(point.inputs))
        if not self.angles and not self.features:
            return point
        rows, samples, width = point.inputs.shape
        flat = point.inputs.reshape(rows * samples, width)
        each = np.repeat(point.parameters, samples, 0)
        inputs = _beside(flat, self.features, each, flat)
        if not self.angles:
            return point._replace(inputs=inputs.reshape(rows, samples, -1))
        angles = _beside(each, self.angles, each, flat)
        return Point(angles, inputs[:, None], np.repeat(point.axes, samples, 0))

    def chain(self, jacobian: Array, expanded: Point, span: slice, power: int = 1) -> Array:
        """dE/dθ [N, P] of a span of samples, from derivatives [N, P + angles] by all that gates may name.

        With ``power`` 2, variances of the former from those of the latter.
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
        """Uniform in [0, 2π) except for ``starts``, and twins, which are equal; float64 [R, P]."""
        values = 2.0 * math.pi * streams.uniform(Purpose.PARAMETERS, self.parameters)
        for k, start in self.starts:
            values[:, k] = start
        for twin, other in self.twins:
            values[:, twin] = values[:, other]
        return values


def _normalised(inputs: Array) -> Array:
    """Every sample's numbers over their Euclidean norm; NaN where all are 0."""
    with np.errstate(all="ignore"):
        inputs = inputs / np.abs(inputs).max(-1, keepdims=True, initial=0.0)  # squares cannot overflow
        return np.asarray(inputs / np.sqrt((inputs * inputs).sum(-1, keepdims=True)))


def _beside(values: Array, functions: tuple[Expression, ...], parameters: Array, inputs: Array) -> Array:
    """The columns of ``values``, then one for each function."""
    return np.column_stack([values, *(evaluate(f.value, parameters, inputs) for f in functions)])
