"""A readable simulator in NumPy, gate by gate, which the compiled kernels are compared with.

It shares no code with a kernel. A state is complex128 [N, 2^n], one row per sample. Qubit q is bit q of an
amplitude's index. Every gate is executed, in the order of the program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.models.circuits.expression import evaluate
from orchestrator.models.circuits.gates import NONE, Observable, Opcode, RotationAxis
from orchestrator.models.circuits.program import Program

States = NDArray[np.complex128]
Reals = NDArray[np.float64]

X, Y, Z = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


@dataclass(frozen=True)
class Samples:
    """The parameters, inputs and axes of N samples.

    Attributes:
        parameters: float64 [N, P + computed angles].
        inputs: float64 [N, F + computed features].
        axes: int8 [N, A].
    """

    parameters: Reals
    inputs: Reals
    axes: NDArray[np.int8]


def simulate(
    program: Program, parameters: Reals, inputs: Reals, axes: NDArray[np.int8]
) -> tuple[Reals, Reals]:
    """Returns expectation values [R, B, K] and their derivatives [R, B, K, P].

    Args:
        parameters: float64 [R, P].
        inputs: float64 [R, B, F].
        axes: int8 [R, A].
    """
    samples = expand(program, flatten(parameters, inputs, axes))
    final = initial_states(program, samples)
    for gate in program.gates:
        final = apply(gate, final, samples, 1.0)
    values, derivatives = zip(
        *(differentiate(program, observable, final, samples) for observable in program.observables),
        strict=True,
    )
    shape = (*inputs.shape[:2], program.outputs)
    by_parameters = chain(program, np.stack(derivatives, 1), samples)
    return np.stack(values, 1).reshape(shape), by_parameters.reshape(*shape, program.parameters)


def flatten(parameters: Reals, inputs: Reals, axes: NDArray[np.int8]) -> Samples:
    """Returns all samples of all rows, each with its row's parameters and axes."""
    rows, samples, features = inputs.shape
    flat = inputs.reshape(rows * samples, features)
    return Samples(np.repeat(parameters, samples, 0), flat, np.repeat(axes, samples, 0))


def expand(program: Program, samples: Samples) -> Samples:
    """Appends the program's computed angles to the parameters, and its computed features to the inputs."""
    parameters, inputs = samples.parameters, samples.inputs
    angles = [evaluate(angle.value, parameters, inputs) for angle in program.angles]
    features = [evaluate(feature.value, parameters, inputs) for feature in program.features]
    return Samples(np.column_stack([parameters, *angles]), np.column_stack([inputs, *features]), samples.axes)


def chain(program: Program, derivatives: Reals, samples: Samples) -> Reals:
    """Returns derivatives [N, K, P] by parameters, from those by parameters and angles [N, K, P + angles]."""
    total = derivatives[..., : program.parameters].copy()
    for index, angle in enumerate(program.angles, program.parameters):
        for k, slope in angle.slopes:
            along = evaluate(slope, samples.parameters, samples.inputs)
            total[..., k] += derivatives[..., index] * along[:, None]
    return total


def initial_states(program: Program, samples: Samples) -> States:
    """Returns |0…0>, or the states whose first amplitudes are the normalised inputs."""
    states = np.zeros((len(samples.inputs), 2**program.qubits), np.complex128)
    if program.amplitudes:
        lengths = np.linalg.norm(samples.inputs, axis=1, keepdims=True)
        states[:, : program.inputs] = samples.inputs / lengths
    else:
        states[:, 0] = 1.0
    return states


def apply(gate: np.void, states: States, samples: Samples, direction: float) -> States:
    """Applies a gate, or its inverse if ``direction`` is -1."""
    if gate["opcode"] == Opcode.ROTATION:
        half = direction * angle(gate, samples)[:, None, None] / 2
        rotation = np.cos(half) * np.eye(2) - 1j * np.sin(half) * pauli(gate, samples)
        return on_qubit(rotation, int(gate["qubit"]), states)
    index = np.arange(states.shape[1])
    qubit, other = index >> gate["qubit"] & 1, index >> gate["other"] & 1
    if gate["opcode"] == Opcode.CX:
        return states[:, index ^ qubit << gate["other"]]
    return states * (1 - 2 * (qubit & other))


def angle(gate: np.void, samples: Samples) -> Reals:
    """Returns θ [N] of a rotation exp(-iθP/2)."""
    source = np.zeros(len(samples.inputs))
    if gate["parameter"] != NONE:
        source = samples.parameters[:, gate["parameter"]]
    elif gate["input"] != NONE:
        source = samples.inputs[:, gate["input"]]
    return gate["scale"] * source + gate["offset"]


def pauli(gate: np.void, samples: Samples) -> States:
    """Returns the Pauli matrix P [N, 2, 2] of a rotation: one for all samples, or a drawn one for each."""
    drawn = gate["axis"] - RotationAxis.DRAWN
    axis = samples.axes[:, drawn] if drawn >= 0 else np.full(len(samples.inputs), gate["axis"])
    return np.stack([X, Y, Z])[axis]


def on_qubit(matrices: States, qubit: int, states: States) -> States:
    """Applies a matrix [2, 2], or one per sample [N, 2, 2], to one qubit."""
    split = states.reshape(len(states), -1, 2, 2**qubit)
    matrices = np.broadcast_to(matrices, (len(states), 2, 2))
    return np.einsum("nij,najb->naib", matrices, split).reshape(states.shape)


def apply_observable(observable: Observable, states: States) -> States:
    """Returns O|ψ>."""
    result = np.zeros_like(states)
    for term in observable.terms:
        image = states
        for qubit in range(max(term.x, term.z).bit_length()):
            x, z = term.x >> qubit & 1, term.z >> qubit & 1
            image = on_qubit(Y if x and z else X if x else Z, qubit, image) if x or z else image
        result += term.coefficient * image
    result[:, 0] += observable.projector * states[:, 0]
    return result


def differentiate(
    program: Program, observable: Observable, final: States, samples: Samples
) -> tuple[Reals, Reals]:
    """Returns E = <ψ|O|ψ> [N], and dE/dθ [N, P + angles], by undoing the gates one by one.

    Right after a rotation exp(-iθP/2), dψ/dθ = -i/2 Pψ. So dE/dθ = 2 Re<λ|dψ/dθ> = Im<λ|P|ψ>, with λ = Oψ
    taken back through the same gates (Jones and Gacon 2020, arXiv 2009.02823).
    """
    psi, lam = final, apply_observable(observable, final)
    value = inner(psi, lam).real
    derivative = np.zeros_like(samples.parameters)
    for gate in program.gates[::-1]:
        if gate["parameter"] != NONE:
            image = on_qubit(pauli(gate, samples), int(gate["qubit"]), psi)
            derivative[:, gate["parameter"]] += gate["scale"] * inner(lam, image).imag
        psi, lam = apply(gate, psi, samples, -1.0), apply(gate, lam, samples, -1.0)
    return value, derivative


def inner(bra: States, ket: States) -> NDArray[np.complex128]:
    """Returns <bra|ket> [N]."""
    return (bra.conj() * ket).sum(1)
