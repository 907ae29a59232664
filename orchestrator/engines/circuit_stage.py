"""Circuits among layers: expectation values go forward, cotangents come back through angles and inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import AdjointEvaluator, Evaluator
from orchestrator.groups import Array
from orchestrator.models.circuits.program import Point, Program
from orchestrator.models.stages import Circuits, Collector, Pull


def circuit_stages(prepare: Callable[[Program], Evaluator]) -> Circuits:
    """Makes circuits ready as stages; for gradients, ``prepare`` returns an ``AdjointEvaluator`` for each."""
    return lambda program, fed: CircuitStage(prepare(program), fed)


@dataclass(frozen=True, eq=False)
class CircuitStage:
    """A circuit as a stage; see ``models.stages.Runnable``.

    A circuit that is fed by another stage has that stage's numbers as parameters, so every sample is a row.

    Attributes:
        fed: F, how many numbers it is fed; 0 at the front, where the data are its inputs.
    """

    circuit: Evaluator
    fed: int

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, Point]:
        """E [R, B, K] of trained ``parameters`` [R, p] and ``values`` [R, B, F]."""
        point = Point(np.ascontiguousarray(parameters), values, axes)
        if self.fed:
            rows, samples, width = values.shape
            flat = values.reshape(rows * samples, width)
            joined = np.concatenate([np.repeat(parameters, samples, 0), flat], axis=1)
            point = Point(joined, np.empty((rows * samples, 1, 0)), np.repeat(axes, samples, 0))
        found = self.circuit.expectation(*point)
        return found.reshape(*values.shape[:2], -1), point

    def backward(self, parameters: Array, tape: Point, cotangent: Array, collector: Collector) -> Pull:
        """From dl/dE [R, B, K]: one evaluation gives the gradients and dl/d(input) [R, B, F]."""
        rows, samples, _ = cotangent.shape
        back = np.empty((rows * samples, self.fed))
        collector.explicit(self._gradients(parameters.shape[1], tape, cotangent, back))
        collector.signal(cotangent)
        return lambda: back.reshape(rows, samples, -1)

    def _gradients(
        self, own: int, point: Point, cotangent: Array, back: Array
    ) -> Iterator[tuple[slice, Array]]:
        """Derivatives by its ``own`` parameters, part by part; those by what it is fed go to ``back``."""
        cotangents = np.ascontiguousarray(cotangent).reshape(*point.inputs.shape[:2], -1)
        for part in cast(AdjointEvaluator, self.circuit).parts(*point, cotangents):
            back[part.span] = part.derivative[:, own:]
            yield part.span, np.ascontiguousarray(part.derivative[:, :own])
