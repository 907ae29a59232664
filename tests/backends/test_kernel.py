"""Parts of the batched kernel: sines, groups of turns, and Numba's cache on disk."""

from __future__ import annotations

import inspect
import math
import shutil
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from random_circuits import circuit, derivatives, point, program_of

import orchestrator
from orchestrator.backends.batched import kernel, wide
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.backends.batched.rotations import LARGEST_HALF_ANGLE
from orchestrator.backends.batched.schedule import Schedule, schedule
from orchestrator.backends.batched.sources import SOURCES
from orchestrator.models.circuits.ansatz import ANSATZE, Drawing
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program


def one_rotation() -> Program:
    """RX(θ), with E = <Z> = cos θ and dE/dθ = -sin θ."""
    theta, drawn = Parameter("θ"), QuantumCircuit(1)
    drawn.rx(theta, 0)
    return program_of(Drawing(drawn, (Operator(SparsePauliOp("Z")),), (), ((theta,),), 0))


def at(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E and dE/dθ of ``one_rotation`` at each angle."""
    none = np.zeros((len(angles), 1, 0))
    value, slope = derivatives(one_rotation(), angles[:, None], none, np.zeros((len(angles), 0), np.int8))
    return value.reshape(-1), slope.reshape(-1)


@pytest.mark.parametrize("size", [1e-9, 1.0, 10.0, 1e4, 2 * LARGEST_HALF_ANGLE, 1e7, 1e12])
def test_sines_of_angles_of_any_size_are_those_of_the_c_library(size: float):
    angles = np.random.default_rng(0).uniform(-size, size, 4000)
    value, slope = at(angles)
    # E = w² - x²: errors of w and x, at most 4e-16 each, times 2w and 2x, and the rounding of E
    np.testing.assert_allclose(value, np.cos(angles), rtol=0.0, atol=2e-15)
    np.testing.assert_allclose(slope, -np.sin(angles), rtol=0.0, atol=2e-15)


def test_sines_are_right_next_to_multiples_of_a_quarter_turn():
    """There a reduction with too few digits of π loses all its digits by cancellation."""
    angles = np.array([k * math.pi + offset for k in range(0, 300_000, 997) for offset in (-1e-9, 0.0, 1e-9)])
    value, slope = at(angles)
    np.testing.assert_allclose(value, np.cos(angles), rtol=0.0, atol=2e-15)
    np.testing.assert_allclose(slope, -np.sin(angles), rtol=0.0, atol=2e-15)


def test_large_angle_does_not_change_the_bits_of_its_neighbours():
    angles = np.linspace(-3.0, 3.0, 8)
    value, slope = at(angles)
    for large in (1e300, math.inf, math.nan):
        changed = angles.copy()
        changed[3] = large
        others = np.arange(8) != 3
        value_then, slope_then = at(changed)
        np.testing.assert_array_equal(value_then[others], value[others])
        np.testing.assert_array_equal(slope_then[others], slope[others])
        assert np.isfinite(value_then[3]) == math.isfinite(large)


def groups(plan: Schedule) -> list[range]:
    return [range(start, stop) for start, stop in pairwise(plan.groups.tolist())]


def test_layers_of_a_named_circuit_are_groups():
    plan = schedule(circuit(4, 5, 4), 3)
    assert [len(group) for group in groups(plan)] == [4] * 5


@pytest.mark.parametrize("ansatz", sorted(ANSATZE))
def test_turns_of_a_group_commute_and_groups_cannot_be_joined(ansatz: str):
    """Pauli strings commute if their letters anticommute on an even number of qubits, counted here."""

    def letters(x: int, z: int) -> list[tuple[int, int]]:
        return [(x >> bit & 1, z >> bit & 1) for bit in range(8)]

    def commute(turn, other) -> bool:
        strings = [[letters(t["flip"], t["signs"]), letters(0, t["parity"])] for t in (turn, other)]
        return all(
            sum(a[0] * b[1] + a[1] * b[0] for a, b in zip(p, q, strict=True)) % 2 == 0
            for p in strings[0]
            for q in strings[1]
        )

    plan = schedule(circuit(4, 3, 4, ansatz=ansatz), 3)
    ranges = groups(plan)
    for group in ranges:
        assert all(commute(plan.turns[s], plan.turns[t]) for s in group for t in group if s != t)
    for before, after in pairwise(ranges):
        assert not all(commute(plan.turns[s], plan.turns[after.start]) for s in before)


@pytest.mark.parametrize("first", range(3))
def test_bits_do_not_depend_on_the_lane(first: int):
    """All samples of the row are equal, so all lanes must have equal results."""
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


def test_terms_of_the_reduction_add_up_to_half_pi():
    """The sum is π/2 to 35 decimals, and k < 2^20 times either of the first two terms is exact."""
    from orchestrator.backends.batched.rotations import _HALF_PI

    half_pi = Fraction(157079632679489661923132169163975144, 10**35)
    assert abs(sum(map(Fraction, _HALF_PI)) - half_pi) < Fraction(1, 10**35)
    for part in _HALF_PI[:2]:
        assert Fraction((2**20 - 1) * part) == (2**20 - 1) * Fraction(part)


_SMALL = """
from numba import njit
from orchestrator.backends.batched.sources import SOURCES

@njit(cache=True)
def small(sources=SOURCES):
    return 1

small()
print(sum(small.stats.cache_hits.values()))
"""

_EDITED = """
import runpy, sys
from pathlib import Path
from typing import Any
from orchestrator.backends.batched import kernel, sources, wide

for name, module in sorted(sys.modules.items()):
    if name.startswith("orchestrator.") and not hasattr(module, "__path__"):
        with Path(module.__file__).open("a") as file:
            file.write("#")
        print(name.rpartition(".")[2], runpy.run_path(sources.__file__)["SOURCES"])
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that the test may edit."""
    copy, left_out = tmp_path / "orchestrator", shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(orchestrator.__file__).parent, copy, ignore=left_out)
    return copy


def run(script: Path) -> list[str]:
    """Runs a script in a process of its own, with the package in its folder; returns the words it prints."""
    folder = script.parent
    environment = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, str(script)]
    process = subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True)
    return process.stdout.split()


def test_cached_code_is_not_used_if_another_file_of_the_package_has_changed(package: Path):
    """A small function represents the kernels: Numba compares the value of its last argument."""
    small = package.parent / "small.py"
    small.write_text(_SMALL)
    assert [run(small), run(small)] == [["0"], ["1"]]
    edited = package / "backends" / "batched" / "rotations.py"
    edited.write_text(edited.read_text() + "#")
    assert run(small) == ["0"]


def test_digest_of_the_sources_follows_every_file_that_kernels_are_compiled_from(package: Path):
    script = package.parent / "edited.py"
    script.write_text(_EDITED)
    words = run(script)
    names, digests = words[::2], words[1::2]
    assert names == ["amplitudes", "kernel", "lanes", "rotations", "sources", "wide", "gates"]
    assert len({str(SOURCES), *digests}) == 1 + len(names)


@pytest.mark.parametrize("evaluate", [kernel.evaluate, wide.evaluate])
def test_kernels_are_cached_on_disk_with_the_digest_of_their_sources(evaluate: Any):
    assert inspect.signature(evaluate.py_func).parameters["sources"].default == SOURCES
    assert evaluate.stats.cache_path is not None
