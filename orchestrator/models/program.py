"""A circuit as data: rotations, CX and CZ gates in arrays, and the observable that is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.base import Group
from orchestrator.models.gates import NONE, Term
from orchestrator.models.lightcone import reached
from orchestrator.streams import Purpose, Streams

if TYPE_CHECKING:
    from orchestrator.models.ansatz import Drawing


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit that was read; implements ``models.base.Built``. No array depends on 2^n.

    Attributes:
        name: what a message calls it.
        qubits: n.
        inputs: F, features that enter.
        axes: A, axes that are drawn for each row.
        gates: [G] records of ``GATE`` in order of application; read-only.
        observable: Hermitian sum of Pauli strings.
        groups: one for each layer of the ansatz.
        redraw: draws the circuit anew from what the user wrote, for checks that must not rely on ``gates``.
    """

    name: str
    qubits: int
    inputs: int
    axes: int
    gates: NDArray[np.void]
    observable: tuple[Term, ...]
    groups: tuple[Group, ...]
    redraw: Callable[[], Drawing]

    head: ClassVar[str] = "expectation"
    outputs: ClassVar[int] = 1
    signals: ClassVar[tuple[Group, ...]] = ()

    @property
    def parameters(self) -> int:
        """P."""
        return self.groups[-1].stop if self.groups else 0

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """[G] false where a gate cannot change the expectation value, whatever the angles."""
        return reached(self.gates, self.qubits, self.observable)

    @cached_property
    def dead(self) -> NDArray[np.bool_]:
        """[P] true for parameters all of whose gates are outside the observable's light cone."""
        dead = np.ones(self.parameters, np.bool_)
        parameter = self.gates["parameter"][self.live]
        dead[parameter[parameter != NONE]] = False
        return dead

    def initial(self, streams: Streams) -> NDArray[np.float64]:
        """Uniform in [0, 2π), float64 [R, P]."""
        return 2.0 * math.pi * streams.uniform(Purpose.PARAMETERS, self.parameters)
