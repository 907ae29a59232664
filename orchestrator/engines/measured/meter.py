"""Measured expectation values: exact, or from shots with their variance."""

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
"""Largest memory of the settings in one call of a backend (or of one setting, if that is more)."""


@dataclass(frozen=True)
class Outcomes:
    """Shots of T Pauli strings, each measured separately.

    Attributes:
        mean: [S, R, B, T] mean of a string's N outcomes ±1.
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
        """Moments of each string's contribution to each observable, [R, B, K, T]."""
        return sign_moments(self.mean[setting][..., None, :], self.coefficients)


@dataclass(frozen=True)
class Measured:
    """Expectation values at S settings of the parameters on R·B samples.

    Attributes:
        value: [S, R, B, K] E, or an unbiased estimate of it.
        variance: [S, R, B, K] unbiased estimate of the variance of ``value``; None when exact.
        outcomes: source of value and variance; None when exact.
        cost: of measuring.
    """

    value: Array
    variance: Array | None
    outcomes: Outcomes | None
    cost: Cost


class Measurer(Protocol):
    """Measures a model's K predictions at settings of its parameters; methods are documented at ``Meter``.

    The settings of a gradient do not depend on results at other settings.
    """

    @property
    def outputs(self) -> int: ...
    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array: ...
    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured: ...
    def spans(self, shard: Shard, count: int) -> Iterator[slice]: ...


@dataclass(frozen=True, eq=False)
class Meter:
    """Measures the expectation values of a program.

    With shots, every Pauli string is measured separately. The N shots of string t at setting s are a binomial
    count. It is drawn from the exact value, with the stream (trial's seed, step, shard, s, t, sample).

    Attributes:
        program: the program.
        evaluator: of its K observables; with shots, of their T Pauli strings.
        coefficients: [K, T] of the strings in the observables; empty without shots.
        shots: N; None when exact.
        settings: number of settings per shard; separates the streams of shards.
    """

    program: Program
    evaluator: Evaluator
    coefficients: Array
    shots: int | None
    settings: int

    @classmethod
    def of(cls, backend: Backend, program: Program, settings: int) -> Meter:
        """Prepares a program on a backend, for ``settings`` settings per shard."""
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
        """K, number of observables."""
        return self.program.outputs

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Exact E [R, B, K] of parameters [R, P], or [R·B, P], on inputs [R, B, F], with axes [R, A]."""
        exact = self._exact(parameters[None], inputs, axes)[0]
        return exact if self.shots is None else _combined(self.coefficients, exact)

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """Measures E at S settings of the parameters.

        Args:
            parameters: [S, R, P], or [S, R·B, P] if they differ from sample to sample.
            shard: R rows of B samples.
            first: number of the first setting among those of the shard.
        """
        exact = self._exact(parameters, shard.inputs, shard.axes)
        settings, rows, samples, strings = exact.shape
        if self.shots is None:
            return Measured(exact, None, None, Cost.simulated(rows, settings * samples))
        sampled = self._sampled(exact, self.shots, shard, first)
        outcomes, executions = Outcomes(sampled, self.coefficients, self.shots), settings * samples * strings
        cost = Cost.simulated(rows, executions, executions * self.shots)
        return Measured(outcomes.value, outcomes.variance, outcomes, cost)

    def _exact(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Exact values [S, R, B, K or T] at S settings of the parameters, [S, R, P] or [S, R·B, P]."""
        (settings, points, width), (rows, samples, features) = parameters.shape, inputs.shape
        if points > rows:
            inputs, axes = inputs.reshape(rows * samples, 1, features), np.repeat(axes, samples, 0)
        values = self.evaluator.expectation(
            parameters.reshape(settings * points, width),
            repeat_rows(inputs, settings),
            repeat_rows(axes, settings),
        )
        return values.reshape(settings, rows, samples, values.shape[-1])

    def _sampled(self, exact: Array, shots: int, shard: Shard, first: int) -> Array:
        """Draws means of ``shots`` outcomes ±1 with expectation values ``exact`` [S, R, B, T]."""
        from orchestrator.backends.batched.binomial import binomial

        settings, rows, samples, strings = exact.shape
        start = (shard.number * self.settings + first) * strings
        lanes = range(start, start + settings * strings)
        uniform = np.stack([shard.streams.uniform(Purpose.SHOTS, samples, lane) for lane in lanes])
        uniform = np.moveaxis(uniform.reshape(settings, strings, rows, samples), 1, -1)
        return np.asarray(2.0 * binomial(shots, 0.5 * (1.0 + exact), uniform) / shots - 1.0)

    def spans(self, shard: Shard, count: int) -> Iterator[slice]:
        """Splits ``count`` settings into calls of bounded size."""
        size = settings_per_call(self.program, *shard.weights.shape)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _strings(program: Program) -> int:
    return sum(max(1, len(observable.terms)) for observable in program.observables)


def settings_per_call(program: Program, rows: int, samples: int) -> int:
    """Number of settings in one call, for R rows of B samples."""
    return max(1, CALL_BYTES // setting_bytes(program, rows, samples))


def setting_bytes(program: Program, rows: int, samples: int) -> int:
    """Memory of one setting in bytes: parameters, inputs, and the values of each sample's strings."""
    return 8 * rows * (program.parameters + program.axes + samples * (program.inputs + 6 * _strings(program)))


def _combined(coefficients: Array, strings: Array) -> Array:
    """Sums [..., K] of coefficients [K, T] times values of strings [..., T], added string after string."""
    total = np.zeros((*strings.shape[:-1], len(coefficients)))
    for t, column in enumerate(coefficients.T):
        total += column * strings[..., t, None]
    return total


def repeat_rows(array: NDArray[Any], times: int) -> NDArray[Any]:
    """Repeats an array [R, …] once per setting, to [times·R, …]."""
    return np.broadcast_to(array, (times, *array.shape)).reshape(times * len(array), *array.shape[1:])
