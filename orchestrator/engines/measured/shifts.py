"""Derivatives of E from values at shifted angles, and the gradient of a loss from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.gradient import Array, GradientSum, Shard
from orchestrator.engines.measured.loss import MeasuredLoss
from orchestrator.engines.measured.meter import Measured, Meter
from orchestrator.engines.measured.sums import summed
from orchestrator.models.base import Group
from orchestrator.models.gates import NONE
from orchestrator.models.program import Program

Reached = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shifts:
    """dE/dθ_target is the sum of factor · (E(φ_moved + by) - E(φ_moved - by)) over K shifts.

    Attributes:
        program: what is evaluated, with parameters φ = scale · θ[source] + offset.
        source, scale, offset: [number of φ]
        moved: [K] index into φ.
        by: radians.
        factor: [K]
    """

    program: Program
    source: NDArray[np.int64]
    scale: Array
    offset: Array
    moved: NDArray[np.int64]
    by: float
    factor: Array

    def point(self, parameters: Array) -> Array:
        """φ, of θ [R, P]."""
        return self.scale * parameters[:, self.source] + self.offset

    def settings(self, point: Array, span: slice) -> Array:
        """φ at some of the 2K settings (shift k up, down, shift k + 1 up, …), [S, R, number of φ]."""
        chosen = np.arange(span.start, span.stop)
        settings = np.repeat(point[None], len(chosen), axis=0)
        by = np.where(chosen % 2, -self.by, self.by)
        settings[np.arange(len(chosen)), :, self.moved[chosen // 2]] += by[:, None]
        return settings


def of_rotations(program: Program, reached: Reached) -> Shifts:
    """The parameter-shift rule, each trainable rotation by itself.

    E has frequency 1 in the angle of one rotation exp(-iφP/2), so dE/dφ = ½ (E(φ + π/2) - E(φ - π/2))
    (Mitarai et al. 2018, arXiv 1803.00745). Parameters that several rotations share are summed by the
    chain rule. A controlled rotation was read into two rotations by half its angle: its four-term rule.
    """
    trained = np.flatnonzero(program.gates["parameter"] != NONE)
    rotations, gates = program.gates[trained], program.gates.copy()
    gates["parameter"][trained] = np.arange(len(trained))
    gates["scale"][trained], gates["offset"][trained] = 1.0, 0.0
    groups = (Group("rotations", 0, len(trained), 0),) if len(trained) else ()
    moved = np.flatnonzero(reached[trained])
    return Shifts(
        program=replace(program, gates=gates, groups=groups),
        source=rotations["parameter"],
        scale=rotations["scale"],
        offset=rotations["offset"],
        moved=moved,
        by=np.pi / 2,
        factor=0.5 * rotations["scale"][moved],
    )


def of_parameters(program: Program, reached: Reached, by: float) -> Shifts:
    """Central differences with step ``by``, in every parameter that some gate in ``reached`` has."""
    moved = reached_parameters(program, reached)
    return Shifts(
        program=program,
        source=np.arange(program.parameters),
        scale=np.ones(program.parameters),
        offset=np.zeros(program.parameters),
        moved=moved,
        by=by,
        factor=np.full(len(moved), 0.5 / by),
    )


def reached_parameters(program: Program, reached: Reached) -> NDArray[np.int64]:
    """The parameters that some gate in ``reached`` has, by itself or in a computed angle; in order."""
    used = set(program.gates["parameter"][reached].tolist()) - {NONE}
    for index, angle in enumerate(program.angles, program.parameters):
        if index in used:
            used |= {k for k, _ in angle.slopes}
    return np.array(sorted(k for k in used if k < program.parameters), np.int64)


@dataclass(frozen=True, eq=False)
class ShiftDifferentiator:
    """The Differentiator of one circuit and loss, by shifts.

    The loss's own slope at E comes from a measurement by itself (setting 0), so with shots the product of
    slope and derivative has no bias from their being correlated.
    """

    shifts: Shifts
    meter: Meter
    loss: MeasuredLoss

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P]."""
        point = self.shifts.point(parameters)
        loss = self.loss.of(self.meter.measure(point[None], shard, 0), shard.targets)
        slopes = self._slopes(point, parameters.shape[1], shard)
        return summed(shard, loss.value, *loss.along(slopes.value, slopes.variance), self.meter)

    def _slopes(self, point: Array, width: int, shard: Shard) -> Measured:
        """dE/dθ and its variance, [P, R, B, K]."""
        shape = (width, *shard.weights.shape, self.meter.program.outputs)
        value, variance = np.zeros(shape), np.zeros(shape)
        for span in self.meter.spans(shard, 2 * len(self.shifts.moved)):
            found = self.meter.measure(self.shifts.settings(point, span), shard, 1 + span.start)
            for place, setting in enumerate(range(span.start, span.stop)):
                k, down = divmod(setting, 2)
                target, factor = self.shifts.source[self.shifts.moved[k]], self.shifts.factor[k]
                value[target] += (-factor if down else factor) * found.value[place]
                variance[target] += factor * factor * found.variance[place]
        return Measured(value, variance)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Expectation values [R, B, K] for ``inputs`` [R, B, F], without the noise of shots."""
        return self.meter.expectation(self.shifts.point(parameters), inputs, axes)
