"""Circuits among layers: expectation values go forward, cotangents come back through angles and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.backends.base import Adjoint, Evaluator
from orchestrator.groups import Array
from orchestrator.models.program import Point, Program
from orchestrator.models.stages import Circuits, Sums


def circuit_stages(prepare: Callable[[Program], Evaluator]) -> Circuits:
    """What makes circuits ready as stages; if gradients are wanted, ``prepare`` gives an ``Adjoint`` each."""
    return lambda program, fed: CircuitStage(prepare(program), fed)


@dataclass(eq=False)
class _Tape:
    """What a circuit was evaluated at; behind ``backward`` also dl/d(input) [R, B, F]."""

    point: Point
    back: Array | None = None


@dataclass(frozen=True, eq=False)
class CircuitStage:
    """A circuit as a stage; see ``models.stages.Runnable``.

    A circuit that is fed by another stage has that stage's numbers as parameters, so every sample is a row.

    Attributes:
        fed: F, how many numbers it is fed; 0 at the front, where the data are its inputs.
    """

    circuit: Evaluator
    fed: int

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, _Tape]:
        """E [R, B, K] of trained ``parameters`` [R, p] and ``values`` [R, B, F]."""
        point = Point(np.ascontiguousarray(parameters), values, axes)
        if self.fed:
            rows, samples, width = values.shape
            flat = values.reshape(rows * samples, width)
            joined = np.concatenate([np.repeat(parameters, samples, 0), flat], axis=1)
            point = Point(joined, np.empty((rows * samples, 1, 0)), np.repeat(axes, samples, 0))
        found = self.circuit.expectation(*point)
        return found.reshape(*values.shape[:2], -1), _Tape(point)

    def backward(self, parameters: Array, tape: _Tape, cotangent: Array, weights: Array, sums: Sums) -> None:
        """Writes the moments, and keeps dl/d(input) for ``pull``."""
        from orchestrator.engines.batched.kernel import contract

        own, (rows, samples) = parameters.shape[1], weights.shape
        gradient, square = np.zeros((rows, own)), np.zeros((rows, own))
        back, flat = np.empty((rows * samples, self.fed)), weights.reshape(-1)
        cotangents = np.ascontiguousarray(cotangent).reshape(*tape.point.inputs.shape[:2], -1)
        for part in cast(Adjoint, self.circuit).parts(*tape.point, cotangents):
            derivative = np.ascontiguousarray(part.derivative[:, :own])
            ones = np.ones(len(derivative))
            contract(part.span.start, samples, flat[part.span], ones, derivative, gradient, square)
            back[part.span] = part.derivative[:, own:]
        sums.gradient[:], sums.square[:] = gradient, square
        sums.write_signal(weights, cotangent)
        tape.back = back.reshape(rows, samples, -1)

    def pull(self, parameters: Array, tape: _Tape, cotangent: Array) -> Array:  # noqa: ARG002
        """dl/d(input) [R, B, F]."""
        assert tape.back is not None
        return tape.back
