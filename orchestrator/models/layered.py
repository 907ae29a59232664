"""Models that are sequences of stages: networks, and circuits with trained layers around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.models.program import Program
from orchestrator.models.stages import Affine, Elementwise, Quantum
from orchestrator.streams import Streams

Stage = Affine | Elementwise | Quantum


@dataclass(frozen=True)
class Place:
    """A stage and where its numbers lie.

    Attributes:
        name: stands before the names of its groups; may be empty.
        depth: of its first group.
        parameters: its slice of the parameter vector.
        signal: its slice of the signal vector: dl/d(output), unless it is elementwise.
        axes: its slice of the drawn axes.
    """

    stage: Stage
    name: str
    depth: int
    parameters: slice
    signal: slice
    axes: slice

    @property
    def groups(self) -> Iterator[Group]:
        """Its groups in the parameter vector."""
        prefix, start = f"{self.name}." if self.name else "", self.parameters.start
        for group in () if isinstance(self.stage, Elementwise) else self.stage.groups:
            span = start + group.start, start + group.stop
            yield Group(prefix + group.name, *span, self.depth + group.depth)

    @property
    def names(self) -> Iterator[str]:
        """Of its parameters."""
        prefix = f"{self.name}." if self.name else ""
        return (prefix + name for name in (() if isinstance(self.stage, Elementwise) else self.stage.names))

    @property
    def last_depth(self) -> int:
        """Depth of its last group."""
        return max((group.depth for group in self.groups), default=self.depth)


@dataclass(frozen=True)
class Layered:
    """A sequence of stages; implements ``models.base.Built``.

    Attributes:
        stages: in order from the inputs, each with its name.
        head: function behind the last stage; belongs to the loss.
    """

    stages: tuple[tuple[str, Stage], ...]
    head: str

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The stages, in order."""
        places: list[Place] = []
        depth = parameters = signal = axes = 0
        for name, stage in self.stages:
            counted = (0, 0, 0)
            if not isinstance(stage, Elementwise):
                drawn = stage.program.axes if isinstance(stage, Quantum) else 0
                counted = (stage.parameters, stage.outputs, drawn)
            spans = (
                slice(start, start + n) for start, n in zip((parameters, signal, axes), counted, strict=True)
            )
            place = Place(stage, name, depth, *spans)
            parameters, signal, axes = place.parameters.stop, place.signal.stop, place.axes.stop
            depth = depth if isinstance(stage, Elementwise) else place.last_depth + 1
            places.append(place)
        return tuple(places)

    @property
    def circuits(self) -> tuple[Program, ...]:
        """The programs of its circuits."""
        return tuple(stage.program for _, stage in self.stages if isinstance(stage, Quantum))

    @property
    def parameters(self) -> int:
        """P."""
        return self.places[-1].parameters.stop

    @property
    def groups(self) -> tuple[Group, ...]:
        """Those of all stages."""
        return tuple(group for place in self.places for group in place.groups)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Those of all stages."""
        return tuple(name for place in self.places for name in place.names)

    @property
    def signals(self) -> tuple[Group, ...]:
        """One for each stage that is not elementwise: dl/d(output)."""
        return tuple(
            Group(
                f"{place.name or 'circuit'}.signal",
                place.signal.start,
                place.signal.stop,
                place.last_depth,
                "signal",
            )
            for place in self.places
            if not isinstance(place.stage, Elementwise)
        )

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Those that no observable can feel, in its circuits and in front of them.

        A unit that is off for some inputs is not off by structure.
        """
        dead, behind = np.zeros(self.parameters, np.bool_), np.zeros(self.outputs, np.bool_)
        for place in reversed(self.places):
            dead[place.parameters], behind = place.stage.unfelt(behind)
        return dead

    @property
    def outputs(self) -> int:
        """K."""
        return self.stages[-1][1].outputs

    @property
    def axes(self) -> int:
        """A."""
        return self.places[-1].axes.stop

    def working_bytes(self, rows: int, samples: int) -> int:
        """Memory of one gradient of R rows of B samples, beside the shard and what circuits take."""
        sums = 8 * rows * (4 * self.parameters + 2 * samples * (self.outputs + 1))
        kept, passing = zip(*(stage.working_bytes(rows, samples) for _, stage in self.stages), strict=True)
        return sums + sum(kept) + max(passing)

    def initial(self, streams: Streams) -> Array:
        """Fresh parameters, float64 [R, P]; each stage draws its own."""
        drawn = [
            stage.initial(streams.part(index))
            for index, (_, stage) in enumerate(self.stages)
            if not isinstance(stage, Elementwise)
        ]
        return np.concatenate(drawn, axis=1)


def with_linear_readout(program: Program) -> Layered:
    """The circuit with Σ_k w_k E_k + b behind it, w and b trained."""
    readout = Affine(program.outputs, 1, "glorot")
    return Layered((("", Quantum(program)), ("readout", readout)), "linear")
