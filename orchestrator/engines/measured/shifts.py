"""Derivatives of E from its values at shifted angles, and the gradient of a loss from these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import Part
from orchestrator.engines.gradient import Cost, Factor, GradientSum, LossSum, Shard
from orchestrator.engines.measured.loss import MeasuredLoss
from orchestrator.engines.measured.meter import Measured, Measurer
from orchestrator.engines.measured.sums import gradient_sum, loss_sum
from orchestrator.groups import Array, Group
from orchestrator.models.circuits.gates import NONE
from orchestrator.models.circuits.program import Point, Program


@dataclass(frozen=True)
class Slopes:
    """Derivatives of E by P parameters.

    Attributes:
        value: [P, R, B, K] dE/dθ, or an unbiased estimate of it.
        variance: [P, R, B, K] unbiased estimate of the variance of ``value``; None when exact.
        cost: of measuring.
    """

    value: Array
    variance: Array | None
    cost: Cost

    @classmethod
    def zero(cls, count: int, like: Measured) -> Slopes:
        """Returns zeros by ``count`` parameters; with a variance if ``like`` has one."""
        rows, samples, outputs = like.value.shape[1:]
        shape = (count, rows, samples, outputs)
        variance = None if like.variance is None else np.zeros(shape)
        return cls(np.zeros(shape), variance, Cost.simulated(rows, 0))


@dataclass(frozen=True, eq=False)
class Shifts:
    """K shifts: dE/dθ is the sum of factor · (E(φ_k + step) - E(φ_k - step)) over the φ_k that depend on θ.

    The evaluated program has parameters φ = scale · θ[source] + offset.

    Attributes:
        program: the program with parameters θ, if its computed angles are shifted; ``source`` counts these
            from P on. Otherwise None.
        source, scale, offset: [number of φ]
        shifted: [K] index k into φ.
        step: radians.
        factor: [K]
    """

    program: Program | None
    source: NDArray[np.int64]
    scale: Array
    offset: Array
    shifted: NDArray[np.int64]
    step: float
    factor: Array

    @property
    def executions(self) -> int:
        """Number of settings for a gradient: one without a shift, and 2K."""
        return 1 + 2 * len(self.shifted)

    def phi(self, point: Point) -> Array:
        """φ [rows, number of φ], with R rows, or R·B rows if there are computed angles."""
        parameters = point.parameters if self.program is None else self.program.expand(point).parameters
        return self.scale * parameters[:, self.source] + self.offset

    def settings(self, phi: Array, span: slice) -> Array:
        """φ [S, rows, number of φ] at S of the 2K settings (k up, k down, k + 1 up, …)."""
        chosen = np.arange(span.start, span.stop)
        settings = np.repeat(phi[None], len(chosen), axis=0)
        steps = np.where(chosen % 2, -self.step, self.step)
        settings[np.arange(len(chosen)), :, self.shifted[chosen // 2]] += steps[:, None]
        return settings

    def measure(self, point: Point, shard: Shard, meter: Measurer) -> tuple[Measured, Slopes]:
        """Measures E [1, R, B, K] at setting 0, which has no shift, and the derivatives of E by θ."""
        phi, count = self.phi(point), point.parameters.shape[1]
        here = meter.measure(phi[None], shard, 0)
        if self.program is None:
            return here, self._slopes(phi, Slopes.zero(count, here), shard, meter)
        with_angles = Slopes.zero(count + len(self.program.angles), here)
        return here, _chain_rule(self._slopes(phi, with_angles, shard, meter), self.program, point)

    def _slopes(self, phi: Array, slopes: Slopes, shard: Shard, meter: Measurer) -> Slopes:
        """Adds the derivatives by θ, and by computed angles, to ``slopes``."""
        cost = slopes.cost
        for span in meter.spans(shard, 2 * len(self.shifted)):
            measured = meter.measure(self.settings(phi, span), shard, 1 + span.start)
            self._add(measured, span, slopes)
            cost = cost + measured.cost
        return replace(slopes, cost=cost)

    def _add(self, measured: Measured, span: slice, slopes: Slopes) -> None:
        """Adds the contributions of some of the 2K settings to ``slopes``."""
        for index, setting in enumerate(range(span.start, span.stop)):
            k, down = divmod(setting, 2)
            target, factor = self.source[self.shifted[k]], self.factor[k]
            slopes.value[target] += (-factor if down else factor) * measured.value[index]
            if slopes.variance is not None and measured.variance is not None:
                slopes.variance[target] += factor * factor * measured.variance[index]


def _chain_rule(slopes: Slopes, program: Program, point: Point) -> Slopes:
    """Derivatives by θ from those by θ and by computed angles, whose shots are independent."""
    expanded, all_samples = program.expand(point), slice(0, slopes.value[0, ..., 0].size)

    def by_theta(array: Array, power: int) -> Array:
        outputs = np.moveaxis(array, -1, 0).reshape(array.shape[-1], len(array), -1)
        chained = [program.chain(output.T, expanded, all_samples, power).T for output in outputs]
        return np.stack(chained, axis=-1).reshape(-1, *array.shape[1:])

    variance = None if slopes.variance is None else by_theta(slopes.variance, 2)
    return Slopes(by_theta(slopes.value, 1), variance, slopes.cost)


def parameter_shift_rule(program: Program, live_gates: NDArray[np.bool_]) -> tuple[Program, Shifts]:
    """Returns the program whose parameters φ are the angles of trainable rotations, and their shifts.

    E has frequency 1 in the angle of one rotation exp(-iφP/2), so dE/dφ = ½ (E(φ + π/2) - E(φ - π/2))
    (Mitarai et al. 2018, arXiv 1803.00745). Derivatives by a parameter that several rotations share are
    summed by the chain rule, also through computed angles. A controlled rotation is read as two rotations by
    half its angle, which gives its four-term rule.

    Args:
        program: with parameters θ.
        live_gates: [G] true for gates in the light cone.
    """
    trained = np.flatnonzero(program.gates["parameter"] != NONE)
    rotations, gates = program.gates[trained], program.gates.copy()
    gates["parameter"][trained] = np.arange(len(trained))
    gates["scale"][trained], gates["offset"][trained] = 1.0, 0.0
    groups = (Group("rotations", 0, len(trained), 0),) if len(trained) else ()
    live = np.flatnonzero(live_gates[trained])
    shifts = Shifts(
        program=program if program.angles else None,
        source=rotations["parameter"],
        scale=rotations["scale"],
        offset=rotations["offset"],
        shifted=live,
        step=np.pi / 2,
        factor=0.5 * rotations["scale"][live],
    )
    return replace(program, gates=gates, groups=groups, angles=(), names=()), shifts


def central_differences(count: int, live: NDArray[np.int64], step: float) -> Shifts:
    """Returns central differences by the live ones of ``count`` parameters, in radians ``step``."""
    return Shifts(
        program=None,
        source=np.arange(count),
        scale=np.ones(count),
        offset=np.zeros(count),
        shifted=live,
        step=step,
        factor=np.full(len(live), 0.5 / step),
    )


@dataclass(frozen=True, eq=False)
class ShiftDifferentiator:
    """The Differentiator of one model and loss, by shifts.

    The slope of the loss at E comes from a separate measurement, setting 0. So with shots the slope and the
    derivatives of E are independent, and their product is unbiased if both are.
    """

    shifts: Shifts
    meter: Measurer
    loss: MeasuredLoss

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P]."""
        here, slopes = self.shifts.measure(Point(parameters, shard.inputs, shard.axes), shard, self.meter)
        loss = self.loss.estimate(here, shard.targets)
        derivative, variance = loss.chain_rule(slopes.value, slopes.variance)
        return gradient_sum(shard, loss, derivative, variance, here.cost + slopes.cost, factor)

    def loss_at(self, parameters: Array, shard: Shard) -> LossSum:
        """Each row's weighted loss, ``parameters`` float64 [R, P]."""
        phi = self.shifts.phi(Point(parameters, shard.inputs, shard.axes))
        return loss_sum(phi, shard, self.loss, self.meter)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predictions [R, B, K] for ``inputs`` [R, B, F], without the noise of shots."""
        phi = self.shifts.phi(Point(parameters, inputs, axes))
        return self.meter.expectation(phi, inputs, axes)


@dataclass(frozen=True, eq=False)
class ShiftedProgram:
    """A program prepared for exact derivatives by shifts; see ``backends.base.AdjointEvaluator``.

    Attributes:
        program: with parameters θ.
        meter: measures the program with parameters φ.
    """

    program: Program
    shifts: Shifts
    meter: Measurer

    @property
    def executions(self) -> int:
        """Circuits executed for a gradient of one sample."""
        return self.shifts.executions

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """E [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, A]."""
        return self.meter.expectation(self.shifts.phi(Point(parameters, inputs, axes)), inputs, axes)

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """Yields E and Σ_k c_k dE_k/dθ of all samples, in one part."""
        zeros = np.zeros(inputs.shape[:2])
        shard = Shard(inputs, zeros, zeros, axes)
        here, slopes = self.shifts.measure(Point(parameters, inputs, axes), shard, self.meter)
        factors = np.ones_like(slopes.value[0]) if cotangents is None else cotangents
        derivative = (factors * slopes.value).sum(-1).reshape(len(slopes.value), zeros.size).T
        yield Part(slice(0, zeros.size), here.value.reshape(zeros.size, -1), np.ascontiguousarray(derivative))
