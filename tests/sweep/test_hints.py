"""Warnings of plans: observables whose expectation value can leave the range of the loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from sweeps import plan

from orchestrator.cli import orchestrator as command_line
from orchestrator.models.circuits.gates import Observable, Term
from orchestrator.sweep.file import load
from orchestrator.sweep.hints import expectation_bounds, hints

CIRCUIT = """\
name: circuit
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1, observable: {Z0: 1, Z1: 1}}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4}
  steps: 1
"""
JOBS = sorted((ROOT / "jobs").glob("*.yaml"))


def found(observable: str, loss: str = "mse", data: str = "moons, rows: 20, scale: angle") -> list[str]:
    base = CIRCUIT.replace("{Z0: 1, Z1: 1}", observable).replace("loss: mse", f"loss: {loss}")
    return hints(plan(base=base.replace("moons, rows: 20, scale: angle", data)))


def test_every_structure_is_looked_at_and_each_hint_is_there_once() -> None:
    observables = "model.observable: [{Z0: 1, Z1: 2}, {Z0: 1, Z1: 3}]"
    warnings = hints(plan(observables, "model.layers: [1, 2]", base=CIRCUIT))
    assert len(warnings) == len(set(warnings)) == 4
    assert sum("from -4 to 4" in hint for hint in warnings) == 2


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ("mse", "labels are -1 and 1"),
        ("hinge", "a margin of 1"),
        ("linear", "(1 - yE)/2 then leaves [0, 1]"),
        ("cross-entropy", "(1 + E)/2 is then no probability, and the loss has no meaning"),
        ("binary-cross-entropy", "(1 + E)/2 is then no probability, and the loss has no meaning"),
    ],
)
def test_coefficients_that_sum_above_one_are_warned_of(loss: str, reason: str) -> None:
    (hint,) = found("{Z0: 1, Z1: -1}", loss)
    assert hint.startswith(
        "circuit 2 qubits × 1: the observable's E can reach from -2 to 2, "
        f"and loss: {loss} takes E in [-1, 1]: "
    )
    assert reason in hint
    assert hint.endswith("divide the coefficients by 2")


@pytest.mark.parametrize(
    "observable",
    [
        "Z0",
        "{Z0: 0.5, Z0 Z1: -0.5}",
        "{Z0: 0.1, Z1: 0.2, X0: 0.7}",
        "{I: 1, zero-projector: -1}",
        "{I: 0.5, X1: 0.5}",
    ],
)
def test_what_stays_within_one_is_not_warned_of(observable: str) -> None:
    assert found(observable) == []


def test_losses_that_take_any_value_are_not_warned_of() -> None:
    assert found("{Z0: 3}", "mse", "sine, rows: 20") == []
    energy = CIRCUIT.replace("  data: {source: moons, rows: 20, scale: angle}\n", "").replace(
        "{size: 4}", "{}"
    )
    assert hints(plan(base=energy.replace("loss: mse", "loss: expectation"))) == []
    softmax = "{kind: circuit, qubits: 2, layers: 1, observables: [{Z0: 9}, {Z1: 9}], readout: softmax}"
    assert hints(plan(f"model: [{softmax}]", base=CIRCUIT.replace("loss: mse", "loss: cross-entropy"))) == []


def test_last_circuit_of_a_hybrid_is_looked_at() -> None:
    last = "{kind: circuit, qubits: 2, layers: 1, observable: {Z0: 2}}"
    hybrid = f"{{kind: hybrid, layers: [{{kind: dense, units: 2}}, {last}]}}"
    (hint,) = hints(plan(f"model: [{hybrid}]", base=CIRCUIT))
    assert "from -2 to 2" in hint


def test_hint_is_given_once_for_all_structures_alike() -> None:
    assert len(hints(plan("batch.size: [2, 3, 4]", base=CIRCUIT))) == 1


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_jobs_give_no_reason_to_warn(job: Path) -> None:
    assert hints(load(job).plan) == []


@given(
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.floats(-2, 2), min_size=1),
    st.floats(-2, 2),
)
def test_expectation_values_lie_within_the_bounds(
    strings: dict[tuple[int, int], float], projector: float
) -> None:
    """Against the eigenvalues of the matrix, two qubits."""
    paulis = {
        (0, 0): np.eye(2),
        (1, 0): [[0, 1], [1, 0]],
        (1, 1): [[0, -1j], [1j, 0]],
        (0, 1): [[1, 0], [0, -1]],
    }
    matrix = np.zeros((4, 4), complex)
    for (x, z), coefficient in strings.items():
        high, low = (np.asarray(paulis[x >> q & 1, z >> q & 1], complex) for q in (1, 0))
        matrix += coefficient * np.kron(high, low)
    matrix[0, 0] += projector
    terms = tuple(Term(coefficient, x, z) for (x, z), coefficient in strings.items())
    low, high = expectation_bounds(Observable(terms, projector))
    values = np.linalg.eigvalsh(matrix)
    # Rounding of eigenvalues of size 30 at most.
    assert low - 1e-12 <= values[0]
    assert values[-1] <= high + 1e-12


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_plan_and_run_say_so(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(CIRCUIT)
    result = CliRunner().invoke(command_line, [verb, "a.yaml", *(["--inline"] if verb == "run" else [])])
    assert result.exit_code == 0, result.output
    assert (
        result.output.count("warning: circuit 2 qubits × 1: the observable's E can reach from -2 to 2") == 1
    )
