"""Models that are sequences of stages: networks, and circuits with trained layers around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from orchestrator.groups import Array, Group
from orchestrator.models.circuits.program import Program
from orchestrator.models.samples import RowsAsSamples
from orchestrator.models.stages import Bools, CircuitCall, Circuits, DeadIn, Runnable, Stage
from orchestrator.streams import Streams


@dataclass(frozen=True)
class Slot:
    """A stage and where its numbers lie.

    Attributes:
        name: stands before the names of its groups and signals; may be empty.
        depth: of its first group.
        parameters: its slice of the parameter vector.
        signal: its slice of the signal vector.
        axes: its slice of the drawn axes.
    """

    stage: Stage
    name: str
    depth: int
    parameters: slice
    signal: slice
    axes: slice

    @classmethod
    def after(cls, before: Slot | None, name: str, stage: Stage) -> Slot:
        """The slot of a stage that stands after another one, or first."""
        spans = (before.parameters, before.signal, before.axes) if before else (slice(0),) * 3
        width = max((group.stop for group in stage.signals), default=0)
        sizes = (stage.parameters, width, stage.axes)
        taken = (slice(span.stop, span.stop + n) for span, n in zip(spans, sizes, strict=True))
        return cls(stage, name, before.next_depth if before else 0, *taken)

    @property
    def groups(self) -> Iterator[Group]:
        """Its groups in the parameter vector."""
        return self._moved(self.stage.groups, self.parameters.start)

    @property
    def signals(self) -> Iterator[Group]:
        """Its groups in the signal vector."""
        return self._moved(self.stage.signals, self.signal.start)

    @property
    def names(self) -> Iterator[str]:
        """Of its parameters."""
        return (self._prefix + name for name in self.stage.names)

    @property
    def next_depth(self) -> int:
        """Of the stage after it: one more than its deepest group; its own depth if it has none."""
        return max((group.depth + 1 for group in (*self.groups, *self.signals)), default=self.depth)

    @property
    def _prefix(self) -> str:
        return f"{self.name}." if self.name else ""

    def _moved(self, groups: Iterable[Group], start: int) -> Iterator[Group]:
        for group in groups:
            yield replace(
                group,
                name=self._prefix + group.name,
                start=start + group.start,
                stop=start + group.stop,
                depth=self.depth + group.depth,
            )


@dataclass(frozen=True)
class Layered(RowsAsSamples):
    """A sequence of stages; implements ``models.base.Built``.

    Attributes:
        stages: in order from the inputs, each with its name; at least one.
        head: function after the last stage; belongs to the loss.
    """

    stages: tuple[tuple[str, Stage], ...]
    head: str

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The stages, in order, and where their numbers lie."""
        slots: list[Slot] = []
        for name, stage in self.stages:
            slots.append(Slot.after(slots[-1] if slots else None, name, stage))
        return tuple(slots)

    @property
    def parameters(self) -> int:
        """P."""
        return self.slots[-1].parameters.stop

    @property
    def groups(self) -> tuple[Group, ...]:
        """Those of all stages."""
        return tuple(group for slot in self.slots for group in slot.groups)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Those of all stages."""
        return tuple(name for slot in self.slots for name in slot.names)

    @property
    def signals(self) -> tuple[Group, ...]:
        """Those of all stages."""
        return tuple(group for slot in self.slots for group in slot.signals)

    @property
    def dead(self) -> Bools:
        """Those that lie outside the light cones of its circuits, and what leads to such inputs only.

        A unit that is off for some inputs is not off by structure.
        """
        dead, outputs = np.zeros(self.parameters, np.bool_), np.zeros(self.outputs, np.bool_)
        for slot in reversed(self.slots):
            dead[slot.parameters], outputs = slot.stage.dead(outputs, lambda program: program.dead)
        return dead

    def dead_in_stages(self, circuits: DeadIn) -> Bools:
        """[P] those that are dead in a stage whose outputs all count as live."""
        live = ((stage, np.zeros(stage.outputs, np.bool_)) for _, stage in self.stages)
        return np.concatenate([stage.dead(outputs, circuits)[0] for stage, outputs in live])

    @property
    def outputs(self) -> int:
        """K."""
        return self.stages[-1][1].outputs

    @property
    def axes(self) -> int:
        """A."""
        return self.slots[-1].axes.stop

    def calls(self, rows: int, samples: int) -> tuple[CircuitCall, ...]:
        """The evaluations of circuits in one pass over R rows of B samples, in order."""
        return tuple(call for _, stage in self.stages for call in stage.calls(rows, samples))

    @property
    def circuits(self) -> tuple[Program, ...]:
        """The circuits that one sample goes through, each as often as it does."""
        return tuple(call.program for call in self.calls(1, 1) for _ in range(call.executions))

    def runnables(self, circuits: Circuits) -> tuple[Runnable, ...]:
        """What runs the stages, in order."""
        return tuple(stage.runnable(circuits) for _, stage in self.stages)

    def working_bytes(self, rows: int, samples: int) -> int:
        """Memory of one gradient of R rows of B samples, beside the shard and what circuits take."""
        sums = 8 * rows * (4 * self.parameters + 2 * samples * (self.outputs + 1))
        kept, passing = zip(*(stage.working_bytes(rows, samples) for _, stage in self.stages), strict=True)
        return sums + sum(kept) + max(passing)

    def initial(self, streams: Streams) -> Array:
        """Fresh parameters, float64 [R, P]; each stage draws its own."""
        drawn = [stage.initial(streams.part(index)) for index, (_, stage) in enumerate(self.stages)]
        return np.concatenate(drawn, axis=1)
