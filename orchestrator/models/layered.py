"""Models that are sequences of stages: networks, and circuits combined with dense layers."""

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
    """A stage and its slices of the model's vectors.

    Attributes:
        name: prefix of the names of its groups and signals; may be empty.
        depth: depth of its first group.
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
        """Returns the slot of the stage that follows ``before``, or of the first stage."""
        spans = (before.parameters, before.signal, before.axes) if before else (slice(0),) * 3
        width = max((group.stop for group in stage.signals), default=0)
        sizes = (stage.parameters, width, stage.axes)
        taken = (slice(span.stop, span.stop + n) for span, n in zip(spans, sizes, strict=True))
        return cls(stage, name, before.next_depth if before else 0, *taken)

    @property
    def groups(self) -> Iterator[Group]:
        """The stage's groups, as slices of the model's parameter vector."""
        return self._shifted(self.stage.groups, self.parameters.start)

    @property
    def signals(self) -> Iterator[Group]:
        """The stage's signals, as slices of the model's signal vector."""
        return self._shifted(self.stage.signals, self.signal.start)

    @property
    def names(self) -> Iterator[str]:
        """Names of the stage's parameters, with its prefix."""
        return (self._prefix + name for name in self.stage.names)

    @property
    def next_depth(self) -> int:
        """Depth of the next stage: one more than the deepest group; the same depth if there is no group."""
        return max((group.depth + 1 for group in (*self.groups, *self.signals)), default=self.depth)

    @property
    def _prefix(self) -> str:
        return f"{self.name}." if self.name else ""

    def _shifted(self, groups: Iterable[Group], start: int) -> Iterator[Group]:
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
        stages: pairs (name, stage), in order from the inputs; at least one.
        head: the function after the last stage, which is part of the loss.
    """

    stages: tuple[tuple[str, Stage], ...]
    head: str

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The stages in order, with their slices of the model's vectors."""
        slots: list[Slot] = []
        for name, stage in self.stages:
            slots.append(Slot.after(slots[-1] if slots else None, name, stage))
        return tuple(slots)

    @property
    def parameters(self) -> int:
        """P, length of the parameter vector."""
        return self.slots[-1].parameters.stop

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of all stages."""
        return tuple(group for slot in self.slots for group in slot.groups)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters."""
        return tuple(name for slot in self.slots for name in slot.names)

    @property
    def signals(self) -> tuple[Group, ...]:
        """The signals of all stages."""
        return tuple(group for slot in self.slots for group in slot.signals)

    @property
    def dead(self) -> Bools:
        """Parameters outside the light cones of the circuits, or that affect such inputs only, bool [P].

        A relu unit that is 0 for some samples is not dead by structure.
        """
        dead, outputs = np.zeros(self.parameters, np.bool_), np.zeros(self.outputs, np.bool_)
        for slot in reversed(self.slots):
            dead[slot.parameters], outputs = slot.stage.dead(outputs, lambda program: program.dead)
        return dead

    def dead_in_stages(self, circuits: DeadIn) -> Bools:
        """Returns the parameters that are dead if all outputs of their stage count as live, bool [P]."""
        live = ((stage, np.zeros(stage.outputs, np.bool_)) for _, stage in self.stages)
        return np.concatenate([stage.dead(outputs, circuits)[0] for stage, outputs in live])

    @property
    def outputs(self) -> int:
        """K, predictions per sample."""
        return self.stages[-1][1].outputs

    @property
    def axes(self) -> int:
        """A, number of drawn axes."""
        return self.slots[-1].axes.stop

    def calls(self, rows: int, samples: int) -> tuple[CircuitCall, ...]:
        """Returns the evaluations of circuits in one pass over R rows of B samples, in order."""
        return tuple(call for _, stage in self.stages for call in stage.calls(rows, samples))

    @property
    def circuits(self) -> tuple[Program, ...]:
        """The circuits executed for one sample, repeated as often as they run."""
        return tuple(call.program for call in self.calls(1, 1) for _ in range(call.executions))

    def runnables(self, circuits: Circuits) -> tuple[Runnable, ...]:
        """Returns the runnables of the stages, in order."""
        return tuple(stage.runnable(circuits) for _, stage in self.stages)

    def working_bytes(self, rows: int, samples: int) -> int:
        """Returns the bytes for a gradient of R rows of B samples, without the shard and the circuits."""
        sums = 8 * rows * (4 * self.parameters + 2 * samples * (self.outputs + 1))
        kept, temporary = zip(*(stage.working_bytes(rows, samples) for _, stage in self.stages), strict=True)
        return sums + sum(kept) + max(temporary)

    def initial(self, streams: Streams) -> Array:
        """Draws initial parameters, float64 [R, P]; each stage draws from its own streams."""
        drawn = [stage.initial(streams.part(index)) for index, (_, stage) in enumerate(self.stages)]
        return np.concatenate(drawn, axis=1)
