"""Parts of the batched kernel: sines, groups of turns, kept states, and what Numba keeps on the disk."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from circuits import ROUNDING, circuit, derivatives, point, program_of
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

import orchestrator
from orchestrator.backends.batched import differentiator
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.backends.batched.rotations import LARGEST
from orchestrator.backends.batched.schedule import Schedule, schedule
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program


def one_rotation() -> Program:
    """RX(θ); E = <Z> = cos θ, dE/dθ = -sin θ."""
    theta, drawn = Parameter("θ"), QuantumCircuit(1)
    drawn.rx(theta, 0)
    return program_of(Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), ((theta,),), 0))


def at(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E and dE/dθ of that circuit at each angle."""
    none = np.zeros((len(angles), 1, 0))
    value, slope = derivatives(one_rotation(), angles[:, None], none, np.zeros((len(angles), 0), np.int8))
    return value.reshape(-1), slope.reshape(-1)


@pytest.mark.parametrize("size", [1e-9, 1.0, 10.0, 1e4, 2 * LARGEST, 1e7, 1e12])
def test_sines_of_angles_of_any_size_are_those_of_the_c_library(size: float):
    angles = np.random.default_rng(0).uniform(-size, size, 4000)
    value, slope = at(angles)
    # E = w² - x², where w and x err by at most 4e-16 each; times 2w and 2x, and E's own rounding
    np.testing.assert_allclose(value, np.cos(angles), rtol=0.0, atol=2e-15)
    np.testing.assert_allclose(slope, -np.sin(angles), rtol=0.0, atol=2e-15)


def test_sines_are_right_next_to_multiples_of_a_quarter_turn():
    """Where all digits cancel that a reduction with too few digits of π has."""
    angles = np.array([k * math.pi + offset for k in range(0, 300_000, 997) for offset in (-1e-9, 0.0, 1e-9)])
    value, slope = at(angles)
    np.testing.assert_allclose(value, np.cos(angles), rtol=0.0, atol=2e-15)
    np.testing.assert_allclose(slope, -np.sin(angles), rtol=0.0, atol=2e-15)


def test_large_angle_does_not_change_the_bits_of_its_neighbours():
    angles = np.linspace(-3.0, 3.0, 8)
    value, slope = at(angles)
    for odd in (1e300, math.inf, math.nan):
        disturbed = angles.copy()
        disturbed[3] = odd
        others = np.arange(8) != 3
        found = at(disturbed)
        np.testing.assert_array_equal(found[0][others], value[others])
        np.testing.assert_array_equal(found[1][others], slope[others])
        assert np.isfinite(found[0][3]) == math.isfinite(odd)


def groups(plan: Schedule) -> list[range]:
    return [range(start, stop) for start, stop in pairwise(plan.groups.tolist())]


def test_layers_of_a_named_circuit_are_groups():
    plan = schedule(circuit(4, 5, 4), 3)
    assert [len(group) for group in groups(plan)] == [4] * 5


@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
def test_turns_of_a_group_commute_and_groups_cannot_be_joined(ansatz: str):
    """Pauli strings commute if an even number of their letters differ; each is written out here."""

    def letters(x: int, z: int) -> list[tuple[int, int]]:
        return [(x >> place & 1, z >> place & 1) for place in range(8)]

    def commute(one, other) -> bool:
        strings = [[letters(t["flip"], t["signs"]), letters(0, t["parity"])] for t in (one, other)]
        return all(
            sum(a[0] * b[1] + a[1] * b[0] for a, b in zip(p, q, strict=True)) % 2 == 0
            for p in strings[0]
            for q in strings[1]
        )

    plan = schedule(circuit(4, 3, 4, ansatz=ansatz), 3)
    found = groups(plan)
    for group in found:
        assert all(commute(plan.turns[s], plan.turns[t]) for s in group for t in group if s != t)
    for before, after in pairwise(found):
        assert not all(commute(plan.turns[s], plan.turns[after.start]) for s in before)


@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
@pytest.mark.parametrize("observable", ["Z0", "X1 Y3"])
def test_states_that_are_kept_are_those_that_are_undone(
    monkeypatch: pytest.MonkeyPatch, ansatz: str, observable: str
):
    program = circuit(4, 4, 3, ansatz=ansatz, observable=observable)
    kept = derivatives(program, *point(program, 3, 5))
    monkeypatch.setattr(differentiator, "KEPT_BYTES", 0)
    undone = derivatives(program, *point(program, 3, 5))
    np.testing.assert_array_equal(kept[0], undone[0])
    np.testing.assert_allclose(kept[1], undone[1], rtol=0.0, atol=ROUNDING)


@pytest.mark.parametrize("first", range(3))
def test_bits_do_not_depend_on_the_lane(first: int):
    """Every sample of a row is the same, so every lane must find the same."""
    program = circuit(5, 4, 3, observable="X0 Y2 Z4")
    parameters, inputs, axes = point(program, 1, 1, first)
    value, slope = derivatives(program, parameters, np.repeat(inputs, 8, 1), axes)
    assert {row.tobytes() for row in slope[0]} == {slope[0, 0].tobytes()}
    assert len(set(value[0].tolist())) == 1


def test_expectation_has_the_same_bits_with_and_without_derivatives():
    program = circuit(4, 3, 4)
    parameters, inputs, axes = point(program, 3, 7)
    alone = BatchedProgram(program).expectation(parameters, inputs, axes)
    np.testing.assert_array_equal(alone[..., 0], derivatives(program, parameters, inputs, axes)[0])


def test_coefficients_of_the_reduction_are_parts_of_half_a_turn():
    """The parts add up to π/2 (here to 35 decimals), and k < 2^20 times the first two is exact."""
    from orchestrator.backends.batched.rotations import _HALF_PI

    half_pi = Fraction(157079632679489661923132169163975144, 10**35)
    assert abs(sum(map(Fraction, _HALF_PI)) - half_pi) < Fraction(1, 10**35)
    for part in _HALF_PI[:2]:
        assert Fraction((2**20 - 1) * part) == (2**20 - 1) * Fraction(part)


_RUN = """
import sys
import numpy as np
from orchestrator.backends.batched import kernel
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.models.circuits.circuit import Circuit
program = Circuit(kind="circuit", qubits=1, layers=1).build(0, 2)
value = BatchedProgram(program).expectation(np.zeros((1, 2)), np.zeros((1, 1, 0)), np.zeros((1, 0), np.int8))
print(value.item(), sum(kernel.evaluate.stats.cache_hits.values()))
"""


def test_kernel_on_the_disk_follows_every_file_that_it_is_compiled_from(tmp_path: Path):
    """A copy of the package, whose lanes are then edited: the next process compiles it anew."""
    package = tmp_path / "orchestrator"
    shutil.copytree(Path(orchestrator.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def run() -> list[str]:
        command = [sys.executable, "-c", _RUN]
        environment = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        result = subprocess.run(
            command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return result.stdout.split()

    assert [run(), run()] == [["1.0", "0"], ["1.0", "1"]]
    edited = package / "engines" / "batched" / "rotations.py"
    edited.write_text(edited.read_text().replace("math.pi)", "1.0 * math.pi)"))
    assert run() == ["1.0", "0"]
