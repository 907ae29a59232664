"""What circuits that the user brings have in common: which parameters are inputs, which are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from orchestrator.config.base import Field
from orchestrator.config.text import near
from orchestrator.errors import Fault, InputError
from orchestrator.models.circuits.ansatz import Drawing, StateAt
from orchestrator.models.circuits.any_circuit import AnyCircuit
from orchestrator.process import patience

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

_FORMAT = 2
"""Version of what the order of components and the names of groups mean; part of the id."""


class UserCircuit(AnyCircuit):
    """A circuit of the user's own. Measurements at its end are left out.

    The parameters that are no inputs are trained, in the order of their first use in the circuit; vectors
    of parameters stand whole, where the first of them is used. Those of one angle are taken in the order of
    their names, as a Qiskit expression has no other. All start uniform in [0, 2π). Groups are the vectors
    and the single parameters; neighbours whose names differ in numbers only (``t0``, ``t1`` …) are one group.

    Attributes:
        inputs: names of the parameters, or vectors of parameters, that are the data's columns, in order.
    """

    inputs: tuple[str, ...] = Field(default=(), strict=False)

    def identity(self) -> dict[str, Any]:
        """The configuration and the version of its meaning."""
        return super().identity() | {"format": _FORMAT}

    def circuit(self) -> QuantumCircuit:
        """The circuit with all its parameters free.

        Raises:
            InputError: it cannot be had.
        """
        raise NotImplementedError

    def starts(self) -> Mapping[str, float]:
        """By name of the parameter, the value that it starts from, where that is not drawn."""
        return {}

    @property
    def state_at(self) -> StateAt | None:
        """See ``Drawing.state_at``."""
        return None

    def draw(self, features: int) -> Drawing:
        """The circuit in Qiskit's terms.

        Raises:
            InputError: it cannot be had, or does not go with the observable or the data.
        """
        from orchestrator.models.circuits.elementary import check_size, without_final_measurements
        from orchestrator.models.circuits.reading import first_uses

        with patience(f"reading the {self.label}"):
            circuit = self.circuit()
        check_size(circuit.num_qubits, len(circuit.data))
        inputs = self._inputs(circuit)
        if len(inputs) != features:
            message = f"names {len(inputs)} parameters of the circuit, but the data have {features} features"
            raise InputError.at("model.inputs", message)
        trained = [symbol for symbol in _whole(first_uses(circuit), circuit) if symbol not in inputs]
        if not trained:
            raise InputError.at("model", f"{self.label} {self._untrained(circuit)}")
        runs = [(key, tuple(run)) for key, run in groupby(trained, _family)]
        starts = self.starts()
        return Drawing(
            circuit=without_final_measurements(circuit),
            operators=self.operators(circuit.num_qubits),
            inputs=inputs,
            layers=tuple(run for _, run in runs),
            axes=0,
            names=_distinct([_name(run) for _, run in runs]),
            starts=tuple((symbol, starts[symbol.name]) for symbol in trained if symbol.name in starts),
            state_at=self.state_at,
        )

    def _untrained(self, circuit: QuantumCircuit) -> str:
        """Why no parameter is trained, and what to do."""
        if circuit.parameters:
            return "has no parameter that is trained: all of them are inputs; leave one out of model.inputs"
        return "has no free parameter, so there is no gradient; give its gates parameters"

    def _inputs(self, circuit: QuantumCircuit) -> tuple[Parameter, ...]:
        names = [{symbol.name, _vector(symbol)} for symbol in circuit.parameters]
        legal = sorted(set().union(*names) - {""})
        faults = [
            Fault(f"model.inputs.{index}", f"the circuit has no parameter {name!r}" + near(name, legal))
            for index, name in enumerate(self.inputs)
            if name not in legal
        ]
        if faults:
            raise InputError(faults)
        found = [symbol for name in self.inputs for symbol in circuit.parameters if _bears(symbol, name)]
        if len(set(found)) < len(found):
            raise InputError.at("model.inputs", "names a parameter twice")
        return tuple(found)


def _bears(symbol: Parameter, name: str) -> bool:
    return name in (symbol.name, _vector(symbol))


def _vector(symbol: Any) -> str:
    """The name of the vector that a parameter belongs to; empty if to none."""
    return symbol.vector.name if hasattr(symbol, "vector") else ""


def _whole(used: list[Parameter], circuit: QuantumCircuit) -> list[Parameter]:
    """Every parameter of a circuit once, in the order of ``used``, but vectors whole; unused ones last."""
    named = set(circuit.parameters)
    found = [
        symbol
        for first in dict.fromkeys([*(symbol for symbol in used if symbol in named), *circuit.parameters])
        for symbol in (circuit.parameters if _vector(first) else [first])
        if _vector(symbol) == _vector(first)
    ]
    return list(dict.fromkeys(found))


def _family(symbol: Parameter) -> tuple[str, str]:
    """What the parameters of a group have in common: their vector, or their names but for the numbers."""
    return (_vector(symbol), "") if _vector(symbol) else ("", re.sub("[0-9]+", "#", symbol.name))


def _name(run: tuple[Parameter, ...]) -> str:
    """The vector's, the only parameter's, or that of the first and the last one: ``t0..t9``."""
    names = list(dict.fromkeys(_vector(symbol) or symbol.name for symbol in run))
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The names; one that was there before has its position behind it."""
    return tuple(
        name if name not in names[:position] else f"{name}#{position}" for position, name in enumerate(names)
    )
