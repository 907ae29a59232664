"""Quantum gradients are certified: compared with Qiskit's own circuit on Aer before anything counts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from random_circuits import (
    ADJOINT,
    ROUNDING,
    circuit,
    program_of,
)

import orchestrator
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.errors import CertificateError
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing
from orchestrator.models.circuits.observable import Operator
from orchestrator.streams import Purpose, Streams

SWEEP = """\
name: certified
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4}
  steps: 2
sweep:
  - model.layers: [1, 2]
  - seed: [0, 1]
"""
"""Two structures of two trials."""


def trials_of(tmp_path: Path, *overrides: str) -> pd.DataFrame:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    where = orchestrator.Where(inline=True)
    orchestrator.run(tmp_path / "sweep.yaml", tmp_path / "run", where=where, overrides=overrides)
    return pd.read_parquet(tmp_path / "run" / "trials")


def test_every_trial_has_the_deviation_of_its_structure(tmp_path: Path) -> None:
    trials = trials_of(tmp_path)
    assert set(trials.status) == {"done"}
    assert trials.certificate.between(0.0, ROUNDING).all()
    assert (trials.groupby("model.layers").certificate.nunique() == 1).all()


def test_wrongly_computed_structure_fails_with_all_its_trials_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = BatchedProgram.parts

    def parts(self, *point):
        for part in exact(self, *point):
            part.derivative[:] *= 1.0 + 1e-6 * (self.program.parameters == 8)
            yield part

    monkeypatch.setattr(BatchedProgram, "parts", parts)
    other = "base.data.rows=24"  # a structure that this process has not certified yet
    trials = trials_of(tmp_path, other).set_index("model.layers")
    assert set(trials.status[1]) == {"done"}
    assert set(trials.status[2]) == {"failed"}
    assert trials.error[2].str.contains("dE/dθ_0 is").all()
    assert trials.error[2].str.contains("no result of this structure can be trusted").all()
    assert trials.final_loss[2].isna().all()


@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
def test_certificate_is_a_rounding_error(ansatz: str):
    deviation = ADJOINT.certify(circuit(3, 2, 2, ansatz=ansatz, observable="XYZ"), 5)
    assert deviation is not None
    assert deviation < ROUNDING


def test_certificate_holds_for_shared_parameters_in_controlled_rotations():
    theta, phi = Parameter("θ"), Parameter("φ")
    drawn = QuantumCircuit(2)
    drawn.h([0, 1])
    drawn.crx(theta, 0, 1)
    drawn.ry(2 * theta, 0)
    drawn.cp(phi, 1, 0)
    drawn.rx(phi + 1, 1)
    program = program_of(
        Drawing(drawn, (Operator(SparsePauliOp(["ZY", "XI"], [1.0, 0.5])),), (), ((theta, phi),), 0)
    )
    deviation = ADJOINT.certify(program, 0)
    assert deviation is not None
    assert deviation < ROUNDING


def test_certificate_of_a_circuit_without_trainable_parameters_is_that_of_its_value():
    drawn = QuantumCircuit(1)
    drawn.ry(0.3, 0)
    program = program_of(Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), (), 0))
    assert ADJOINT.certify(program, 0) == pytest.approx(0.0, abs=ROUNDING)


def test_no_certificate_is_due_above_16_qubits():
    assert ADJOINT.certify(circuit(17, 1), 0) is None


@pytest.mark.parametrize("field", ["axis", "scale", "offset", "qubit", "parameter"])
def test_certificate_fails_when_a_gate_was_read_wrong(field: str):
    program = circuit(3, 2, 3, observable="ZZZ")
    gates = program.gates.copy()
    trainable = np.flatnonzero(gates["parameter"] == 0)
    wrong = {"axis": 2, "scale": 1.001, "offset": 1e-6, "qubit": 1, "parameter": 1}
    gates[field][trainable] = wrong[field]
    with pytest.raises(
        CertificateError, match=r"hardware-efficient circuit of 3 qubits and 2 layers.*Aer gives"
    ):
        ADJOINT.certify(replace(program, gates=gates), 0)


def test_certificate_fails_when_the_observable_was_read_wrong():
    program = circuit(3, 2, observable="Z0")
    with pytest.raises(CertificateError, match="E_0 is"):
        ADJOINT.certify(replace(program, observables=circuit(3, 2, observable="Z1").observables), 0)


def test_certificate_fails_where_a_value_is_not_a_number():
    program = circuit(3, 2, 3, observable="ZZZ")
    gates = program.gates.copy()
    gates["offset"][0] = math.nan
    with pytest.raises(CertificateError, match="E_0 is nan, Aer gives"):
        ADJOINT.certify(replace(program, gates=gates), 0)


@pytest.mark.parametrize("position", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("error", [1e-6, math.nan])
def test_certificate_fails_when_a_derivative_alone_is_wrong(
    position: int, error: float, monkeypatch: pytest.MonkeyPatch
):
    program, exact = circuit(3, 2, 3, observable="ZZZ"), BatchedProgram.parts
    k = np.flatnonzero(~program.dead)[position]

    def parts(self, *point):
        for part in exact(self, *point):
            part.derivative[:, k] += error
            yield part

    monkeypatch.setattr(BatchedProgram, "parts", parts)
    with pytest.raises(CertificateError, match=rf"dE/dθ_{k} is .*Aer gives"):
        ADJOINT.certify(program, 0)


def test_certificate_point_depends_on_the_seed_alone():
    program = circuit(3, 2, 3, ansatz="random-pauli")
    assert ADJOINT.certify(program, 1) == ADJOINT.certify(program, 1)
    assert not np.array_equal(
        Streams([1], 0).uniform(Purpose.PARAMETERS, 3), Streams([2], 0).uniform(Purpose.PARAMETERS, 3)
    )
