"""Expectation values as an experiment gives them: exact, or from shots with their variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.backends.base import Backend, Evaluator
from orchestrator.engines.gradient import Array, Shard
from orchestrator.models.program import Program
from orchestrator.streams import Purpose

CALL_BYTES = 32 << 20
"""At most so much is handed to a backend in one call (or one setting, if that is more)."""


@dataclass(frozen=True)
class Measured:
    """Expectation values of S settings of the parameters on R·B samples.

    Attributes:
        value: [S, R, B] E, or an unbiased estimate of it.
        variance: [S, R, B] unbiased estimate of the variance that shots give to ``value``; 0 when exact.
    """

    value: Array
    variance: Array


@dataclass(frozen=True, eq=False)
class Meter:
    """Measures a program.

    With shots every Pauli string is measured on its own: on string t of setting s, N shots are a binomial
    count, drawn from the exact value with stream (trial's seed, step, shard, s, t, sample).

    Attributes:
        program: what is measured.
        evaluators: of the whole observable; with shots, of each of its Pauli strings.
        coefficients: theirs.
        shots: N, or None.
        settings: how many a shard is measured at; tells apart the streams of shards.
    """

    program: Program
    evaluators: tuple[Evaluator, ...]
    coefficients: tuple[float, ...]
    shots: int | None
    settings: int

    @classmethod
    def of(cls, backend: Backend, program: Program, settings: int) -> Meter:
        """Makes a program ready on a backend."""
        if backend.shots is None:
            return cls(program, (backend.prepare(program),), (1.0,), None, settings)
        strings = (replace(program, observable=(t._replace(coefficient=1.0),)) for t in program.observable)
        coefficients = tuple(term.coefficient for term in program.observable)
        return cls(program, tuple(map(backend.prepare, strings)), coefficients, backend.shots, settings)

    @property
    def executions(self) -> int:
        """Circuits executed for all settings of one sample."""
        return self.settings * len(self.evaluators)

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Exact E [R, B] of parameters [R, P] on inputs [R, B, F], with axes [R, A]."""
        values = (evaluator.expectation(parameters, inputs, axes) for evaluator in self.evaluators)
        return np.asarray(sum(c * value for c, value in zip(self.coefficients, values, strict=True)))

    def measure(self, parameters: Array, shard: Shard, first: int) -> Measured:
        """E at S settings [S, R, P] of the parameters, which are settings ``first``, … of the shard."""
        settings, rows, width = parameters.shape
        shape = (settings, *shard.weights.shape)
        inputs, axes = _repeated(shard.inputs, settings), _repeated(shard.axes, settings)
        value, variance = np.zeros(shape), np.zeros(shape)
        for t, (coefficient, evaluator) in enumerate(zip(self.coefficients, self.evaluators, strict=True)):
            points = parameters.reshape(settings * rows, width)
            found = evaluator.expectation(points, inputs, axes).reshape(shape)
            if self.shots is not None:
                found = self._sampled(found, self.shots, shard, first, t)
                variance += coefficient**2 * (1.0 - found * found) / (self.shots - 1)
            value += coefficient * found
        return Measured(value, variance)

    def _sampled(self, exact: Array, shots: int, shard: Shard, first: int, t: int) -> Array:
        """Means of ``shots`` outcomes ±1 whose expectation values are ``exact`` [S, R, B]."""
        from orchestrator.engines.measured.binomial import binomial

        settings, _, samples = exact.shape
        before = (shard.number * self.settings + first) * len(self.evaluators) + t
        lanes = (before + setting * len(self.evaluators) for setting in range(settings))
        uniform = np.stack([shard.streams.uniform(Purpose.SHOTS, samples, lane) for lane in lanes])
        return np.asarray(2.0 * binomial(shots, 0.5 * (1.0 + exact), uniform) / shots - 1.0)

    def spans(self, shard: Shard, count: int) -> Iterator[slice]:
        """``count`` settings cut into calls of bounded size."""
        size = settings_at_once(self.program, *shard.weights.shape)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))


def settings_at_once(program: Program, rows: int, samples: int) -> int:
    """Settings that a call has, of R rows of B samples each."""
    return max(1, CALL_BYTES // setting_bytes(program, rows, samples))


def setting_bytes(program: Program, rows: int, samples: int) -> int:
    """Memory of one setting: parameters and inputs, and for each sample what it is measured from."""
    return 8 * rows * (program.parameters + program.axes + samples * (program.inputs + 6))


def _repeated(array: NDArray[Any], times: int) -> NDArray[Any]:
    """[R, …] once for every setting, [times·R, …]."""
    return np.broadcast_to(array, (times, *array.shape)).reshape(times * len(array), *array.shape[1:])
