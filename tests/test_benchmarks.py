"""The arithmetic of the gradient benchmarks, without the peers and without a clock."""

import numba
import numpy as np
import pytest
from devices import NEEDS_GPU
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from benchmarks import gpu
from benchmarks.peers import orchestrator
from benchmarks.work import LAYERS, Shape, Work


def loss(work: Work, trial: int, parameters: np.ndarray) -> float:
    """The mean loss of one trial, by Qiskit, from the description of the work."""
    qubits = work.shape.qubits
    observable = SparsePauliOp.from_sparse_list([("Z", [qubits - 1], 1.0)], qubits)
    losses = []
    for inputs, sign in zip(work.inputs[trial], work.signs[trial], strict=True):
        circuit = QuantumCircuit(qubits)
        for q in range(qubits):
            circuit.ry(inputs[q], q)
        for layer in range(LAYERS):
            for q in range(qubits):
                circuit.ry(parameters[layer, 0, q], q)
                circuit.rz(parameters[layer, 1, q], q)
            for q in range(qubits - 1):
                circuit.cx(q, q + 1)
        losses.append((Statevector(circuit).expectation_value(observable).real - sign) ** 2)
    return float(np.mean(losses))


@pytest.mark.parametrize(
    "program", [pytest.param(p, marks=NEEDS_GPU if "GPU" in p else ()) for p in gpu.PROGRAMS.values()]
)
def test_gradients_for_the_gpu_table_are_the_same(program: str):
    _, *options = program.split()
    work = Work.random(Shape(3, 2))
    found, expected = (
        orchestrator.build(work, numba.get_num_threads(), *chosen)(work.parameters)
        for chosen in (options, [])
    )
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=gpu.TOLERANCE)


def test_gpu_table_has_a_dash_for_a_missing_time():
    shape, other = Shape(2, 3), Shape(3, 1)
    found = {shape: {"kernel, adjoint": 0.0021}, other: {"kernel, adjoint": 0.5, "Aer GPU, adjoint": 0.25}}
    lines = gpu.table(found).splitlines()
    assert lines[0] == "| qubits, batch | kernel, adjoint | Aer GPU, adjoint |"
    assert lines[2:] == ["| 2, 3 | 2.1 | – |", "| 3, 1 | 500 | 250 |"]


@pytest.mark.parametrize("shape", [Shape(2, 3), Shape(3, 2, trials=2)], ids=str)
def test_our_gradient_is_that_of_the_work_as_described(shape: Shape):
    work = Work.random(shape)
    gradient, step = orchestrator.build(work, numba.get_num_threads())(work.parameters), 1e-5
    for trial, layer, qubit in ((shape.trials - 1, 0, 1), (0, 2, 0)):
        for kind in range(2):
            moved = np.zeros_like(work.parameters[trial])
            moved[layer, kind, qubit] = step
            above, below = (loss(work, trial, work.parameters[trial] + s * moved) for s in (1, -1))
            # Central difference: step² l'''/6 is some 1e-10, rounding 1e-16 / step some 1e-11.
            assert gradient[trial, layer, kind, qubit] == pytest.approx((above - below) / 2 / step, abs=1e-8)
