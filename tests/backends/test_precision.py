"""Amplitudes in complex64: equal to complex128 within rounding errors, and equally reproducible."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_circuits import circuit, drawings, point, program_of, shard
from sums import assert_same_bits, rows_of

from orchestrator.backends.batched import differentiator, kernel, wide
from orchestrator.backends.batched.differentiator import WIDE_QUBITS, BatchedProgram
from orchestrator.config.base import ConfigError
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.certificate import TOLERANCE, certify, tolerance
from orchestrator.engines.finite_difference import FiniteDifference
from orchestrator.engines.gradient import Shard
from orchestrator.engines.spsa import Spsa
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing
from orchestrator.models.circuits.program import Program

SINGLE: dict[str, Any] = {"kind": "batched", "precision": "complex64"}
ADJOINT = Adjoint.parse({"engine": "adjoint", "backend": SINGLE})


def assert_close(program: Program, rows: int, samples: int, seed: int = 0) -> None:
    """Asserts that E and dE/dθ agree in both precisions, within the worst case of ``tolerance``."""
    parameters, inputs, axes = point(program, rows, samples, seed)
    (single,) = BatchedProgram(program, "complex64").parts(parameters, inputs, axes)
    (double,) = BatchedProgram(program).parts(parameters, inputs, axes)
    allowed = tolerance(program, "complex64")
    np.testing.assert_allclose(single.expectation, double.expectation, rtol=0.0, atol=allowed)
    np.testing.assert_allclose(single.derivative, double.derivative, rtol=0.0, atol=allowed)
    assert single.expectation.dtype == single.derivative.dtype == np.float64


@given(drawings(), st.integers(0, 1000), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_complex64_agrees_with_complex128_on_random_circuits(
    monkeypatch: pytest.MonkeyPatch, drawing: Drawing, seed: int, amplitudes_in_lanes: bool
):
    monkeypatch.setattr(differentiator, "WIDE_QUBITS", 0 if amplitudes_in_lanes else WIDE_QUBITS)
    assert_close(program_of(drawing), 2, 5, seed)


@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
def test_complex64_agrees_with_complex128_on_named_circuits(ansatz: str):
    assert_close(circuit(5, 4, 3, ansatz=ansatz), 3, 5)


@pytest.mark.parametrize("qubits", [10, WIDE_QUBITS])
def test_errors_of_complex64_are_roundings_of_float32(qubits: int):
    """Errors of float32 grow with the root of the depth. In float64 by mistake, they would be below 1e-14."""
    program = circuit(qubits, 6, 4)
    parameters, inputs, axes = point(program, 1, 2)
    (single,) = BatchedProgram(program, "complex64").parts(parameters, inputs, axes)
    (double,) = BatchedProgram(program).parts(parameters, inputs, axes)
    error = np.abs(single.derivative - double.derivative).max()
    assert 1e-11 < error < 1e-6


def test_complex64_row_has_the_same_bits_alone_and_among_others():
    program = circuit(4, 3, 4)
    parameters, part = shard(program, 9, 5)
    ready = ADJOINT.prepare(program, "mse", 2)
    together = ready.gradient(parameters, part)
    for row in range(9):
        span = slice(row, row + 1)
        alone = Shard(part.inputs[span], part.targets[span], part.weights[span], part.axes[span])
        expected = rows_of(together, span)
        assert_same_bits(ready.gradient(parameters[span], alone), expected)


@pytest.mark.parametrize("qubits", [4, WIDE_QUBITS])
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two CPUs")
def test_complex64_bits_do_not_depend_on_the_number_of_threads(qubits: int):
    program = circuit(qubits, 2, 3)
    parameters, part = shard(program, 2, 9 if qubits == 4 else 1)
    ready, threads = ADJOINT.prepare(program, "mse", 2), numba.get_num_threads()
    totals = []
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            totals.append(ready.gradient(parameters, part))
    finally:
        numba.set_num_threads(threads)
    assert_same_bits(*totals)


def test_each_precision_is_compiled_once():
    for program in (circuit(2, 1), circuit(3, 2, 3, ansatz="random-pauli")):
        for precision in ("complex128", "complex64"):
            list(BatchedProgram(program, precision).parts(*point(program, 2, 3)))
    for evaluate in (kernel.evaluate, wide.evaluate):
        assert len(evaluate.signatures) <= 2


def test_complex64_states_need_half_the_memory():
    program = circuit(20, 2)
    double = Adjoint(engine="adjoint").shard_bytes(program, 4, 1)
    assert 0.49 * double < ADJOINT.shard_bytes(program, 4, 1) < 0.55 * double


def test_certificate_of_complex64_is_that_of_its_own_kernel():
    program = circuit(3, 2, 2, observable="XYZ")
    deviation = ADJOINT.certify(program, 5)
    assert deviation is not None
    assert TOLERANCE < deviation < tolerance(program, "complex64") < 1e-4
    assert deviation == certify(program, 5, "complex64")


def test_precision_is_part_of_a_trial_only_if_it_is_not_the_default():
    assert Adjoint.parse({"engine": "adjoint", "backend": {**SINGLE, "precision": "complex128"}}) == Adjoint(
        engine="adjoint"
    )
    assert ADJOINT.identity() == {"engine": "adjoint", "backend": SINGLE}


def test_unknown_precision_is_refused_with_what_is_legal():
    with pytest.raises(ConfigError, match="'complex128' or 'complex64'"):
        Adjoint.parse({"engine": "adjoint", "backend": {"kind": "batched", "precision": "complex32"}})


@pytest.mark.parametrize(
    ("engine", "options"),
    [(FiniteDifference, {"engine": "finite-difference"}), (Spsa, {"engine": "spsa", "step": 0.001})],
)
def test_differences_of_roundings_are_refused(engine: Any, options: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"must be 0\.01 or more with precision: complex64"):
        engine.parse({**options, "backend": SINGLE})
    assert engine.parse({**options, "backend": SINGLE, "step": 0.05}).step == 0.05
