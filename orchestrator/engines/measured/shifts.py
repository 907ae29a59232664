"""Derivatives of E from values at shifted angles, and the gradient of a loss from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.backends.base import Evaluator, Part
from orchestrator.engines.gradient import Array, GradientSum, Shard
from orchestrator.engines.measured.loss import MeasuredLoss
from orchestrator.engines.measured.meter import Measured, Measurer
from orchestrator.engines.measured.sums import summed
from orchestrator.models.base import Group
from orchestrator.models.gates import NONE
from orchestrator.models.program import Program

Reached = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shifts:
    """dE/dθ_target is the sum of factor · (E(φ_moved + by) - E(φ_moved - by)) over K shifts.

    Attributes:
        source, scale, offset: [number of φ] what is evaluated has parameters φ = scale · θ[source] + offset.
        moved: [K] index into φ.
        by: radians.
        factor: [K]
    """

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


def of_rotations(program: Program, reached: Reached) -> tuple[Program, Shifts]:
    """The parameter-shift rule, each trainable rotation by itself; and the program whose parameters they are.

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
    shifts = Shifts(
        source=rotations["parameter"],
        scale=rotations["scale"],
        offset=rotations["offset"],
        moved=moved,
        by=np.pi / 2,
        factor=0.5 * rotations["scale"][moved],
    )
    return replace(program, gates=gates, groups=groups), shifts


def of_parameters(count: int, moved: NDArray[np.int64], by: float) -> Shifts:
    """Central differences with step ``by`` in some of ``count`` parameters."""
    return Shifts(
        source=np.arange(count),
        scale=np.ones(count),
        offset=np.zeros(count),
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
    """The Differentiator of one model and loss, by shifts.

    The loss's own slope at E comes from a measurement by itself (setting 0), so with shots the product of
    slope and derivative has no bias from their being correlated.
    """

    shifts: Shifts
    meter: Measurer
    loss: MeasuredLoss

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P]."""
        point = self.shifts.point(parameters)
        loss = self.loss.of(self.meter.measure(point[None], shard, 0), shard.targets)
        slopes = self._slopes(point, parameters.shape[1], shard)
        return summed(shard, loss.value, *loss.along(slopes.value, slopes.variance), self.meter)

    def _slopes(self, point: Array, width: int, shard: Shard) -> Measured:
        """dE/dθ and its variance, [P, R, B, K]."""
        shape = (width, *shard.weights.shape, self.meter.outputs)
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


@dataclass(frozen=True, eq=False)
class ShiftedProgram:
    """A program made ready for exact derivatives by shifts; see ``backends.base.Adjoint``.

    Attributes:
        program: with parameters θ.
        evaluator: of the program with parameters φ.
    """

    program: Program
    shifts: Shifts
    evaluator: Evaluator

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """E [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, A]."""
        return self.evaluator.expectation(self.shifts.point(parameters), inputs, axes)

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """E and Σ_k c_k dE_k/dθ of all samples, in one part."""
        rows, samples = inputs.shape[:2]
        value, point = self.expectation(parameters, inputs, axes), self.shifts.point(parameters)
        factors = np.ones_like(value) if cotangents is None else cotangents
        derivative = np.zeros((rows, samples, parameters.shape[1]))
        for setting in range(2 * len(self.shifts.moved)):
            moved = self.shifts.settings(point, slice(setting, setting + 1))[0]
            found = (factors * self.evaluator.expectation(moved, inputs, axes)).sum(-1)
            k, down = divmod(setting, 2)
            target, factor = self.shifts.source[self.shifts.moved[k]], self.shifts.factor[k]
            derivative[..., target] += (-factor if down else factor) * found
        count = rows * samples
        yield Part(slice(0, count), value.reshape(count, -1), derivative.reshape(count, -1))
