"""Interfaces of stages, the building blocks of layered models: their description and their execution."""

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
"""Returns which parameters [P] of a circuit are dead, by structure alone or on a backend with its noise."""


class Stage(Protocol):
    """A map from n to m numbers between data and prediction. Frozen, picklable, compared by value.

    Slices and depths are relative to the stage; ``layered.Slot`` shifts them to its position in the model.

    Attributes:
        parameters: p, length of the stage's parameter vector.
        groups: slices of the parameter vector, which cover it in order.
        names: [p] names of the parameters.
        signals: slices of the signal vector [s], which cover it; empty without signals.
        outputs: m.
        axes: a, number of rotations whose axis is drawn in every step.
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
        """Returns the parameters [p] and inputs [n] that cannot change the prediction, by structure.

        Args:
            outputs: [m] the outputs that cannot change it.
            circuits: returns the dead parameters of a circuit in the stage.
        """

    def initial(self, streams: Streams) -> Array:
        """Draws initial parameters, float64 [R, p]; nested stages draw from ``streams.part(…)``."""

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Returns bytes for R rows of B samples: kept from forward to backward, and temporary in either.

        Memory of circuits is not included; it follows from ``calls``.
        """

    def calls(self, rows: int, samples: int) -> Sequence[CircuitCall]:
        """Returns the evaluations of circuits in one pass over R rows of B samples, in order."""

    def runnable(self, circuits: Circuits) -> Runnable:
        """Returns the executable stage; ``circuits`` prepares the circuits in it."""


@dataclass(frozen=True)
class CircuitCall:
    """An evaluation of a circuit on ``rows`` rows of ``samples`` samples."""

    program: Program
    rows: int
    samples: int

    @property
    def executions(self) -> int:
        """Number of samples in all rows."""
        return self.rows * self.samples


class Collector(Protocol):
    """Receives the per-sample gradients ∂l_i and signals of a stage; the engine decides what to sum up.

    A stage passes the whole gradient of each sample exactly once, with ``outer`` or ``explicit``. A stage
    without parameters passes none.
    """

    def outer(self, values: Array, cotangent: Array) -> None:
        """Receives ∂l_i = x_i δ_iᵀ (C order) as its factors: x [R, B, n] and δ [R, B, m], nm = p."""

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """Receives ∂l_i [N, p], contiguous, of slices of the R·B samples; in order and complete."""

    def signal(self, signal: Array) -> None:
        """Receives δ_i [R, B, s]."""


Pullback = Callable[[], Array]
"""Returns dl/d(input) [R, B, n] of a stage; not called for the first stage."""


class Runnable(Protocol):
    """An executable stage: values in the forward pass, cotangents dl/d(value) in the backward pass.

    Rows never mix: each has the same bits as if computed alone.
    """

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, Any]:
        """Maps ``values`` [R, B, n] to outputs [R, B, m]; returns them and the tape for ``backward``.

        Args:
            parameters: [R, p] parameters of the stage.
            values: inputs of the stage.
            axes: [R, a] drawn axes of the stage.
        """

    def backward(self, parameters: Array, tape: Any, cotangent: Array, collector: Collector) -> Pullback:
        """Passes gradients and signals to ``collector``, and returns the pullback to the stage's inputs.

        The tape is not modified, so ``backward`` may run twice.

        Args:
            parameters: [R, p] parameters of the stage.
            tape: second result of ``forward``.
            cotangent: dl/d(output) [R, B, m].
            collector: receives the gradients and signals.
        """


class Circuits(Protocol):
    """Prepares the circuits of stages; provided by an engine."""

    def __call__(self, program: Program, fed: int) -> Runnable:
        """Returns the prepared circuit; its last ``fed`` parameters are the inputs of the stage."""


class Classical:
    """A mixin for stages without circuits: they draw no axes and need no preparation."""

    axes: ClassVar[int] = 0

    def calls(self, rows: int, samples: int) -> Sequence[CircuitCall]:  # noqa: ARG002
        """Returns no calls."""
        return ()

    def runnable(self, circuits: Circuits) -> Self:  # noqa: ARG002
        """Returns the stage itself."""
        return self
