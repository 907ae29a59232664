"""The affine stage, and distributions of initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.models.stages import Bools, Classical, Collector, DeadIn, Pullback
from orchestrator.streams import Purpose, Streams


@dataclass(frozen=True)
class Affine(Classical):
    """z = x W + b: a weight [n, m] in C order, then a bias [m].

    Attributes:
        inputs: n.
        outputs: m.
        init: distribution of the initial weights, one of ``INITS``; biases start at 0.
    """

    inputs: int
    outputs: int
    init: str

    @property
    def parameters(self) -> int:
        """Number of parameters, (n + 1) m."""
        return (self.inputs + 1) * self.outputs

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups ``weight`` and ``bias``."""
        weight = self.inputs * self.outputs
        return Group("weight", 0, weight, 0, units=self.outputs), Group("bias", weight, self.parameters, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Names ``weight[j,k]`` (input j, output k) and ``bias[k]``."""
        weights = (f"weight[{j},{k}]" for j in range(self.inputs) for k in range(self.outputs))
        return (*weights, *(f"bias[{k}]" for k in range(self.outputs)))

    @property
    def signals(self) -> tuple[Group, ...]:
        """One group: dl/dz."""
        return (Group("signal", 0, self.outputs, 0, "signal"),)

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:  # noqa: ARG002
        """Returns the parameters [(n + 1) m] and inputs [n] that affect dead outputs only."""
        return np.tile(outputs, self.inputs + 1), np.full(self.inputs, outputs.all())

    def initial(self, streams: Streams) -> Array:
        """Draws initial parameters, float64 [R, (n + 1) m]."""
        matrix = self._matrix(_UNSCALED[self.init](streams, self.parameters))
        matrix[:, :-1] *= _SCALES[self.init](self.inputs, self.outputs)
        matrix[:, -1] = 0.0
        return matrix.reshape(len(matrix), -1)

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, Array]:  # noqa: ARG002
        """Returns z [R, B, m] and the tape: ``values`` x [R, B, n] with a column of ones appended."""
        extended = np.empty((*values.shape[:-1], values.shape[-1] + 1))
        extended[..., :-1] = values
        extended[..., -1] = 1.0
        return extended @ self._matrix(parameters), extended

    def backward(self, parameters: Array, tape: Array, cotangent: Array, collector: Collector) -> Pullback:
        """Takes δ = dl/dz [R, B, m]: a weight's gradient is x_j δ_k, a bias's is δ_k, and dl/dx = δ Wᵀ."""
        collector.outer(tape, cotangent)
        collector.signal(cotangent)
        return lambda: np.asarray(cotangent @ self._matrix(parameters)[:, :-1].swapaxes(1, 2))

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Returns bytes for R rows of B samples: kept from forward to backward, and temporary in either."""
        widest = max(self.inputs + 1, self.outputs)
        return 8 * rows * samples * (self.inputs + 1 + self.outputs), 8 * rows * samples * 4 * widest

    def _matrix(self, vector: Array) -> Array:
        """Returns a view of [R, p] as [R, n + 1, m]: the weight, with the bias as last row."""
        return vector.reshape(len(vector), self.inputs + 1, self.outputs)


def _uniform(streams: Streams, count: int) -> Array:
    return 2.0 * streams.uniform(Purpose.PARAMETERS, count) - 1.0


def _normal(streams: Streams, count: int) -> Array:
    return streams.normal(Purpose.PARAMETERS, count)


INITS: tuple[str, ...] = ("uniform", "glorot", "he", "normal", "zeros")
"""Distributions of the initial weights, for n inputs and m outputs.

======= =============================================================
uniform U[-1/√n, 1/√n], the common heuristic in Glorot and Bengio 2010
glorot  U[-√(6/(n+m)), √(6/(n+m))] (Glorot and Bengio 2010)
he      N(0, 2/n) (He et al. 2015)
normal  N(0, 1/n) (LeCun et al. 1998)
zeros   0
======= =============================================================
"""

_UNSCALED: dict[str, Callable[[Streams, int], Array]] = {
    "uniform": _uniform,
    "glorot": _uniform,
    "he": _normal,
    "normal": _normal,
    "zeros": lambda streams, count: np.zeros((len(streams.seeds), count)),
}
_SCALES: dict[str, Callable[[int, int], float]] = {
    "uniform": lambda inputs, _: 1.0 / math.sqrt(inputs),
    "glorot": lambda inputs, outputs: math.sqrt(6.0 / (inputs + outputs)),
    "he": lambda inputs, _: math.sqrt(2.0 / inputs),
    "normal": lambda inputs, _: 1.0 / math.sqrt(inputs),
    "zeros": lambda *_: 0.0,
}
