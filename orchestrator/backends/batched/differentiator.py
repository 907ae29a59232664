"""Adjoint differentiation of a program on the batched kernel."""

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
"""From this many qubits on, the eight lanes of a vector are amplitudes of one sample.

With many samples, both layouts cost the same at this size.
"""

JACOBIAN_BYTES = 32 << 20
"""Most memory for dE/dθ of one part, unless one block of samples needs more."""

KEPT_BYTES = 2 << 20
"""Most memory for the states that a thread keeps in the forward pass.

If they need more, the backward pass undoes the turns instead.
"""

_CACHE_LINE = 64

_ELEMENTS: dict[Precision, type[np.floating[Any]]] = {"complex128": np.float64, "complex64": np.float32}


@dataclass(frozen=True, eq=False)
class BatchedProgram:
    """A program prepared for the kernel.

    Attributes:
        program: the circuit.
        precision: of the states. All sums and angles are in float64.
    """

    program: Program
    precision: Precision = "complex128"

    @property
    def executions(self) -> int:
        """One: a forward and a backward pass."""
        return 1

    @cached_property
    def wide(self) -> bool:
        """Whether samples are computed one at a time.

        The layout changes the last bits of a row, so it depends on the program alone.
        """
        return self.program.qubits >= WIDE_QUBITS

    @cached_property
    def schedule(self) -> Schedule:
        """The program, compiled for the kernel."""
        return schedule(self.program, 0 if self.wide else LANE_BITS)

    def expectation(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Returns E [R, B, K] at parameters [R, P], inputs [R, B, F] and axes [R, A]."""
        count, outputs = inputs.shape[0] * inputs.shape[1], self.program.outputs
        point = self.program.expand(Point(parameters, inputs, axes))
        part = Part(slice(0, count), np.empty((count, outputs)), np.empty((0, point.parameters.shape[1])))
        self._evaluate(point, np.empty((0, outputs)), part)
        return part.expectation.reshape(*inputs.shape[:2], outputs)

    def parts(
        self, parameters: Array, inputs: Array, axes: NDArray[np.int8], cotangents: Array | None = None
    ) -> Iterator[Part]:
        """Yields E and Σ_k c_k dE_k/dθ of all samples, in order, in parts that bound the memory."""
        count, outputs = inputs.shape[0] * inputs.shape[1], self.program.outputs
        point = self.program.expand(Point(parameters, inputs, axes))
        width = point.parameters.shape[1]
        weights = np.empty((0, outputs)) if cotangents is None else cotangents.reshape(count, outputs)
        size = _samples_per_part(width)
        for start in range(0, count, size):
            stop = min(start + size, count)
            results = np.empty((stop - start, outputs)), np.empty((stop - start, width))
            part = Part(slice(start, stop), *results)
            self._evaluate(point, _kernel_array(weights[part.span], np.float64), part)
            yield Part(part.span, part.expectation, self.program.chain(part.derivative, point, part.span))

    def _evaluate(self, point: Point, cotangents: Array, part: Part) -> None:
        """Calls the kernel, which writes the results into ``part``."""
        parameters, inputs, axes = point
        samples, features = inputs.shape[1:]
        evaluate = wide.evaluate if self.wide else kernel.evaluate
        evaluate(
            _aligned(self._states_shape(len(part.expectation)), _ELEMENTS[self.precision]),
            self.schedule.turns,
            self.schedule.rotations,
            self.schedule.groups,
            self.schedule.support,
            self.schedule.terms,
            self.schedule.bounds,
            self.schedule.projectors,
            self.schedule.first,
            _kernel_array(parameters, np.float64),
            _kernel_array(inputs, np.float64).reshape(inputs.shape[0] * samples, features),
            _kernel_array(axes, np.int8),
            self.program.amplitudes,
            part.span.start,
            samples,
            cotangents,
            part.expectation,
            part.derivative,
        )

    def _states_shape(self, samples: int) -> tuple[int, ...]:
        """Returns the shape of the kernel's working memory for so many samples."""
        amplitudes = 1 << self.program.qubits
        if self.wide:
            return 2, -(-amplitudes // LANES), 2, LANES
        return threads_for(-(-samples // LANES)), 1 + self._kept_states, amplitudes, 2, LANES

    @property
    def _kept_states(self) -> int:
        """Number of states ψ per thread: one after each group of turns if these fit into cache, else one."""
        groups = len(self.schedule.groups) - 1
        return groups if groups * _state_bytes(self.program, self.precision) <= KEPT_BYTES else 1


def working_bytes(program: Program, rows: int, samples: int, precision: Precision) -> int:
    """Returns the memory, in bytes, of one gradient of R rows of B samples, without the shard's.

    It depends on this process's number of threads.
    """
    count, width = rows * samples, program.parameters + len(program.angles)
    prepared = BatchedProgram(program, precision)
    states = math.prod(prepared._states_shape(count)) * np.dtype(_ELEMENTS[precision]).itemsize
    tables = 8 * LANES * ((5 + 4) * len(program.gates) + width)
    if prepared.wide:
        tables += 8 * 3 * LANES * CHUNKS * len(program.gates)
    else:
        tables = threads_for(-(-count // LANES)) * (tables + 8 * 2**program.qubits)
    jacobian = 8 * width * min(count, _samples_per_part(width))
    sums = 8 * (4 * rows * width + 8 * count)
    return states + tables + jacobian + sums + _expanded_bytes(program, count)


def _state_bytes(program: Program, precision: Precision) -> int:
    """Returns the memory, in bytes, of one state of each of eight samples."""
    return 2 * LANES * np.dtype(_ELEMENTS[precision]).itemsize << program.qubits


def _expanded_bytes(program: Program, count: int) -> int:
    """Returns the memory, in bytes, of N samples' computed angles and features, and of their arguments."""
    if not program.angles and not program.features:
        return 0
    computed = len(program.angles) + len(program.features)
    chained = program.parameters * min(count, _samples_per_part(program.parameters))
    return 8 * (count * (2 * program.parameters + program.inputs + 2 * computed) + chained)


def _samples_per_part(width: int) -> int:
    """Returns how many samples of dE/dθ, each of ``width`` numbers, fit into ``JACOBIAN_BYTES``."""
    return max(LANES, JACOBIAN_BYTES // (8 * max(width, 1)))


def _kernel_array(array: Any, dtype: type) -> Any:
    """Returns the array as the kernel is compiled for it: contiguous, and writable unlike arrays from Ray."""
    if array.dtype == dtype and array.flags.carray:
        return array  # np.require would return the same, but takes 2 µs
    return np.require(array, dtype, ["C", "A", "W"])


def _aligned(shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Returns an uninitialised array that starts on a cache line, so that no vector spans two lines."""
    size = np.dtype(dtype).itemsize
    spare = _CACHE_LINE // size
    memory = np.empty(math.prod(shape) + spare, dtype)
    start = -(memory.ctypes.data // size) % spare
    return memory[start : start + math.prod(shape)].reshape(shape)
