"""A variational circuit, built by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.config.base import Field, ValidationInfo, field_validator, refuse
from orchestrator.config.text import show
from orchestrator.errors import Fault, InputError
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing, Trainable, with_encoding
from orchestrator.models.circuits.any_circuit import AnyCircuit
from orchestrator.models.circuits.encoding import AMPLITUDE, ENCODINGS
from orchestrator.models.circuits.size import MOST_GATES, MOST_QUBITS, ansatz_gates, encoding_gates

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from orchestrator.models.circuits.observable import Operator

ANSATZ_NAMES: tuple[str, ...] = tuple(ANSATZE)
ENCODING_NAMES: tuple[str, ...] = (*ENCODINGS, AMPLITUDE)

Entanglement = Literal["full", "linear", "reverse_linear", "circular", "sca", "pairwise"]
Rotation = Literal["rx", "ry", "rz", "p", "h"]
Entangler = Literal[
    "cx", "cy", "cz", "ch", "swap", "iswap", "ecr", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx"
]


class Circuit(AnyCircuit):
    """A feature map, an ansatz, and an observable whose expectation value is the prediction.

    Trainable angles start uniform in [0, 2π). Groups are the ansatz's layers. Options that are left out
    are those of the ansatz or the encoding, as documented there.

    Attributes:
        qubits: number of qubits.
        layers: repetitions of the ansatz.
        ansatz: a name out of ``models.circuits.ansatz.ANSATZE``.
        entanglement: ``real-amplitudes``, ``efficient-su2``, ``two-local``: Qiskit's pattern of pairs.
        rotations: ``two-local``: gates on each qubit, in order.
        entangler: ``two-local``: gate on each pair.
        ansatz_seed: ``pauli-two-design``: the axes are drawn from it, once.
        block_layers: ``identity-blocks``: layers in a block, before their mirror image.
        encoding: a name out of ``models.circuits.encoding.ENCODINGS``, or ``amplitude``: the features,
            normalised, are the first amplitudes of the state that the ansatz starts from; there is none
            without data.
        encoding_repetitions: of ``iqp``, ``zz`` and ``pauli``.
        encoding_entanglement: Qiskit's pattern of pairs, for ``zz`` and ``pauli``.
        encoding_paulis: ``pauli``: strings such as ``Z`` and ``YY``.
        reupload: before how many layers the encoding stands, from the first; true: before all.
    """

    kind: Literal["circuit"]
    qubits: int = Field(ge=1, le=MOST_QUBITS)
    layers: int = Field(ge=1, le=MOST_GATES)
    ansatz: Literal[ANSATZ_NAMES] = "hardware-efficient"  # type: ignore[valid-type]
    entanglement: Entanglement | None = None
    rotations: tuple[Rotation, ...] | None = Field(default=None, strict=False, min_length=1)
    entangler: Entangler | None = None
    ansatz_seed: int | None = Field(default=None, ge=0, lt=2**63)
    block_layers: int | None = Field(default=None, ge=1, le=MOST_GATES)
    encoding: Literal[ENCODING_NAMES] = "angle"  # type: ignore[valid-type]
    encoding_repetitions: int | None = Field(default=None, ge=1, le=MOST_GATES)
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
        return f"{shape}, observable {self.observable_label}"

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
        self._check_size(features, operators)
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

    def _check_size(self, features: int, operators: tuple[Operator, ...]) -> None:
        """Refuses a circuit of too many gates before it is drawn."""
        given = self._given(ANSATZE[self.ansatz], "")
        if self.ansatz == "qaoa":
            given["cost"] = operators[0].paulis.paulis.to_labels()
        count = ansatz_gates(self.ansatz, self.qubits, self.layers, **given)
        if features and self.encoding != AMPLITUDE:
            encoding = self._given(ENCODINGS[self.encoding], "encoding_")
            count += self.reupload * encoding_gates(self.encoding, features, **encoding)
        if count > MOST_GATES:
            message = f"circuit of {self.qubits} qubits and {self.layers} layers has some {count:,} gates"
            raise InputError.at("model", f"{message}, at most {MOST_GATES:,} are read; take fewer of either")

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
            hint = f"use {features} or more, or no more than {self.qubits} of them"
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
