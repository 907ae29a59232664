"""What layered models are made of: what a stage says of itself, and how one is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.models.circuits.program import Program
from orchestrator.streams import Streams

Bools = NDArray[np.bool_]

DeadIn = Callable[[Program], Bools]
"""Which parameters [P] of a circuit are dead: by its structure alone, or on a backend with its noise."""


class Stage(Protocol):
    """One step from the data to the prediction, of n numbers to m. Frozen, picklable, compared by value.

    Slices and depths count from the stage's own start; ``layered.Slot`` moves them to where it stands.

    Attributes:
        parameters: p, length of its parameter vector.
        groups: slices of that which cover it, in order.
        names: [p] of its parameters.
        signals: slices of its signal vector [s], which they cover; none where it has no signal.
        outputs: m.
        axes: a, number of rotations whose axis is drawn anew in every step.
    """

    @property
    def parameters(self) -> int: ...
    @property
    def groups(self) -> tuple[Group, ...]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def signals(self) -> tuple[Group, ...]: ...
    @property
    def outputs(self) -> int: ...
    @property
    def axes(self) -> int: ...

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:
        """Parameters [p] and inputs [n] that cannot change the prediction, by structure.

        Args:
            outputs: [m] those of its outputs that cannot.
            circuits: answers for a circuit that it holds.
        """

    def initial(self, streams: Streams) -> Array:
        """Fresh parameters, float64 [R, p]; stages that it holds draw from ``streams.part(…)``."""

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Memory for R rows of B samples: kept from forward to backward, and beside it in either of them.

        What its circuits take is not counted here, but from its ``calls``.
        """

    def calls(self, rows: int, samples: int) -> Sequence[CircuitCall]:
        """The evaluations of circuits in one pass over R rows of B samples, in order."""

    def runnable(self, circuits: Circuits) -> Runnable:
        """What runs the stage; ``circuits`` makes a circuit that it holds ready."""


@dataclass(frozen=True)
class CircuitCall:
    """An evaluation of a circuit on some rows of some samples each."""

    program: Program
    rows: int
    samples: int

    @property
    def executions(self) -> int:
        """Samples of all rows."""
        return self.rows * self.samples


class Collector(Protocol):
    """What a stage hands its samples' gradients ∂l_i to, and its signals; the engine decides what for.

    Every sample's whole gradient comes once, by ``outer`` or by ``explicit``; from a stage without parameters
    none does.
    """

    def outer(self, values: Array, cotangent: Array) -> None:
        """∂l_i = x_i δ_iᵀ in C order, not formed: x [R, B, n] and δ [R, B, m], nm = p."""

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """∂l_i [N, p], contiguous, of samples that a slice counts over all R·B; in order, until the last."""

    def signal(self, signal: Array) -> None:
        """δ_i [R, B, s]."""


Pullback = Callable[[], Array]
"""Gives dl/d(input) [R, B, n] of a stage; where no stage stands before, nobody calls it."""


class Runnable(Protocol):
    """A stage that can be run: values go forward, cotangents dl/d(value) come back.

    Rows never mix: their bits are those that each has alone.
    """

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, Any]:
        """What it makes of ``values`` [R, B, n], [R, B, m], and the tape that ``backward`` needs.

        Args:
            parameters: [R, p] its own.
            axes: [R, a] its own.
        """

    def backward(self, parameters: Array, tape: Any, cotangent: Array, collector: Collector) -> Pullback:
        """Hands gradients and signals to ``collector``, from dl/d(output) [R, B, m]; says how to go on.

        The tape stays as it is: one may go back twice.
        """


class Circuits(Protocol):
    """What an engine hands to the stages that hold circuits: it makes one ready."""

    def __call__(self, program: Program, fed: int) -> Runnable:
        """The circuit made ready; ``fed`` of its parameters, the last ones, are the numbers that come in."""


class Classical:
    """What stages without circuits have in common: nothing is drawn, nothing has to be made ready."""

    axes: ClassVar[int] = 0

    def calls(self, rows: int, samples: int) -> Sequence[CircuitCall]:  # noqa: ARG002
        """None."""
        return ()

    def runnable(self, circuits: Circuits) -> Self:  # noqa: ARG002
        """Itself."""
        return self
