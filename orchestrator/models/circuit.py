"""A variational circuit, built by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.config import Field, FrozenDict, ValidationInfo, field_validator, refuse, show
from orchestrator.errors import Fault, InputError
from orchestrator.models.ansatz import ANSATZE, Drawing, Trainable, with_encoding
from orchestrator.models.base import Model
from orchestrator.models.encoding import AMPLITUDE, ENCODINGS
from orchestrator.models.layer import Layer
from orchestrator.models.layered import Layered, with_linear_readout
from orchestrator.models.observable import READOUTS
from orchestrator.models.program import Program

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from orchestrator.models.observable import Operator

ANSATZ_NAMES: tuple[str, ...] = tuple(ANSATZE)
ENCODING_NAMES: tuple[str, ...] = (*ENCODINGS, AMPLITUDE)

Entanglement = Literal["full", "linear", "reverse_linear", "circular", "sca", "pairwise"]
Rotation = Literal["rx", "ry", "rz", "p", "h"]
Entangler = Literal[
    "cx", "cy", "cz", "ch", "swap", "iswap", "ecr", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx"
]


class AnyCircuit(Model, Layer):
    """What circuits have in common, wherever they come from.

    Attributes:
        observable: what is measured: a Pauli string as Qiskit writes it (``ZIII``: Z on qubit 3) or sparse
            (``Z0 Z1``), ``zero-projector`` (|0…0><0…0|), or a mapping of these to coefficients, their
            weighted sum; Z on the last qubit if left out.
        observables: several of them, in place of one.
        readout: what several become: their ``mean``; ``parity``, their product (Z on all qubits if none is
            named); ``linear``, a sum with trained weights and a trained bias; ``softmax``, the logits of as
            many classes.
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
            raise refuse("cannot stand beside observable; move that into the list")
        return [cls._text_or_mapping(value) for value in values] if isinstance(values, list) else values

    def build(self, features: int, classes: int) -> Program | Layered:  # noqa: ARG002 - K, whatever the classes
        """The circuit for data of ``features`` columns; nothing of size 2^qubits is allocated.

        Raises:
            InputError: with every fault of the configuration, or the first gate that has no derivative.
        """
        program = self.program(features)
        if self.readout == "linear":
            return with_linear_readout(program)
        if self.readout == "softmax":
            return replace(program, head="softmax")
        if program.outputs > 1:
            legal = ", ".join(READOUTS)
            message = f"is missing, but there are {program.outputs} observables (legal: {legal})"
            raise InputError.at("model.readout", message)
        return program

    def program(self, features: int, fed: bool = False) -> Program:
        """The circuit alone, whose predictions are its expectation values.

        Args:
            fed: its inputs become parameters, behind the trained ones, as derivatives by them are wanted.

        Raises:
            InputError: as ``build``.
        """
        from orchestrator.models.reading import read

        draw = self._draw_fed if fed else self.draw
        return read(partial(draw, features), self.label)

    def _draw_fed(self, features: int) -> Drawing:
        drawing = self.draw(features)
        if drawing.amplitudes:
            raise InputError.at(
                "model.encoding", "is amplitude, which takes the data, not another layer's output"
            )
        return replace(drawing, inputs=(), layers=(*drawing.layers, drawing.inputs))

    def operators(self, qubits: int) -> tuple[Operator, ...]:
        """What is measured on so many qubits; raises InputError with every fault."""
        from orchestrator.models.observable import read_operators

        named = self.observables or (() if self.observable is None else (self.observable,))
        return read_operators(named, self.readout, qubits)

    @property
    def measured(self) -> str:
        """The observables, as a message names them."""
        named = [str(observable) for observable in self.observables or (self.observable,) if observable]
        readout = f", readout {self.readout}" if self.readout else ""
        return (", ".join(named) or "left out") + readout

    @property
    def label(self) -> str:
        """What a message calls it."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """It in a few words."""
        return self.label

    def draw(self, features: int) -> Drawing:
        """The circuit in Qiskit's terms."""
        raise NotImplementedError


