"""The base class of circuits: observables, the readout, and how the loss takes the expectation values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.config.base import Field, FrozenDict, ValidationInfo, field_validator, refuse
from orchestrator.config.text import show
from orchestrator.errors import Fault, InputError
from orchestrator.models.affine import Affine
from orchestrator.models.base import Model
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.observable import READOUTS
from orchestrator.models.circuits.program import Program
from orchestrator.models.layer import Layer, Position
from orchestrator.models.layered import Layered
from orchestrator.models.quantum import Quantum
from orchestrator.models.stages import Stage

if TYPE_CHECKING:
    from orchestrator.models.circuits.observable import Operator


class AnyCircuit(Model, Layer):
    """Base class of circuits, whether built by name or read from a file or a function.

    Attributes:
        observable: a Pauli string as Qiskit writes it (``ZIII``: Z on qubit 3) or sparse (``Z0 Z1``),
            ``zero-projector`` (|0…0><0…0|), or a mapping of these to coefficients, for their weighted sum.
            Z on the last qubit if left out.
        observables: several observables, instead of ``observable``.
        readout: what several observables become. ``mean``: their mean. ``parity``: their product (Z on all
            qubits if none is named). ``linear``: a sum with trained weights and a trained bias.
            ``softmax``: logits, one observable per class.
    """

    observable: str | FrozenDict | None = None
    observables: tuple[str | FrozenDict, ...] = Field(default=(), strict=False)
    readout: Literal[READOUTS] | None = None  # type: ignore[valid-type]

    @field_validator("observable", mode="before")
    @classmethod
    def _text_or_mapping(cls, value: Any) -> Any:
        if value is None or isinstance(value, (str, dict)):
            return value
        raise refuse(f"is {show(value)}, must be text or a mapping of Pauli strings to coefficients")

    @field_validator("observables", mode="before")
    @classmethod
    def _texts_or_mappings(cls, values: Any, info: ValidationInfo) -> Any:
        if info.data.get("observable") is not None and values:
            raise refuse("cannot be combined with observable; move the observable into this list")
        return [cls._text_or_mapping(value) for value in values] if isinstance(values, list) else values

    def build(self, features: int, classes: int) -> Program | Layered:  # noqa: ARG002 - K does not depend on classes
        """Builds the circuit for data of ``features`` columns; allocates nothing of size 2^qubits.

        Raises:
            InputError: with every fault of the configuration, or the first gate that has no derivative.
        """
        program = self.program(features)
        if self.readout == "linear":
            return _with_linear_readout(program)
        if self.readout == "softmax":
            return replace(program, head=self.head)
        if program.outputs > 1:
            legal = ", ".join(READOUTS)
            message = f"is missing, but there are {program.outputs} observables (legal: {legal})"
            raise InputError.at("model.readout", message)
        return program

    @property
    def head(self) -> str:
        """How the loss takes the expectation values: as ``softmax`` logits, or as they are."""
        return "softmax" if self.readout == "softmax" else "expectation"

    def faults(self, position: Position) -> Iterator[Fault]:
        """Yields a fault if the readout is missing, or not legal in this position."""
        path = f"{position.path}.readout"
        if not position.last and self.readout in ("linear", "softmax"):
            yield Fault(path, f"is {self.readout}, legal in the last layer only")
        if position.last and self.readout == "linear":
            yield Fault(path, "is linear: add a layer {kind: dense} instead")
        if position.last and not self.readout and len(self.observables) > 1:
            message = f"is missing, but there are {len(self.observables)} observables"
            yield Fault(path, f"{message} (legal in the last layer: mean, softmax, parity)")

    def stages(self, position: Position, width: int) -> Sequence[tuple[str, Stage]]:
        """Returns one stage: the data are the circuit's inputs; another layer's outputs become parameters."""
        fed = width if position.index else 0
        try:
            program = self.program(width, fed=bool(fed))
        except InputError as error:
            raise InputError(_layer_fault(position.path, fault) for fault in error.faults) from None
        return ((f"circuit{position.index}", Quantum(program, fed)),)

    def program(self, features: int, fed: bool = False) -> Program:
        """Reads the circuit without its readout: the predictions are the expectation values.

        Args:
            fed: whether another layer feeds the circuit. Its inputs then become parameters, after the
                trained ones, because the backward pass needs derivatives by them.

        Raises:
            InputError: as ``build``.
        """
        from orchestrator.models.circuits.reading import read

        draw = self._draw_fed if fed else self.draw
        return read(partial(draw, features), self.label)

    def _draw_fed(self, features: int) -> Drawing:
        drawing = self.draw(features)
        if drawing.amplitudes:
            raise InputError.at(
                "model.encoding", "is amplitude, which takes the data, not another layer's output"
            )
        names = (*drawing.names, "inputs") if drawing.names else ()
        return replace(drawing, inputs=(), layers=(*drawing.layers, drawing.inputs), names=names)

    def operators(self, qubits: int) -> tuple[Operator, ...]:
        """Returns the observables on ``qubits`` qubits; raises InputError with every fault."""
        from orchestrator.models.circuits.observable import read_operators

        return read_operators(self.observables or self.observable, self.readout, qubits)

    @property
    def observable_label(self) -> str:
        """The observables and the readout, as messages name them."""
        labels = [str(observable) for observable in self.observables or (self.observable,) if observable]
        readout = f", readout {self.readout}" if self.readout else ""
        return (", ".join(labels) or "left out") + readout

    @property
    def label(self) -> str:
        """The circuit's name in messages."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """The circuit in a few words."""
        return self.label

    def draw(self, features: int) -> Drawing:
        """Draws the circuit with Qiskit."""
        raise NotImplementedError


def _with_linear_readout(program: Program) -> Layered:
    """Appends Σ_k w_k E_k + b to the circuit; w and b are trained."""
    circuit, readout = Quantum(program, signal="circuit.signal"), Affine(program.outputs, 1, "glorot")
    return Layered((("", circuit), ("readout", readout)), "linear")


def _layer_fault(path: str, fault: Fault) -> Fault:
    """Returns a fault of a model as a fault of the layer at ``path``."""
    return replace(fault, path=path + fault.path.removeprefix("model"))
