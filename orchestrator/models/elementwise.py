"""Functions of single numbers, as a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.models.activations import ACTIVATIONS
from orchestrator.models.stages import Bools, Classical, Collector, DeadIn, Pullback
from orchestrator.streams import Streams


@dataclass(frozen=True)
class Elementwise(Classical):
    """A function of each of some numbers by itself.

    Attributes:
        function: one of ``activations.ACTIVATIONS``.
        outputs: how many numbers.
    """

    function: str
    outputs: int

    parameters: ClassVar[int] = 0
    groups: ClassVar[tuple[Group, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()
    signals: ClassVar[tuple[Group, ...]] = ()

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:  # noqa: ARG002
        """The inputs of dead outputs."""
        return np.zeros(0, np.bool_), outputs

    def initial(self, streams: Streams) -> Array:
        """No parameters, float64 [R, 0]."""
        return np.empty((len(streams.seeds), 0))

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, Array]:  # noqa: ARG002
        """f(x) and x, of any shape."""
        return ACTIVATIONS[self.function].value(values), values

    def backward(self, parameters: Array, tape: Array, cotangent: Array, collector: Collector) -> Pullback:  # noqa: ARG002
        """From dl/df: it has no gradient; dl/dx is f' dl/df."""
        return lambda: cotangent * ACTIVATIONS[self.function].slope(tape)

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Memory beside its input, which is the output of the stage before and counted there."""
        return 0, 8 * rows * samples * 6 * self.outputs
