"""Expectation values as an experiment gives them: exact, or from shots with their variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import Backend, Evaluator
from orchestrator.engines.gradient import Cost, Shard
from orchestrator.engines.measured.squared import CentralMoments, sign_moments
from orchestrator.groups import Array
from orchestrator.models.circuits.gates import Observable
from orchestrator.models.circuits.program import Program
from orchestrator.streams import Purpose

CALL_BYTES = 32 << 20
"""At most so much is handed to a backend in one call (or one setting, if that is more)."""


@dataclass(frozen=True)
class Outcomes:
    """Shots of T Pauli strings, each measured on its own.

    Attributes:
        mean: [S, R, B, T] of a string's N outcomes ±1.
        coefficients: [K, T] of the strings in the observables.
        shots: N
    """

    mean: Array
    coefficients: Array
    shots: int

    @property
    def value(self) -> Array:
        """Unbiased estimates of E [S, R, B, K]."""
        return _combined(self.coefficients, self.mean)

    @property
    def variance(self) -> Array:
        """Unbiased estimates of the variance of ``value``, [S, R, B, K]."""
        return _combined(self.coefficients**2, (1.0 - self.mean * self.mean) / (self.shots - 1))

    def moments(self, setting: int) -> CentralMoments:
        """Of what each string adds to each observable, [R, B, K, T]."""
        return sign_moments(self.mean[setting][..., None, :], self.coefficients)


@dataclass(frozen=True)
class Measured:
    """Expectation values of S settings of the parameters on R·B samples.

    Attributes:
        value: [S, R, B, K] E, or an unbiased estimate of it.
        variance: [S, R, B, K] unbiased estimate of the variance that shots give ``value``; None when exact.
        outcomes: what both come from; None when exact.
        cost: of measuring.
    """

    value: Array
    variance: Array | None
    outcomes: Outcomes | None
    cost: Cost


class Measurer(Protocol):
    """What engines ask for a model's K predictions at settings of its parameters; documented at ``Meter``.

    A gradient's settings do not depend on what was measured before at others.
    """

    @property
    def outputs(self) -> int: ...
    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array: ...
    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured: ...
    def spans(self, shard: Shard, count: int) -> Iterator[slice]: ...


@dataclass(frozen=True, eq=False)
class Meter:
    """Measures a program.

    With shots every Pauli string is measured on its own: on string t of setting s, N shots are a binomial
    count, drawn from the exact value with stream (trial's seed, step, shard, s, t, sample).

    Attributes:
        program: what is measured.
        evaluator: of its K observables; with shots, of their T Pauli strings.
        coefficients: [K, T] of the strings in the observables; empty without shots.
        shots: N, or None.
        settings: how many a shard is measured at; tells apart the streams of shards.
    """

    program: Program
    evaluator: Evaluator
    coefficients: Array
    shots: int | None
    settings: int

    @classmethod
    def of(cls, backend: Backend, program: Program, settings: int) -> Meter:
        """Makes a program ready on a backend."""
        if backend.shots is None:
            return cls(program, backend.prepare(program), np.empty((program.outputs, 0)), None, settings)
        terms = [(k, term) for k, observable in enumerate(program.observables) for term in observable.terms]
        coefficients = np.zeros((program.outputs, len(terms)))
        for t, (k, term) in enumerate(terms):
            coefficients[k, t] = term.coefficient
        strings = tuple(Observable((term._replace(coefficient=1.0),)) for _, term in terms)
        evaluator = backend.prepare(replace(program, observables=strings))
        return cls(program, evaluator, coefficients, backend.shots, settings)

    @property
    def outputs(self) -> int:
        """K."""
        return self.program.outputs

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Exact E [R, B, K] of parameters [R, P], or [R·B, P], on inputs [R, B, F], with axes [R, A]."""
        found = self._exact(parameters[None], inputs, axes)[0]
        return found if self.shots is None else _combined(self.coefficients, found)

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """E at S settings of the parameters, [S, R, P] or [S, R·B, P], settings ``first``, … of the shard."""
        found = self._exact(parameters, shard.inputs, shard.axes)
        settings, rows, samples, strings = found.shape
        if self.shots is None:
            return Measured(found, None, None, Cost.simulated(rows, settings * samples))
        sampled = self._sampled(found, self.shots, shard, first)
        outcomes, executions = Outcomes(sampled, self.coefficients, self.shots), settings * samples * strings
        cost = Cost.simulated(rows, executions, executions * self.shots)
        return Measured(outcomes.value, outcomes.variance, outcomes, cost)

    def _exact(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """What the evaluator gives at S settings, for all samples of a row the same ones or not."""
        (settings, points, width), (rows, samples, features) = parameters.shape, inputs.shape
        if points > rows:
            inputs, axes = inputs.reshape(rows * samples, 1, features), np.repeat(axes, samples, 0)
        found = self.evaluator.expectation(
            parameters.reshape(settings * points, width),
            repeat_rows(inputs, settings),
            repeat_rows(axes, settings),
        )
        return found.reshape(settings, rows, samples, found.shape[-1])

    def _sampled(self, exact: Array, shots: int, shard: Shard, first: int) -> Array:
        """Means of ``shots`` outcomes ±1 whose expectation values are ``exact`` [S, R, B, T]."""
        from orchestrator.backends.batched.binomial import binomial

        settings, rows, samples, strings = exact.shape
        before = (shard.number * self.settings + first) * strings
        lanes = range(before, before + settings * strings)
        uniform = np.stack([shard.streams.uniform(Purpose.SHOTS, samples, lane) for lane in lanes])
        uniform = np.moveaxis(uniform.reshape(settings, strings, rows, samples), 1, -1)
        return np.asarray(2.0 * binomial(shots, 0.5 * (1.0 + exact), uniform) / shots - 1.0)

    def spans(self, shard: Shard, count: int) -> Iterator[slice]:
        """``count`` settings cut into calls of bounded size."""
        size = settings_per_call(self.program, *shard.weights.shape)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _strings(program: Program) -> int:
    return sum(max(1, len(observable.terms)) for observable in program.observables)


def settings_per_call(program: Program, rows: int, samples: int) -> int:
    """Settings that a call has, of R rows of B samples each."""
    return max(1, CALL_BYTES // setting_bytes(program, rows, samples))


def setting_bytes(program: Program, rows: int, samples: int) -> int:
    """Memory of one setting: parameters and inputs, and for each sample what it is measured from."""
    return 8 * rows * (program.parameters + program.axes + samples * (program.inputs + 6 * _strings(program)))


def _combined(coefficients: Array, strings: Array) -> Array:
    """Sums [..., K] of coefficients [K, T] times strings [..., T], string after string."""
    total = np.zeros((*strings.shape[:-1], len(coefficients)))
    for t, column in enumerate(coefficients.T):
        total += column * strings[..., t, None]
    return total


def repeat_rows(array: NDArray[Any], times: int) -> NDArray[Any]:
    """[R, …] once for every setting, [times·R, …]."""
    return np.broadcast_to(array, (times, *array.shape)).reshape(times * len(array), *array.shape[1:])