class Circuit(AnyCircuit):
    """A feature map, an ansatz, and an observable whose expectation value is the prediction.

    Trainable angles start uniform in [0, 2π). Groups are the ansatz's layers. Options that are left out
    are those of the ansatz or the encoding, as documented there.

    Attributes:
        qubits: number of qubits.
        layers: repetitions of the ansatz.
        ansatz: a name out of ``models.ansatz.ANSATZE``.
        entanglement: ``real-amplitudes``, ``efficient-su2``, ``two-local``: Qiskit's pattern of pairs.
        rotations: ``two-local``: gates on each qubit, in order.
        entangler: ``two-local``: gate on each pair.
        ansatz_seed: ``pauli-two-design``: the axes are drawn from it, once.
        block_layers: ``identity-blocks``: layers in a block, before their mirror image.
        encoding: a name out of ``models.encoding.ENCODINGS``, or ``amplitude``: the features, normalised, are
            the first amplitudes of the state that the ansatz starts from; there is none without data.
        encoding_repetitions: of ``iqp``, ``zz`` and ``pauli``.
        encoding_entanglement: Qiskit's pattern of pairs, for ``zz`` and ``pauli``.
        encoding_paulis: ``pauli``: strings such as ``Z`` and ``YY``.
        reupload: before how many layers the encoding stands, from the first; true: before all.
    """

    kind: Literal["circuit"]
    qubits: int = Field(ge=1)
    layers: int = Field(ge=1)
    ansatz: Literal[ANSATZ_NAMES] = "hardware-efficient"  # type: ignore[valid-type]
    entanglement: Entanglement | None = None
    rotations: tuple[Rotation, ...] | None = Field(default=None, strict=False, min_length=1)
    entangler: Entangler | None = None
    ansatz_seed: int | None = Field(default=None, ge=0, lt=2**63)
    block_layers: int | None = Field(default=None, ge=1)
    encoding: Literal[ENCODING_NAMES] = "angle"  # type: ignore[valid-type]
    encoding_repetitions: int | None = Field(default=None, ge=1)
    encoding_entanglement: Entanglement | None = None
    encoding_paulis: tuple[str, ...] | None = Field(default=None, strict=False, min_length=1)
    reupload: int = Field(default=1, ge=1, json_schema_extra={"type": ["integer", "boolean"]})

    @field_validator("reupload", mode="before")
    @classmethod
    def _counted(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            return info.data.get("layers", 1) if value else 1
        return value

    @field_validator("rotations")
    @classmethod
    def _turning(cls, rotations: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if rotations is not None and set(rotations) == {"h"}:
            raise refuse("has no parameter; add rx, ry, rz or p")
        return rotations

    @field_validator("encoding_paulis")
    @classmethod
    def _letters(cls, paulis: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in paulis or ():
            if not text or set(text) - set("XYZ"):
                raise refuse(f"has {show(text)}, must be strings of X, Y and Z")
        return paulis

    @property
    def label(self) -> str:
        """What a message calls it."""
        shape = f"{self.ansatz} circuit of {self.qubits} qubits and {self.layers} layers"
        return f"{shape}, observable {self.measured}"

    @property
    def summary(self) -> str:
        """It in a few words."""
        return f"circuit {self.qubits} qubits × {self.layers}"

    def draw(self, features: int) -> Drawing:
        """The circuit in Qiskit's terms.

        Raises:
            InputError: with every fault found.
        """
        operators = self._operators([*self._option_faults(), *self._feature_faults(features)])
        trainable = self._trainable(operators)
        circuit, inputs = trainable.circuit, ()
        amplitudes = bool(features) and self.encoding == AMPLITUDE
        if amplitudes:
            inputs = tuple(_amplitudes(features))
        elif features:
            encoding = self._encoding(features)
            circuit, inputs = with_encoding(trainable, encoding, self.reupload), tuple(encoding.parameters)
        layers, axes = trainable.layers, trainable.axes
        return Drawing(circuit, operators, inputs, layers, axes, trainable.twins, amplitudes)

    def _operators(self, faults: list[Fault]) -> tuple[Operator, ...]:
        """The operators, unless there are faults, their own among them."""
        try:
            operators = self.operators(self.qubits)
        except InputError as error:
            raise InputError([*faults, *error.faults]) from None
        if self.ansatz == "qaoa" and (len(operators) > 1 or operators[0].projector):
            message = "must be one sum of Pauli strings: it is the cost of ansatz: qaoa"
            faults = [*faults, Fault("model.observable", message)]
        if faults:
            raise InputError(faults)
        return operators

    def _trainable(self, operators: tuple[Operator, ...]) -> Trainable:
        ansatz = ANSATZE[self.ansatz]
        cost = {"cost": operators[0].paulis} if "cost" in _options(ansatz) else {}
        return ansatz(self.qubits, self.layers, **self._given(ansatz, ""), **cost)

    def _encoding(self, features: int) -> QuantumCircuit:
        encoding = ENCODINGS[self.encoding]
        return encoding(features, **self._given(encoding, "encoding_"))

    def _given(self, function: Callable[..., Any], prefix: str) -> dict[str, Any]:
        """The options of an ansatz or encoding that are not left out."""
        named = {option: getattr(self, prefix + option, None) for option in _options(function)}
        return {option: value for option, value in named.items() if value is not None}

    def _option_faults(self) -> Iterator[Fault]:
        """Options that the chosen ansatz or encoding does not have, and too many uploads."""
        yield from _misplaced(self, "ansatz", ANSATZE, "")
        yield from _misplaced(self, "encoding", ENCODINGS, "encoding_")
        if self.reupload > 1 and self.encoding == AMPLITUDE:
            yield Fault("model.reupload", "means nothing to encoding: amplitude, a state at the start")
        elif self.reupload > self.layers:
            message = f"is {self.reupload}, more than the {self.layers} layers"
            yield Fault("model.reupload", message)

    def _feature_faults(self, features: int) -> Iterator[Fault]:
        if self.encoding == AMPLITUDE:
            if features > 2**self.qubits:
                needs = f"encoding: amplitude needs {(features - 1).bit_length()} for the {features} features"
                yield Fault("model.qubits", f"is {self.qubits}, but {needs}")
        elif features > self.qubits:
            needs = f"encoding: {self.encoding} needs a qubit for each of the {features} features"
            hint = f"use {features} or more, or data.features: {self.qubits}"
            yield Fault("model.qubits", f"is {self.qubits}, but {needs}; {hint}")
        for text in self.encoding_paulis or ():
            if features and len(text) > features:
                message = f"has {text}, longer than the {features} feature(s)"
                yield Fault("model.encoding_paulis", message)
            elif self.encoding_entanglement == "pairwise" and len(text) > 2:
                message = f"has {text}, longer than the pairs of encoding_entanglement: pairwise"
                yield Fault("model.encoding_paulis", message)


def _misplaced(
    config: Circuit, key: str, family: Mapping[str, Callable[..., Any]], prefix: str
) -> Iterator[Fault]:
    chosen = getattr(config, key)
    for option in dict.fromkeys(option for function in family.values() for option in _options(function)):
        given = getattr(config, prefix + option, None) is not None
        if given and option not in (_options(family[chosen]) if chosen in family else ()):
            owners = ", ".join(name for name, function in family.items() if option in _options(function))
            yield Fault(f"model.{prefix}{option}", f"means nothing to {key}: {chosen} (legal with: {owners})")


def _amplitudes(count: int) -> Any:
    from qiskit.circuit import ParameterVector

    return ParameterVector("x", count)


def _options(function: Callable[..., Any]) -> list[str]:
    """The keywords that an ansatz or an encoding takes."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
