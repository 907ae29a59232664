"""The Fubini–Study metric of a circuit's state, summed over a shard.

It is computed exactly, on the batched simulator, whichever engine and backend estimate the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.batched.threads import threads_for
from orchestrator.engines.gradient import Shard
from orchestrator.engines.per_sample import kernel_array
from orchestrator.groups import Array, Blocks
from orchestrator.models.circuits.expression import Tree, evaluate
from orchestrator.models.circuits.gates import NONE
from orchestrator.models.circuits.program import Point, Program

METRIC_BYTES = 32 << 20
"""Largest memory for metrics of single samples (or one metric per thread, if that is more)."""


@dataclass(frozen=True, eq=False)
class Metric:
    """g_kl = Re[<∂_kψ|∂_lψ> - <∂_kψ|ψ><ψ|∂_lψ>] inside some blocks (Stokes et al. 2020, arXiv 1909.02108).

    Rows and columns of a parameter that does not change the state, up to rounding, are zero. All gates count:
    the metric does not depend on the observable.
    """

    program: Program
    blocks: Blocks

    @property
    def width(self) -> int:
        """W, number of entries of all blocks."""
        return sum((stop - start) ** 2 for start, stop in self.blocks)

    @cached_property
    def _derivatives(self) -> _Derivatives:
        return _Derivatives.of(self.program)

    def weighted_sum(self, parameters: Array, shard: Shard) -> Array:
        """Returns Σ p_i g_i of each row: the blocks, concatenated, [R, W].

        Args:
            parameters: [R, P]
            shard: its targets are ignored.
        """
        from orchestrator.backends.batched import over_samples

        p = kernel_array(shard.weights)
        point = self.program.expand(Point(parameters, shard.inputs, shard.axes))
        total = np.zeros((len(p), self.width))
        size = self._samples_per_call(p.size)
        for start in range(0, p.size, size):
            span = slice(start, min(start + size, p.size))
            weights, metric = p.reshape(-1)[span], self._sample_metrics(point, span)
            over_samples.add_weighted(start, p.shape[1], weights, metric, total)
        return total

    def _sample_metrics(self, point: Point, span: slice) -> Array:
        """The metrics of some samples, [N, W]."""
        from orchestrator.backends.batched import tangents

        count, derivatives = span.stop - span.start, self._derivatives
        metric = np.empty((count, self.width))
        states = np.empty((threads_for(count), 2, 1 << self.program.qubits, 1 + self.program.parameters))
        tangents.metrics(
            states,
            self.program.gates.copy(),
            derivatives.first,
            derivatives.column,
            derivatives.slope,
            derivatives.columns,
            np.array(self.blocks, np.int64).reshape(-1, 2),
            kernel_array(point.parameters),
            kernel_array(point.inputs).reshape(math.prod(point.inputs.shape[:2]), point.inputs.shape[2]),
            np.require(point.axes, np.int8, ["C", "A", "W"]),
            self.program.amplitudes,
            derivatives.slopes(point, span),
            span.start,
            point.inputs.shape[1],
            metric,
        )
        return metric

    def _samples_per_call(self, samples: int) -> int:
        return max(threads_for(samples), METRIC_BYTES // (8 * max(1, self.width)))

    def bytes(self, rows: int, samples: int) -> int:
        """Memory for R rows of B samples besides the shard, with this process's threads, in bytes."""
        count, program = rows * samples, self.program
        states = threads_for(count) * 16 * (1 + program.parameters) * 2**program.qubits
        held = min(count, self._samples_per_call(count)) * self.width
        return states + 8 * (held + 2 * rows * self.width + count * _expanded_floats(program))


@dataclass(frozen=True, eq=False)
class _Derivatives:
    """The derivatives that each gate adds to, in the form that ``tangents.metrics`` takes.

    Attributes:
        first: [G + 1] index of each gate's first derivative among the M of all gates.
        column: [M] the column that a derivative is added to.
        slope: [M] index of its factor in ``trees``, or ``NONE``.
        columns: [P] the column of each parameter.
        trees: [S] the derivatives of computed angles by parameters.
    """

    first: NDArray[np.int64]
    column: NDArray[np.int64]
    slope: NDArray[np.int64]
    columns: NDArray[np.int64]
    trees: tuple[Tree, ...]

    @classmethod
    def of(cls, program: Program) -> _Derivatives:
        """Orders columns by the first use of their parameters; unused parameters come last."""
        slopes = [(k, tree) for angle in program.angles for k, tree in angle.slopes]
        begins = np.cumsum([0, *(len(angle.slopes) for angle in program.angles)])
        of_gates: list[list[tuple[int, int]]] = []
        for parameter in program.gates["parameter"].tolist():
            angle = parameter - program.parameters
            if angle >= 0:
                of_gates.append([(slopes[s][0], s) for s in range(begins[angle], begins[angle + 1])])
            else:
                of_gates.append([] if parameter == NONE else [(parameter, NONE)])
        flat = [pair for pairs in of_gates for pair in pairs]
        order = list(dict.fromkeys([*(k for k, _ in flat), *range(program.parameters)]))
        columns = np.empty(program.parameters, np.int64)
        columns[order] = np.arange(1, program.parameters + 1)
        return cls(
            first=np.cumsum([0, *map(len, of_gates)]),
            column=np.array([columns[k] for k, _ in flat], np.int64),
            slope=np.array([s for _, s in flat], np.int64),
            columns=columns,
            trees=tuple(tree for _, tree in slopes),
        )

    def slopes(self, point: Point, span: slice) -> Array:
        """The derivatives of computed angles at some samples, [N, S]."""
        values = np.empty((span.stop - span.start, len(self.trees)))
        if self.trees:
            parameters, inputs = point.parameters[span], point.inputs[span, 0]
            for s, tree in enumerate(self.trees):
                values[:, s] = evaluate(tree, parameters, inputs)
        return values


def _expanded_floats(program: Program) -> int:
    """Number of floats per sample that computed angles and features take, their arguments included."""
    if not program.angles and not program.features:
        return 0
    computed = len(program.angles) + len(program.features)
    slopes = sum(len(angle.slopes) for angle in program.angles)
    return 2 * (program.parameters + program.inputs + computed) + program.axes + slopes + 4
