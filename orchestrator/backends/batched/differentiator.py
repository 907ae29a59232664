"""Adjoint differentiation of a program, on the batched kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.backends.base import Part, Precision
from orchestrator.backends.batched import kernel, wide
from orchestrator.backends.batched.lanes import LANE_BITS, LANES
from orchestrator.backends.batched.schedule import Schedule, schedule
from orchestrator.backends.batched.threads import threads_for
from orchestrator.backends.batched.wide import CHUNKS
from orchestrator.groups import Array
from orchestrator.models.circuits.program import Point, Program

WIDE_QUBITS = 16
"""From here on the eight lanes of a vector are amplitudes of one row; many rows cost the same either way."""

JACOBIAN_BYTES = 32 << 20
"""At most so much of dE/dθ is held at once (or one block of rows, if that is more)."""

KEPT_BYTES = 2 << 20
"""Up to so much, a thread keeps the states on the way forwards; above, it undoes them on the way back."""

_CACHE_LINE = 64

_ELEMENTS: dict[Precision, type[np.floating[Any]]] = {"complex128": np.float64, "complex64": np.float32}


@dataclass(frozen=True, eq=False)
class BatchedProgram:
    """A program made ready for the kernel.

    Attributes:
        program: the circuit.
        precision: of the states; all sums and angles are in float64.
    """

    program: Program
    precision: Precision = "complex128"

    @property
    def executions(self) -> int:
        """Circuits executed for a gradient of one sample: one, there and back."""
        return 1

    @cached_property
    def wide(self) -> bool:
        """Whether rows go one at a time; it depends on the program alone, as a row's bits follow it."""
        return self.program.qubits >= WIDE_QUBITS

    @cached_property
    def plan(self) -> Schedule:
        """What the kernel executes."""
        return schedule(self.program, 0 if self.wide else LANE_BITS)

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """E [R, B, K] of parameters [R, P] on inputs [R, B, F], with axes [R, A]."""
        count, outputs = inputs.shape[0] * inputs.shape[1], self.program.outputs
        point = self.program.expand(Point(parameters, inputs, axes))
        part = Part(slice(0, count), np.empty((count, outputs)), np.empty((0, point.parameters.shape[1])))
        self._evaluate(point, np.empty((0, outputs)), part)
        return part.expectation.reshape(*inputs.shape[:2], outputs)

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """E and Σ_k c_k dE_k/dθ of all samples, in order, in parts that bound the memory."""
        count, outputs = inputs.shape[0] * inputs.shape[1], self.program.outputs
        point = self.program.expand(Point(parameters, inputs, axes))
        width = point.parameters.shape[1]
        weights = np.empty((0, outputs)) if cotangents is None else cotangents.reshape(count, outputs)
        size = _samples_at_once(width)
        for start in range(0, count, size):
            stop = min(start + size, count)
            found = np.empty((stop - start, outputs)), np.empty((stop - start, width))
            part = Part(slice(start, stop), *found)
            self._evaluate(point, _plain(weights[part.span], np.float64), part)
            yield Part(part.span, part.expectation, self.program.chain(part.derivative, point, part.span))

    def _evaluate(self, point: Point, cotangents: Array, part: Part) -> None:
        parameters, inputs, axes = point
        samples, features = inputs.shape[1:]
        evaluate = wide.evaluate if self.wide else kernel.evaluate
        evaluate(
            _aligned(self.states(len(part.expectation)), _ELEMENTS[self.precision]),
            self.plan.turns,
            self.plan.rotations,
            self.plan.groups,
            self.plan.support,
            self.plan.terms,
            self.plan.bounds,
            self.plan.projectors,
            self.plan.first,
            _plain(parameters, np.float64),
            _plain(inputs, np.float64).reshape(inputs.shape[0] * samples, features),
            _plain(axes, np.int8),
            self.program.amplitudes,
            part.span.start,
            samples,
            cotangents,
            part.expectation,
            part.derivative,
        )

    def states(self, samples: int) -> tuple[int, ...]:
        """Shape of the working memory of so many samples."""
        amplitudes = 1 << self.program.qubits
        if self.wide:
            return 2, -(-amplitudes // LANES), 2, LANES
        return threads_for(-(-samples // LANES)), 1 + self._kept, amplitudes, 2, LANES

    @property
    def _kept(self) -> int:
        """States ψ of a thread: those behind all groups of turns if they fit into its cache."""
        groups = len(self.plan.groups) - 1
        return groups if groups * _state_bytes(self.program, self.precision) <= KEPT_BYTES else 1


def working_bytes(program: Program, rows: int, samples: int, precision: Precision) -> int:
    """Memory of one gradient of R rows of B samples, beside the shard, on this process's threads."""
    count, width = rows * samples, program.parameters + len(program.angles)
    ready = BatchedProgram(program, precision)
    states = math.prod(ready.states(count)) * np.dtype(_ELEMENTS[precision]).itemsize
    tables = 8 * LANES * ((5 + 4) * len(program.gates) + width)
    if ready.wide:
        tables += 8 * 3 * LANES * CHUNKS * len(program.gates)
    else:
        tables = threads_for(-(-count // LANES)) * (tables + 8 * 2**program.qubits)
    jacobian = 8 * width * min(count, _samples_at_once(width))
    sums = 8 * (4 * rows * width + 8 * count)
    return states + tables + jacobian + sums + _expanded_bytes(program, count)


def _state_bytes(program: Program, precision: Precision) -> int:
    """Memory of one state of eight rows."""
    return 2 * LANES * np.dtype(_ELEMENTS[precision]).itemsize << program.qubits


def _expanded_bytes(program: Program, count: int) -> int:
    """Memory of the computed angles and features of N samples, and of what they are computed from."""
    if not program.angles and not program.features:
        return 0
    computed = len(program.angles) + len(program.features)
    chained = program.parameters * min(count, _samples_at_once(program.parameters))
    return 8 * (count * (2 * program.parameters + program.inputs + 2 * computed) + chained)


def _samples_at_once(width: int) -> int:
    return max(LANES, JACOBIAN_BYTES // (8 * max(width, 1)))


def _plain(array: Any, kind: type) -> Any:
    """The array as the one kind that the kernel is compiled for; what comes from Ray is read-only."""
    if array.dtype == kind and array.flags.carray:
        return array  # np.require would find the same, for 2 µs
    return np.require(array, kind, ["C", "A", "W"])


def _aligned(shape: tuple[int, ...], kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """An uninitialised array that starts on a cache line, so that no vector lies across two."""
    size = np.dtype(kind).itemsize
    spare = _CACHE_LINE // size
    memory = np.empty(math.prod(shape) + spare, kind)
    start = -(memory.ctypes.data // size) % spare
    return memory[start : start + math.prod(shape)].reshape(shape)
