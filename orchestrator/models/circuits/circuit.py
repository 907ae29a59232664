"""A variational circuit, built from an ansatz and an encoding by name."""

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

    Trainable angles start uniform in [0, 2π). Groups are the ansatz's layers. An option that is left out
    has the default of the ansatz or the encoding.

    Attributes:
        qubits: number of qubits.
        layers: repetitions of the ansatz.
        ansatz: a key of ``models.circuits.ansatz.ANSATZE``.
        entanglement: Qiskit's pattern of pairs, for ``real-amplitudes``, ``efficient-su2`` and ``two-local``.
        rotations: gates on each qubit, in order, for ``two-local``.
        entangler: gate on each pair, for ``two-local``.
        ansatz_seed: seed of the axes, which are drawn once, for ``pauli-two-design``.
        block_layers: layers in a block, before their mirror image, for ``identity-blocks``.
        encoding: a key of ``models.circuits.encoding.ENCODINGS``, or ``amplitude``: the normalised features
            are the first amplitudes of the initial state. Without data there is no encoding.
        encoding_repetitions: number of repetitions, for ``iqp``, ``zz`` and ``pauli``.
        encoding_entanglement: Qiskit's pattern of pairs, for ``zz`` and ``pauli``.
        encoding_paulis: Pauli strings such as ``Z`` and ``YY``, for ``pauli``.
        reupload: the encoding stands before each of the first ``reupload`` layers; true: before all layers.
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
    def _layer_count(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            return info.data.get("layers", 1) if value else 1
        return value

    @field_validator("rotations")
    @classmethod
    def _parametrised(cls, rotations: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if rotations is not None and set(rotations) == {"h"}:
            raise refuse("has no parameter; add rx, ry, rz or p")
        return rotations

    @field_validator("encoding_paulis")
    @classmethod
    def _pauli_letters(cls, paulis: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in paulis or ():
            if not text or set(text) - set("XYZ"):
                raise refuse(f"has {show(text)}, must be strings of X, Y and Z")
        return paulis

    @property
    def label(self) -> str:
        """The circuit's name in messages."""
        shape = f"{self.ansatz} circuit of {self.qubits} qubits and {self.layers} layers"
        return f"{shape}, observable {self.observable_label}"

    @property
    def summary(self) -> str:
        """The circuit in a few words: ``circuit 4 qubits × 3``."""
        return f"circuit {self.qubits} qubits × {self.layers}"

    def draw(self, features: int) -> Drawing:
        """Draws the circuit with Qiskit.

        Raises:
            InputError: with every fault.
        """
        operators = self._operators([*self._option_faults(), *self._feature_faults(features)])
        self._check_size(features, operators)
        trainable = self._trainable(operators)
        circuit, inputs = trainable.circuit, ()
        amplitudes = bool(features) and self.encoding == AMPLITUDE
        if amplitudes:
            inputs = tuple(_amplitude_inputs(features))
        elif features:
            encoding = self._encoding(features)
            circuit, inputs = with_encoding(trainable, encoding, self.reupload), tuple(encoding.parameters)
        layers, axes = trainable.layers, trainable.axes
        return Drawing(circuit, operators, inputs, layers, axes, trainable.twins, amplitudes)

    def _operators(self, faults: list[Fault]) -> tuple[Operator, ...]:
        """Returns the operators; raises InputError with ``faults`` and the observables' own faults."""
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
        """Raises InputError if the circuit would have too many gates, before it is drawn."""
        options = self._set_options(ANSATZE[self.ansatz], "")
        if self.ansatz == "qaoa":
            options["cost"] = operators[0].paulis.paulis.to_labels()
        count = ansatz_gates(self.ansatz, self.qubits, self.layers, **options)
        if features and self.encoding != AMPLITUDE:
            encoding = self._set_options(ENCODINGS[self.encoding], "encoding_")
            count += self.reupload * encoding_gates(self.encoding, features, **encoding)
        if count > MOST_GATES:
            message = f"circuit of {self.qubits} qubits and {self.layers} layers has about {count:,} gates"
            legal = f"(legal: at most {MOST_GATES:,}); use fewer qubits or layers"
            raise InputError.at("model", f"{message} {legal}")

    def _trainable(self, operators: tuple[Operator, ...]) -> Trainable:
        ansatz = ANSATZE[self.ansatz]
        cost = {"cost": operators[0].paulis} if "cost" in _options(ansatz) else {}
        return ansatz(self.qubits, self.layers, **self._set_options(ansatz, ""), **cost)

    def _encoding(self, features: int) -> QuantumCircuit:
        encoding = ENCODINGS[self.encoding]
        return encoding(features, **self._set_options(encoding, "encoding_"))

    def _set_options(self, function: Callable[..., Any], prefix: str) -> dict[str, Any]:
        """Returns the options of an ansatz or encoding that are not left out."""
        values = {option: getattr(self, prefix + option, None) for option in _options(function)}
        return {option: value for option, value in values.items() if value is not None}

    def _option_faults(self) -> Iterator[Fault]:
        """Yields faults for options of another ansatz or encoding, and for too many uploads."""
        yield from _foreign_options(self, "ansatz", ANSATZE, "")
        yield from _foreign_options(self, "encoding", ENCODINGS, "encoding_")
        if self.reupload > 1 and self.encoding == AMPLITUDE:
            message = "is not an option of encoding: amplitude, which prepares the initial state"
            yield Fault("model.reupload", message)
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
            hint = f"use at least {features} qubits, or at most {self.qubits} features"
            yield Fault("model.qubits", f"is {self.qubits}, but {needs}; {hint}")
        for text in self.encoding_paulis or ():
            if features and len(text) > features:
                message = f"has {text}, longer than the {features} feature(s)"
                yield Fault("model.encoding_paulis", message)
            elif self.encoding_entanglement == "pairwise" and len(text) > 2:
                message = f"has {text}, longer than the pairs of encoding_entanglement: pairwise"
                yield Fault("model.encoding_paulis", message)


def _foreign_options(
    config: Circuit, key: str, family: Mapping[str, Callable[..., Any]], prefix: str
) -> Iterator[Fault]:
    """Yields a fault for each option in use that the chosen member of the family does not have."""
    chosen = getattr(config, key)
    for option in dict.fromkeys(option for function in family.values() for option in _options(function)):
        in_use = getattr(config, prefix + option, None) is not None
        if in_use and option not in (_options(family[chosen]) if chosen in family else ()):
            owners = ", ".join(name for name, function in family.items() if option in _options(function))
            message = f"is not an option of {key}: {chosen} (legal with: {owners})"
            yield Fault(f"model.{prefix}{option}", message)


def _amplitude_inputs(count: int) -> Any:
    from qiskit.circuit import ParameterVector

    return ParameterVector("x", count)


def _options(function: Callable[..., Any]) -> list[str]:
    """Returns the names of the keywords that an ansatz or an encoding takes."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
