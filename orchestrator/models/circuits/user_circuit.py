"""The base class of circuits that the user brings: which parameters are inputs, which are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from orchestrator.config.base import Field
from orchestrator.config.text import suggest
from orchestrator.errors import Fault, InputError
from orchestrator.models.circuits.ansatz import Drawing, StateAt
from orchestrator.models.circuits.any_circuit import AnyCircuit
from orchestrator.process import notice_if_slow

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

_FORMAT = 2
"""Version of the order of components and of the names of groups; part of the id."""


class UserCircuit(AnyCircuit):
    """A circuit that the user brings. Measurements at its end are left out.

    Parameters that are not inputs are trained, in the order of their first use in the circuit. A vector of
    parameters stays together, at the first use of any of its elements. Parameters of one angle are ordered
    by name, as a Qiskit expression has no order. All start uniform in [0, 2π), except for ``starts``.
    Groups are the vectors and the single parameters; neighbours whose names differ only in numbers (``t0``,
    ``t1`` …) form one group.

    Attributes:
        inputs: names of the parameters, or vectors of parameters, that are the data's columns, in order.
    """

    inputs: tuple[str, ...] = Field(default=(), strict=False)

    def identity(self) -> dict[str, Any]:
        """Adds the format version to the configuration."""
        return super().identity() | {"format": _FORMAT}

    def circuit(self) -> QuantumCircuit:
        """Returns the circuit with all its parameters free.

        Raises:
            InputError: the circuit cannot be read.
        """
        raise NotImplementedError

    def starts(self) -> Mapping[str, float]:
        """Returns initial values by parameter name; parameters without one start at random."""
        return {}

    @property
    def state_at(self) -> StateAt | None:
        """The function that computes the state from the user's text; None if there is no text."""
        return None

    def draw(self, features: int) -> Drawing:
        """Draws the circuit with Qiskit.

        Raises:
            InputError: the circuit cannot be read, or does not fit the observable or the data.
        """
        from orchestrator.models.circuits.elementary import check_size, without_final_measurements
        from orchestrator.models.circuits.reading import first_uses

        with notice_if_slow(f"reading the {self.label}"):
            circuit = self.circuit()
        check_size(circuit.num_qubits, len(circuit.data))
        inputs = self._inputs(circuit)
        if len(inputs) != features:
            message = f"names {len(inputs)} parameters of the circuit, but the data have {features} features"
            raise InputError.at("model.inputs", message)
        trained = [symbol for symbol in _ordered(first_uses(circuit), circuit) if symbol not in inputs]
        if not trained:
            raise InputError.at("model", f"{self.label} {self._why_untrained(circuit)}")
        groups = [tuple(group) for _, group in groupby(trained, _group_key)]
        starts = self.starts()
        return Drawing(
            circuit=without_final_measurements(circuit),
            operators=self.operators(circuit.num_qubits),
            inputs=inputs,
            layers=tuple(groups),
            axes=0,
            names=_unique([_group_name(group) for group in groups]),
            starts=tuple((symbol, starts[symbol.name]) for symbol in trained if symbol.name in starts),
            state_at=self.state_at,
        )

    def _why_untrained(self, circuit: QuantumCircuit) -> str:
        """Returns why no parameter is trained, and what to do."""
        if circuit.parameters:
            return "has no parameter that is trained: all of them are inputs; leave one out of model.inputs"
        return "has no free parameter, so there is no gradient; give its gates parameters"

    def _inputs(self, circuit: QuantumCircuit) -> tuple[Parameter, ...]:
        names = [{symbol.name, _vector(symbol)} for symbol in circuit.parameters]
        legal = sorted(set().union(*names) - {""})
        faults = [
            Fault(f"model.inputs.{index}", f"the circuit has no parameter {name!r}" + suggest(name, legal))
            for index, name in enumerate(self.inputs)
            if name not in legal
        ]
        if faults:
            raise InputError(faults)
        inputs = [symbol for name in self.inputs for symbol in circuit.parameters if _matches(symbol, name)]
        if len(set(inputs)) < len(inputs):
            raise InputError.at("model.inputs", "names a parameter twice")
        return tuple(inputs)


def _matches(symbol: Parameter, name: str) -> bool:
    return name in (symbol.name, _vector(symbol))


def _vector(symbol: Any) -> str:
    """Returns the name of the vector that a parameter belongs to; empty if there is none."""
    return symbol.vector.name if hasattr(symbol, "vector") else ""


def _ordered(used: list[Parameter], circuit: QuantumCircuit) -> list[Parameter]:
    """Returns each parameter once, in the order of ``used``; vectors stay together, unused ones come last."""
    free = set(circuit.parameters)
    symbols = [
        symbol
        for first in dict.fromkeys([*(symbol for symbol in used if symbol in free), *circuit.parameters])
        for symbol in (circuit.parameters if _vector(first) else [first])
        if _vector(symbol) == _vector(first)
    ]
    return list(dict.fromkeys(symbols))


def _group_key(symbol: Parameter) -> tuple[str, str]:
    """Returns what the parameters of a group share: their vector, or their names with # for numbers."""
    return (_vector(symbol), "") if _vector(symbol) else ("", re.sub("[0-9]+", "#", symbol.name))


def _group_name(group: tuple[Parameter, ...]) -> str:
    """Returns the name of the vector or of the only parameter, or the first and last names: ``t0..t9``."""
    names = list(dict.fromkeys(_vector(symbol) or symbol.name for symbol in group))
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"


def _unique(names: list[str]) -> tuple[str, ...]:
    """Returns the names; a repeated name gets its position appended: ``w#1``."""
    return tuple(
        name if name not in names[:position] else f"{name}#{position}" for position, name in enumerate(names)
    )
