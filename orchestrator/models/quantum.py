"""The circuit stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestrator.groups import Array, Group
from orchestrator.models.circuits.program import Program
from orchestrator.models.stages import Bools, CircuitCall, Circuits, DeadIn, Runnable
from orchestrator.streams import Streams


@dataclass(frozen=True)
class Quantum:
    """A circuit whose outputs are its expectation values.

    Attributes:
        program: the circuit; its last ``fed`` parameters are the outputs of the previous stage.
        fed: F, number of outputs of the previous stage; 0 in the first stage, where the data are the inputs.
        signal: name of the signal, dl/dE.
    """

    program: Program
    fed: int = 0
    signal: str = "signal"

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return self.program.parameters - self.fed

    @property
    def outputs(self) -> int:
        """K, number of expectation values."""
        return self.program.outputs

    @property
    def groups(self) -> tuple[Group, ...]:
        """The trained layers of the circuit."""
        return tuple(group for group in self.program.groups if group.stop <= self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """Qiskit's names of the trained parameters."""
        return self.program.names[: self.parameters]

    @property
    def signals(self) -> tuple[Group, ...]:
        """One group, dl/dE, at the depth of the last trained layer."""
        depth = max((group.depth for group in self.groups), default=0)
        return (Group(self.signal, 0, self.outputs, depth, "signal"),)

    @property
    def axes(self) -> int:
        """Number of rotations whose axis is drawn in every step."""
        return self.program.axes

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:  # noqa: ARG002
        """Returns the dead parameters and inputs of the circuit; dead outputs are not traced through it."""
        dead = circuits(self.program)
        return dead[: self.parameters], dead[self.parameters :]

    def initial(self, streams: Streams) -> Array:
        """Draws initial values of the trained parameters, float64 [R, p]."""
        return np.ascontiguousarray(self.program.initial(streams)[:, : self.parameters])

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Returns bytes for R rows of B samples: kept from forward to backward, and 0 temporary ones."""
        width, fed = self.program.parameters, self.fed
        return 8 * rows * (samples * (width + 2 * fed + 2 * self.outputs) + 3 * self.parameters), 0

    def calls(self, rows: int, samples: int) -> tuple[CircuitCall, ...]:
        """Returns one call. Inputs from a previous stage are parameters, so every sample is then a row."""
        return (CircuitCall(self.program, *((rows * samples, 1) if self.fed else (rows, samples))),)

    def runnable(self, circuits: Circuits) -> Runnable:
        """Returns the circuit as the engine prepares it."""
        return circuits(self.program, self.fed)
