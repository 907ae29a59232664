"""Circuits as a stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.groups import Array, Group
from orchestrator.models.circuits.program import Program
from orchestrator.models.stages import Bools, CircuitCall, Circuits, DeadIn, Runnable
from orchestrator.streams import Streams


@dataclass(frozen=True)
class Quantum:
    """A circuit whose expectation values are handed on.

    Attributes:
        program: read so that its last ``fed`` parameters are what it is fed.
        fed: F, numbers that come from the stage before; 0 at the front, where the data are its inputs.
        signal: name of its signal, dl/dE.
    """

    program: Program
    fed: int = 0
    signal: str = "signal"

    @property
    def parameters(self) -> int:
        """Those that are trained."""
        return self.program.parameters - self.fed

    @property
    def outputs(self) -> int:
        """K."""
        return self.program.outputs

    @property
    def groups(self) -> tuple[Group, ...]:
        """The trained layers of the circuit."""
        return tuple(group for group in self.program.groups if group.stop <= self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the trained parameters, as Qiskit has them."""
        return self.program.names[: self.parameters]

    @property
    def signals(self) -> tuple[Group, ...]:
        """dl/dE, as deep as the last trained layer."""
        depth = max((group.depth for group in self.groups), default=0)
        return (Group(self.signal, 0, self.outputs, depth, "signal"),)

    @property
    def axes(self) -> int:
        """Those of the circuit."""
        return self.program.axes

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:  # noqa: ARG002
        """What the circuit's structure says; that an output is dead is not followed into it."""
        dead = circuits(self.program)
        return dead[: self.parameters], dead[self.parameters :]

    def initial(self, streams: Streams) -> Array:
        """Fresh parameters, float64 [R, p]."""
        return np.ascontiguousarray(self.program.initial(streams)[:, : self.parameters])

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Memory for R rows of B samples: kept from forward to backward, and none beside it."""
        width, fed = self.program.parameters, self.fed
        return 8 * rows * (samples * (width + 2 * fed + 2 * self.outputs) + 3 * self.parameters), 0

    def calls(self, rows: int, samples: int) -> tuple[CircuitCall, ...]:
        """One; every sample that is fed is a row of its own, as what it is fed are parameters."""
        return (CircuitCall(self.program, *((rows * samples, 1) if self.fed else (rows, samples))),)

    def runnable(self, circuits: Circuits) -> Runnable:
        """The circuit, as the engine makes it ready."""
        return circuits(self.program, self.fed)
