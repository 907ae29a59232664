"""Every engine on every backend supports every kind of circuit with equal results, or says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import DEVICES

from orchestrator import user_code
from orchestrator.engines.gradient import Shard
from orchestrator.errors import InputError
from orchestrator.streams import Purpose, Streams
from orchestrator.trial.problem import Problem, problem
from orchestrator.trial.trial import Trial

USER_MODULE = """
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector


def curved():
    x, t = ParameterVector("x", 2), ParameterVector("t", 4)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.rx(x[qubit], qubit)
        circuit.ry(t[qubit] ** 2 + x[0] * t[qubit], qubit)
    circuit.crz(t[2], 0, 1)
    circuit.rx(t[3] + t[0], 1)
    circuit.ry(t[2], 0)
    return circuit
"""

MODELS: dict[str, dict[str, Any]] = {
    "zero projector": {"qubits": 3, "layers": 2, "observable": "zero-projector"},
    "sum": {"qubits": 3, "layers": 2, "observable": {"Z0": 0.5, "X0 Y1": -0.3}},
    "zz encoding": {"qubits": 3, "layers": 2, "encoding": "zz"},
    "iqp encoding": {"qubits": 3, "layers": 2, "encoding": "iqp"},
    "drawn axes": {"qubits": 3, "layers": 2, "ansatz": "random-pauli"},
    "curved angles": {"python": "curved_circuit:curved", "inputs": ["x"], "observable": "Z0 Z1"},
}
AER = {"kind": "aer"}
EXACT: dict[str, dict[str, Any]] = {
    "parameter shift": {"engine": "parameter-shift"},
    "finite differences": {"engine": "finite-difference"},
}
ON_AER: dict[str, dict[str, Any]] = {
    "parameter shift": {"engine": "parameter-shift", "backend": AER},
    "parameter shift on density matrices": {
        "engine": "parameter-shift",
        "backend": {**AER, "method": "density_matrix"},
    },
    "adjoint": {"engine": "adjoint", "backend": AER},
    "finite differences": {"engine": "finite-difference", "backend": AER},
}
ADJOINT = {"engine": "adjoint"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's module."""
    path = tmp_path_factory.mktemp("modules")
    (path / "curved_circuit.py").write_text(USER_MODULE)
    return path


def ready(model: str, gradient: dict[str, Any], folder: Path) -> Problem:
    trial = {
        "data": {"source": "moons", "rows": 20},
        "model": {"kind": "circuit", **MODELS[model]},
        "loss": "mse",
        "gradient": gradient,
        "updates": [{"optimizer": "sgd", "learning_rate": 0.1}],
        "batch": {"size": 4},
        "steps": 1,
    }
    user_code.allow(user_code.Trust((str(folder),)))
    return problem(Trial.parse(trial, folder=str(folder)))


def gradient(model: str, engine: dict[str, Any], folder: Path) -> np.ndarray[Any, Any]:
    """[P] of a mini-batch of four, at one random point."""
    made, streams = ready(model, engine, folder), Streams([5], 0)
    shard = Shard(
        inputs=np.pi * streams.uniform(Purpose.DATA, 8).reshape(1, 4, 2),
        targets=np.array([[0.0, 1.0, 1.0, 0.0]]),
        weights=np.full((1, 4), 0.25),
        axes=(streams.bits(Purpose.AXES, made.model.axes) % np.uint64(3)).astype(np.int8),
        streams=streams,
        number=0,
    )
    return made.differentiator.gradient(made.model.initial(streams), shard).gradient[0]


@pytest.mark.parametrize("engine", EXACT)
@pytest.mark.parametrize("model", MODELS)
def test_exact_engines_agree(model: str, engine: str, folder: Path) -> None:
    check_exact(model, EXACT[engine], folder)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ON_AER)
@pytest.mark.parametrize("model", MODELS)
def test_exact_engines_agree_on_every_device_of_aer(
    model: str, engine: str, device: str, folder: Path
) -> None:
    settings = ON_AER[engine]
    check_exact(model, {**settings, "backend": {**settings["backend"], "device": device}}, folder)


def check_exact(model: str, engine: dict[str, Any], folder: Path) -> None:
    """Compares with the adjoint gradient on the batched kernel."""
    # central differences of step 1e-5: error near 1e-8 relative; rounding alone for all others
    tolerance = 1e-7 if engine["engine"] == "finite-difference" else 1e-10
    found = gradient(model, engine, folder)
    assert found == pytest.approx(gradient(model, ADJOINT, folder), abs=tolerance)


def test_projector_is_not_measured_from_shots(folder: Path) -> None:
    shots = {"engine": "parameter-shift", "backend": {**AER, "shots": 100}}
    with pytest.raises(InputError, match="leave gradient"):
        gradient("zero projector", shots, folder)


def test_shots_through_computed_angles_have_the_right_mean_and_variance(folder: Path) -> None:
    shots, repetitions = 50, 3000
    sampled = {"engine": "parameter-shift", "backend": {"kind": "batched", "shots": shots}}
    made, streams = ready("curved angles", sampled, folder), Streams(np.arange(repetitions), 0)
    one = Streams([5], 0)
    shard = Shard(
        inputs=np.repeat(one.uniform(Purpose.DATA, 4).reshape(1, 2, 2), repetitions, 0),
        targets=np.tile([0.0, 1.0], (repetitions, 1)),
        weights=np.full((repetitions, 2), 0.5),
        axes=np.zeros((repetitions, 0), np.int8),
        streams=streams,
        number=0,
    )
    parameters = np.repeat(made.model.initial(one), repetitions, 0)
    total = made.differentiator.gradient(parameters, shard)
    exact = ready("curved angles", ADJOINT, folder).differentiator.gradient(
        parameters[:1],
        replace(
            shard,
            inputs=shard.inputs[:1],
            targets=shard.targets[:1],
            weights=shard.weights[:1],
            axes=shard.axes[:1],
            streams=one,
        ),
    )
    deviation, predicted = total.gradient - exact.gradient, total.noise.gradient.mean(0)
    # five standard errors of a mean, and of a variance of nearly normal numbers
    assert (np.abs(deviation.mean(0)) < 5.0 * np.sqrt(predicted / repetitions)).all()
    np.testing.assert_allclose(np.square(deviation).mean(0), predicted, rtol=5.0 * np.sqrt(2.0 / repetitions))
