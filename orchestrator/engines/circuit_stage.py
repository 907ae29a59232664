"""Circuits as stages of a layered model: expectation values go forward, cotangents come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import AdjointEvaluator, Evaluator
from orchestrator.groups import Array
from orchestrator.models.circuits.program import Point, Program
from orchestrator.models.stages import Circuits, Collector, Pullback


def circuit_stages(prepare: Callable[[Program], Evaluator]) -> Circuits:
    """Returns a function that prepares circuits as stages.

    Args:
        prepare: prepares one circuit; for gradients, it returns an ``AdjointEvaluator``.
    """
    return lambda program, fed: CircuitStage(prepare(program), fed)


@dataclass(frozen=True, eq=False)
class CircuitStage:
    """A circuit as a stage; see ``models.stages.Runnable``.

    After another stage, the circuit takes that stage's outputs as its last parameters, so every sample is a
    row of its own.

    Attributes:
        fed: F, number of outputs of the stage before it; 0 for the first stage, whose inputs are the data.
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

    def backward(self, parameters: Array, tape: Point, cotangent: Array, collector: Collector) -> Pullback:
        """Gradients and dl/d(input) [R, B, F] from dl/dE [R, B, K], in one evaluation of the circuit."""
        rows, samples, _ = cotangent.shape
        back = np.empty((rows * samples, self.fed))
        collector.explicit(self._gradients(parameters.shape[1], tape, cotangent, back))
        collector.signal(cotangent)
        return lambda: back.reshape(rows, samples, -1)

    def _gradients(
        self, own: int, point: Point, cotangent: Array, back: Array
    ) -> Iterator[tuple[slice, Array]]:
        """Yields derivatives by the ``own`` parameters in parts; writes those by the inputs to ``back``."""
        cotangents = np.ascontiguousarray(cotangent).reshape(*point.inputs.shape[:2], -1)
        for part in cast(AdjointEvaluator, self.circuit).parts(*point, cotangents):
            back[part.span] = part.derivative[:, own:]
            yield part.span, np.ascontiguousarray(part.derivative[:, :own])
