"""What circuits that the user brings have in common: which parameters are inputs, which are trained."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from orchestrator.config import Field, near
from orchestrator.errors import Fault, InputError
from orchestrator.models.ansatz import Drawing, Layers
from orchestrator.models.any_circuit import AnyCircuit

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter


class UserCircuit(AnyCircuit):
    """A circuit of the user's own. Measurements at its end are left out.

    The parameters that are no inputs are trained, in the order of their first use; they start uniform in
    [0, 2π). Groups are its vectors of parameters, and runs of single parameters between them.

    Attributes:
        inputs: names of the parameters, or vectors of parameters, that are the data's columns, in order.
    """

    inputs: tuple[str, ...] = Field(default=(), strict=False)

    def circuit(self) -> QuantumCircuit:
        """The circuit with all its parameters free.

        Raises:
            InputError: it cannot be had.
        """
        raise NotImplementedError

    def draw(self, features: int) -> Drawing:
        """The circuit in Qiskit's terms.

        Raises:
            InputError: it cannot be had, or does not go with the observable or the data.
        """
        circuit = self.circuit().remove_final_measurements(inplace=False)
        inputs = self._inputs(circuit)
        if len(inputs) != features:
            message = f"names {len(inputs)} parameters of the circuit, but the data have {features} features"
            raise InputError.at("model.inputs", message)
        operators = self.operators(circuit.num_qubits)
        return Drawing(circuit, operators, inputs, _layers(circuit, inputs), 0)

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


def _layers(circuit: QuantumCircuit, inputs: tuple[Parameter, ...]) -> Layers:
    """The trainable parameters: vectors whole, where the first of them is used, and runs of single ones."""
    rank = {symbol: index for index, symbol in enumerate(circuit.parameters)}
    used = [
        symbol
        for item in circuit.data
        for value in item.operation.params
        for symbol in sorted(getattr(value, "parameters", ()), key=rank.__getitem__)
    ]
    whole = [
        symbol
        for first in dict.fromkeys([*used, *circuit.parameters])
        for symbol in (circuit.parameters if _vector(first) else [first])
        if _vector(symbol) == _vector(first)
    ]
    trained = [symbol for symbol in dict.fromkeys(whole) if symbol not in inputs]
    return tuple(tuple(run) for _, run in groupby(trained, _vector))
