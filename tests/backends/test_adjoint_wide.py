"""The kernel for large states, one sample at a time on all threads; also on small circuits, by force."""

import tracemalloc

import numba
import numpy as np
import pytest
from random_circuits import (
    ADJOINT,
    ROUNDING,
    check_with_reference,
    circuit,
    shard,
)
from sums import assert_same_bits, rows_of

from orchestrator.backends.batched import differentiator, wide
from orchestrator.engines.gradient import Shard
from orchestrator.models.circuits.ansatz import ANSATZE


@pytest.fixture
def always_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differentiator, "WIDE_QUBITS", 0)


@pytest.mark.usefixtures("always_wide")
@pytest.mark.parametrize("qubits", [7, 9])
@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
def test_turns_that_share_a_stage_are_those_of_the_reference(ansatz: str, qubits: int):
    program = circuit(qubits, 4, 3, ansatz=ansatz, observable="X0 Y2 Z4")
    check_with_reference(program, 2, 2, atol=10 * ROUNDING)


@pytest.mark.parametrize("ansatz", ["hardware-efficient", "random-pauli"])
def test_certificate_of_16_qubits_is_a_rounding_error(ansatz: str):
    deviation = ADJOINT.certify(circuit(16, 2, 2, ansatz=ansatz), 5)
    assert deviation is not None
    assert deviation < ROUNDING


@pytest.mark.usefixtures("always_wide")
def test_wide_row_has_the_same_bits_alone_and_among_others():
    program = circuit(5, 2, 3, ansatz="random-pauli")
    parameters, part = shard(program, 9, 3)
    ready = ADJOINT.prepare(program, "mse", 2)
    together = ready.gradient(parameters, part)
    for row in range(9):
        span = slice(row, row + 1)
        alone = Shard(part.inputs[span], part.targets[span], part.weights[span], part.axes[span])
        expected = rows_of(together, span)
        assert_same_bits(ready.gradient(parameters[span], alone), expected)


@pytest.mark.usefixtures("always_wide")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two CPUs")
def test_wide_bits_do_not_depend_on_the_number_of_threads():
    program = circuit(9, 2, 3)
    parameters, part = shard(program, 1, 2)
    ready, threads = ADJOINT.prepare(program, "mse", 2), numba.get_num_threads()
    totals = []
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            totals.append(ready.gradient(parameters, part))
    finally:
        numba.set_num_threads(threads)
    assert_same_bits(*totals)


@pytest.mark.usefixtures("always_wide")
def test_wide_parameter_that_is_not_finite_spoils_its_own_row_only():
    program = circuit(4, 2, 3)
    parameters, part = shard(program, 3, 2)
    ready = ADJOINT.prepare(program, "mse", 2)
    clean = ready.gradient(parameters, part)
    parameters[1, ~program.dead] = np.inf
    total = ready.gradient(parameters, part)
    assert not np.isfinite(total.loss[1])
    np.testing.assert_array_equal(total.gradient[[0, 2]], clean.gradient[[0, 2]])


@pytest.mark.usefixtures("always_wide")
def test_wide_kernel_is_compiled_once():
    for program in (circuit(2, 1), circuit(3, 2, 3, ansatz="random-pauli")):
        parameters, part = shard(program, 2, 3)
        ADJOINT.prepare(program, "mse", 2).gradient(parameters, part)
    compiled = wide.evaluate.signatures
    double = [signature for signature in compiled if "float64" in str(signature[0])]  # not those of complex64
    assert len(double) == 1


def test_rows_of_16_qubits_need_two_states_however_many_there_are():
    program = circuit(16, 1, 1)
    parameters, part = shard(program, 4, 1)
    ready = ADJOINT.prepare(program, "mse", 2)
    tracemalloc.start()
    ready.gradient(parameters, part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= ADJOINT.shard_bytes(program, 4, 1) <= 1.5 * peak
    assert peak < 1.2 * 2 * 16 * 2**16
