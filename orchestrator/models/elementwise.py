"""The elementwise stage."""

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
    """An activation function, applied to each component.

    Attributes:
        function: one of ``activations.ACTIVATIONS``.
        outputs: number of components.
    """

    function: str
    outputs: int

    parameters: ClassVar[int] = 0
    groups: ClassVar[tuple[Group, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()
    signals: ClassVar[tuple[Group, ...]] = ()

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:  # noqa: ARG002
        """Returns no parameters, and as dead inputs those of dead outputs."""
        return np.zeros(0, np.bool_), outputs

    def initial(self, streams: Streams) -> Array:
        """Returns no parameters, float64 [R, 0]."""
        return np.empty((len(streams.seeds), 0))

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, Array]:  # noqa: ARG002
        """Returns f(x) and the tape x, of any shape."""
        return ACTIVATIONS[self.function].value(values), values

    def backward(self, parameters: Array, tape: Array, cotangent: Array, collector: Collector) -> Pullback:  # noqa: ARG002
        """Takes dl/df; the pullback gives dl/dx = f' dl/df, and there is no parameter gradient."""
        return lambda: cotangent * ACTIVATIONS[self.function].slope(tape)

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Returns bytes of temporary arrays; the input is the previous stage's output and counted there."""
        return 0, 8 * rows * samples * 6 * self.outputs
