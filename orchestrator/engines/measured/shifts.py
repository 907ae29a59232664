"""Derivatives of E from values at shifted angles, and the gradient of a loss from them."""

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
        variance: [P, R, B, K] unbiased estimate of the variance that shots give ``value``; None when exact.
        cost: of measuring.
    """

    value: Array
    variance: Array | None
    cost: Cost

    @classmethod
    def zero(cls, count: int, like: Measured) -> Slopes:
        """By ``count`` parameters, before anything is measured; exact or not as ``like`` is."""
        rows, samples, outputs = like.value.shape[1:]
        shape = (count, rows, samples, outputs)
        variance = None if like.variance is None else np.zeros(shape)
        return cls(np.zeros(shape), variance, Cost.simulated(rows, 0))


@dataclass(frozen=True, eq=False)
class Shifts:
    """dE/dθ_target is the sum of factor · (E(φ_moved + by) - E(φ_moved - by)) over K shifts.

    Attributes:
        program: with parameters θ, behind which ``source`` counts its computed angles; None if they are not
            shifted by themselves.
        source, scale, offset: [number of φ] what is evaluated has parameters φ = scale · θ[source] + offset.
        moved: [K] index into φ.
        by: radians.
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
        """Settings for a gradient: one that is not shifted, and 2K."""
        return 1 + 2 * len(self.shifted)

    def phi(self, at: Point) -> Array:
        """φ: a row for each of θ [R, P], or for each of the R·B samples if there are computed angles."""
        parameters = at.parameters if self.program is None else self.program.expand(at).parameters
        return self.scale * parameters[:, self.source] + self.offset

    def settings(self, point: Array, span: slice) -> Array:
        """φ at some of the 2K settings (shift k up, down, shift k + 1 up, …), [S, rows, number of φ]."""
        chosen = np.arange(span.start, span.stop)
        settings = np.repeat(point[None], len(chosen), axis=0)
        by = np.where(chosen % 2, -self.step, self.step)
        settings[np.arange(len(chosen)), :, self.shifted[chosen // 2]] += by[:, None]
        return settings

    def measure(self, at: Point, shard: Shard, meter: Measurer) -> tuple[Measured, Slopes]:
        """E [1, R, B, K] at setting 0, which is not shifted, and its derivatives by θ."""
        point, count = self.phi(at), at.parameters.shape[1]
        here = meter.measure(point[None], shard, 0)
        if self.program is None:
            return here, self._slopes(point, Slopes.zero(count, here), shard, meter)
        with_angles = Slopes.zero(count + len(self.program.angles), here)
        return here, _chain_rule(self._slopes(point, with_angles, shard, meter), self.program, at)

    def _slopes(self, point: Array, slopes: Slopes, shard: Shard, meter: Measurer) -> Slopes:
        """Derivatives by what ``source`` counts, added to ``slopes``."""
        cost = slopes.cost
        for span in meter.spans(shard, 2 * len(self.shifted)):
            found = meter.measure(self.settings(point, span), shard, 1 + span.start)
            self._add(found, span, slopes)
            cost = cost + found.cost
        return replace(slopes, cost=cost)

    def _add(self, found: Measured, span: slice, slopes: Slopes) -> None:
        """Adds what some of the 2K settings give to the slopes."""
        for index, setting in enumerate(range(span.start, span.stop)):
            k, down = divmod(setting, 2)
            target, factor = self.source[self.shifted[k]], self.factor[k]
            slopes.value[target] += (-factor if down else factor) * found.value[index]
            if slopes.variance is not None and found.variance is not None:
                slopes.variance[target] += factor * factor * found.variance[index]


def _chain_rule(slopes: Slopes, program: Program, at: Point) -> Slopes:
    """By θ, from derivatives by θ and by computed angles; each has shots of its own."""
    expanded, everything = program.expand(at), slice(0, slopes.value[0, ..., 0].size)

    def by_theta(array: Array, power: int) -> Array:
        outputs = np.moveaxis(array, -1, 0).reshape(array.shape[-1], len(array), -1)
        chained = [program.chain(one.T, expanded, everything, power).T for one in outputs]
        return np.stack(chained, axis=-1).reshape(-1, *array.shape[1:])

    variance = None if slopes.variance is None else by_theta(slopes.variance, 2)
    return Slopes(by_theta(slopes.value, 1), variance, slopes.cost)


def parameter_shift_rule(program: Program, live_gates: NDArray[np.bool_]) -> tuple[Program, Shifts]:
    """The parameter-shift rule, each trainable rotation by itself; and the program whose parameters they are.

    E has frequency 1 in the angle of one rotation exp(-iφP/2), so dE/dφ = ½ (E(φ + π/2) - E(φ - π/2))
    (Mitarai et al. 2018, arXiv 1803.00745). Parameters that several rotations share are summed by the
    chain rule, through computed angles too. A controlled rotation was read into two rotations by half its
    angle: its four-term rule.
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
    """Central differences with step ``by`` in some of ``count`` parameters."""
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

    The loss's own slope at E comes from a measurement by itself (setting 0), so with shots the product of
    slope and derivative has no bias from their being correlated.
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
        point = self.shifts.phi(Point(parameters, shard.inputs, shard.axes))
        return loss_sum(point, shard, self.loss, self.meter)

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predictions [R, B, K] for ``inputs`` [R, B, F], without the noise of shots."""
        point = self.shifts.phi(Point(parameters, inputs, axes))
        return self.meter.expectation(point, inputs, axes)


@dataclass(frozen=True, eq=False)
class ShiftedProgram:
    """A program made ready for exact derivatives by shifts; see ``backends.base.AdjointEvaluator``.

    Attributes:
        program: with parameters θ.
        meter: of the program with parameters φ.
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
        """E and Σ_k c_k dE_k/dθ of all samples, in one part."""
        zeros = np.zeros(inputs.shape[:2])
        shard = Shard(inputs, zeros, zeros, axes)
        here, slopes = self.shifts.measure(Point(parameters, inputs, axes), shard, self.meter)
        factors = np.ones_like(slopes.value[0]) if cotangents is None else cotangents
        derivative = (factors * slopes.value).sum(-1).reshape(len(slopes.value), zeros.size).T
        yield Part(slice(0, zeros.size), here.value.reshape(zeros.size, -1), np.ascontiguousarray(derivative))
