"""A user-defined layer for hybrids: a circuit that is applied to its own output.

    python -c "import own_layers; from orchestrator.cli import main; main()" plan SWEEP

The sweep file accepts the layer, because this module is imported before the list of layers is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import InputError
from orchestrator.groups import Array, Group
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.layer import Layer, Position
from orchestrator.models.quantum import Quantum
from orchestrator.models.stages import (
    Bools,
    CircuitCall,
    Circuits,
    Collector,
    DeadIn,
    Pullback,
    Runnable,
    Stage,
)
from orchestrator.streams import Purpose, Streams


class Echo(Layer):
    """C(w C(w x)): n weights w, and a circuit C of n inputs and n observables, each used twice."""

    kind: Literal["echo"]
    circuit: Circuit

    @property
    def summary(self) -> str:
        """A short description."""
        return f"echo of {self.circuit.summary}"

    def stages(self, position: Position, width: int) -> Sequence[tuple[str, Stage]]:
        """One stage."""
        program = self.circuit.program(width, fed=True)
        if program.outputs != width:
            message = f"has {program.outputs} observables, must have one for each of the {width} inputs"
            raise InputError.at(f"{position.path}.circuit", message)
        return ((f"echo{position.index}", EchoStage(Quantum(program, width))),)


@dataclass(frozen=True)
class EchoStage:
    """The weights w, then the circuit's parameters; one signal per use of the circuit."""

    circuit: Quantum

    @property
    def outputs(self) -> int:
        """n."""
        return self.circuit.fed

    @property
    def parameters(self) -> int:
        """Weights and angles."""
        return self.outputs + self.circuit.parameters

    @property
    def groups(self) -> tuple[Group, ...]:
        """The weights, then the circuit's groups, one deeper."""
        n = self.outputs
        weight = Group("weight", 0, n, 0, units=n)
        return weight, *(
            replace(group, start=n + group.start, stop=n + group.stop, depth=1 + group.depth)
            for group in self.circuit.groups
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return (*(f"weight[{k}]" for k in range(self.outputs)), *self.circuit.names)

    @property
    def signals(self) -> tuple[Group, ...]:
        """dl/dC, of the first use and of the second."""
        n = self.outputs
        return Group("lag1", 0, n, 1, "signal"), Group("lag0", n, 2 * n, 1, "signal")

    @property
    def axes(self) -> int:
        """The circuit's axes, the same for both uses."""
        return self.circuit.axes

    def dead(self, outputs: Bools, circuits: DeadIn) -> tuple[Bools, Bools]:
        """The circuit's dead parameters and inputs, and the weights of such inputs."""
        angles, inputs = self.circuit.dead(outputs, circuits)
        return np.concatenate([inputs, angles]), inputs

    def initial(self, streams: Streams) -> Array:
        """Weights in [½, 1½), and the circuit's initial parameters."""
        weights = 0.5 + streams.part(0).uniform(Purpose.PARAMETERS, self.outputs)
        return np.concatenate([weights, self.circuit.initial(streams.part(1))], axis=1)

    def working_bytes(self, rows: int, samples: int) -> tuple[int, int]:
        """Memory of both uses of the circuit, and of each sample's gradient."""
        kept, _ = self.circuit.working_bytes(rows * samples, 1)
        return 2 * kept, 8 * rows * samples * 6 * self.parameters

    def calls(self, rows: int, samples: int) -> tuple[CircuitCall, ...]:
        """The circuit's calls, twice."""
        return self.circuit.calls(rows * samples, 1) * 2

    def runnable(self, circuits: Circuits) -> Runnable:
        """The layer with its circuit, which is prepared once."""
        return EchoRunnable(self.circuit.runnable(circuits))


@dataclass(frozen=True)
class _Use:
    """One use of the circuit: its values before the weights, and its tape."""

    values: Array
    tape: object


_Uses = tuple[_Use, _Use]


@dataclass(frozen=True)
class _Added:
    """Adds a circuit's gradients to ``gradients`` [N, p]."""

    gradients: Array

    def outer(self, values: Array, cotangent: Array) -> None:
        """Raises: circuits have explicit gradients."""
        raise NotImplementedError

    def explicit(self, parts: Iterable[tuple[slice, Array]]) -> None:
        """Adds gradients sample by sample."""
        for span, gradients in parts:
            self.gradients[span] += gradients

    def signal(self, signal: Array) -> None:
        """Ignores the circuit's signal: the layer has its own."""


@dataclass(frozen=True)
class EchoRunnable:
    """Runs the layer: every sample is a row for the circuit, and gradients are summed over both uses."""

    circuit: Runnable

    def forward(self, parameters: Array, values: Array, axes: NDArray[np.int8]) -> tuple[Array, _Uses]:
        """C(w C(w x)) [R, B, n]."""
        rows, samples, width = values.shape
        weight, angles = _each(parameters, samples, width)
        given, drawn = values.reshape(-1, 1, width), np.repeat(axes, samples, 0)
        heard, first = self.circuit.forward(angles, weight * given, drawn)
        found, second = self.circuit.forward(angles, weight * heard, drawn)
        return found.reshape(rows, samples, width), (_Use(given, first), _Use(heard, second))

    def backward(self, parameters: Array, tape: _Uses, cotangent: Array, collector: Collector) -> Pullback:
        """Collects each sample's gradient, summed over both uses, and both signals."""
        rows, samples, width = cotangent.shape
        weight, angles = _each(parameters, samples, width)
        gradients = np.zeros((rows * samples, parameters.shape[1]))
        back, signals = cotangent.reshape(-1, 1, width), []
        for use in reversed(tape):
            signals.insert(0, back.reshape(cotangent.shape))
            pulled = self.circuit.backward(angles, use.tape, back, _Added(gradients[:, width:]))()
            gradients[:, :width] += (pulled * use.values)[:, 0]
            back = weight * pulled
        collector.explicit([(slice(0, rows * samples), gradients)])
        collector.signal(np.concatenate(signals, axis=-1))
        return lambda: back.reshape(cotangent.shape)


def _each(parameters: Array, samples: int, width: int) -> tuple[Array, Array]:
    """Weights [R·B, 1, n] and angles [R·B, …] of every sample."""
    each = np.repeat(parameters, samples, 0)
    return each[:, None, :width], each[:, width:]
