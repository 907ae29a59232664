"""Work that would take minutes or all memory is refused by counting it, or reports how long it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import RXGate, UnitaryGate
from sweeps import read, swept

from orchestrator import process
from orchestrator.backends.batched import differentiator
from orchestrator.backends.batched.schedule import schedule
from orchestrator.config.files import read_regular_file
from orchestrator.data import tabular
from orchestrator.driver import duration
from orchestrator.driver.estimate import estimates
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.parameter_shift import ParameterShift
from orchestrator.errors import InputError
from orchestrator.models.circuits import circuit, elementary, lightcone
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.qasm_circuit import QasmCircuit
from orchestrator.models.circuits.reading import KNOWN
from orchestrator.models.circuits.size import MOST_GATES
from orchestrator.process import listening, notice, notice_if_slow, track
from orchestrator.sweep import document, planner
from orchestrator.sweep.file import Placement
from orchestrator.trial.pinned import Pinned, load_problem

STATES = """\
name: states
base:
  model: {kind: circuit, qubits: 3, layers: 2}
  loss: expectation
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  steps: 3
"""


def faults(text: str, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text, *overrides)
    return [str(fault) for fault in caught.value.faults]


# --- files


def test_device_is_never_read(tmp_path: Path) -> None:
    """/dev/null ends at once, so a reader would continue with an empty file."""
    for name in ("a.yaml", "a.csv", "a.qasm"):
        (tmp_path / name).symlink_to("/dev/null")
    with pytest.raises(InputError, match=r"a\.yaml: cannot be read: it is a device, must be a regular file"):
        document.read(tmp_path / "a.yaml")
    with pytest.raises(InputError, match="is a device"):
        tabular.read_bytes(str(tmp_path / "a.csv"))
    with pytest.raises(InputError, match="is a device"):
        QasmCircuit(kind="circuit", qasm=str(tmp_path / "a.qasm")).fingerprint()


def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    command = [sys.executable, "-m", "orchestrator", "plan", "a.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "a.yaml: cannot be read: it is a pipe, must be a regular file\n"


def test_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole
    with pytest.raises(ValueError, match=r"it has 1,099,511,627,776 bytes, at most 10 are read"):
        read_regular_file(path, 10)


# --- the sweep file


def test_values_beyond_the_limit_are_not_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MOST_VALUES", 1000)
    composed = []
    resolve = document._CountingResolver.resolve
    monkeypatch.setattr(document._CountingResolver, "resolve", lambda *a: composed.append(1) or resolve(*a))
    with pytest.raises(InputError, match="has more than 1,000 keys and values; for many"):
        document.parse(f"a: {list(range(5000))}", "a.yaml")
    assert len(composed) == 1001


@pytest.mark.parametrize("path", sorted(Path("jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_long_files_are_read_as_short_ones(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long files are parsed by libyaml."""
    short = document.read(path)
    monkeypatch.setattr(document, "_FAST_FROM", 0)
    assert document.read(path) == short


def test_of_many_unknown_keys_a_few_are_explained() -> None:
    found = faults(STATES + "".join(f"  unknown{k}: 1\n" for k in range(5000)))
    assert len(found) == 51
    assert found[0].startswith("a.yaml:8: unknown0: unknown key (legal: ")
    assert found[-1] == "a.yaml:58: unknown50: … and 4,950 more faults like these"


def test_combinations_are_not_looked_at_once_there_are_faults_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_MOST_REFUSED", 100)
    looked = []
    combination = planner.Planner._combination
    monkeypatch.setattr(planner.Planner, "_combination", lambda *a: looked.append(1) or combination(*a))
    found = faults(swept(f"model.qubits: {[-k for k in range(1, 501)]}", base=STATES))
    assert len(looked) == 101
    assert found[-1] == "a.yaml:8: model.qubits: … and 91 more like this"


def test_equal_circuits_are_scheduled_once() -> None:
    schedule.cache_clear()
    list(estimates(read(swept("steps: {range: [1, 40]}", base=STATES)), 2))
    assert schedule.cache_info().misses == 1


# --- circuits


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("layers=100000", "circuit of 3 qubits and 100000 layers has about 800,000 gates (legal: at"),
        ("layers=100000000", "layers: is 100000000, must be at most 100000"),
        ("qubits=100000", "qubits: is 100000, must be at most 4096"),
        ("{kind: circuit, qubits: 2, layers: 9, ansatz: identity-blocks, block_layers: 90000}", "8,100,002"),
        ("{kind: circuit, qubits: 4000, layers: 1, ansatz: two-local}", "about 8,006,000 gates"),
        ("{kind: circuit, qubits: 9, layers: 9000, ansatz: qaoa, observable: {Z0 Z1: 1, X2: 1}}", "135,009"),
    ],
)
def test_circuit_that_is_too_large_is_refused_before_it_is_drawn(
    override: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undrawn(ansatz: Any) -> Any:
        @wraps(ansatz)
        def draw(*_: Any, **__: Any) -> Any:
            raise AssertionError("was drawn")

        return draw

    drawers = {name: undrawn(ansatz) for name, ansatz in circuit.ANSATZE.items()}
    monkeypatch.setattr(circuit, "ANSATZE", drawers)
    where = "base.model=" if override[0] == "{" else "base.model."
    assert any(expected in fault for fault in faults(STATES, where + override))


def doubling(times: int) -> QuantumCircuit:
    """A circuit of 2^times gates in nested definitions, and one trained gate."""
    gate: Any = RXGate(0.1)
    for _ in range(times):
        twice = QuantumCircuit(1)
        twice.append(gate, [0], copy=False)
        twice.append(gate, [0], copy=False)
        gate = Gate("twice", 1, [])
        gate.definition = twice  # QuantumCircuit.to_gate would copy all definitions
    whole = QuantumCircuit(1)
    whole.rx(Parameter("t"), 0)
    whole.append(gate, [0], copy=False)
    return whole


def apart(whole: QuantumCircuit) -> int:
    return sum(1 for _ in elementary.decompose(whole, KNOWN))


def test_definitions_that_double_are_taken_apart_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert apart(doubling(5)) == 33
    monkeypatch.setattr(elementary, "MOST_GATES", 500)
    with pytest.raises(InputError, match=r"has more than 1,000 gates and .* up to gate 1 \(twice on q0\)"):
        apart(doubling(30))


def test_circuit_of_too_many_gates_or_qubits_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"has 5,000 qubits \(legal: at most 4,096\)"):
        apart(QuantumCircuit(5000))
    monkeypatch.setattr(elementary, "MOST_GATES", 3)
    many = QuantumCircuit(1)
    for _ in range(4):
        many.h(0)
    with pytest.raises(InputError, match=r"has 4 gates \(legal: at most 3\)"):
        apart(many)


def test_matrix_of_many_qubits_is_refused_before_it_is_decomposed(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    def define(_: Any) -> None:
        raise AssertionError("was decomposed")

    monkeypatch.setattr(UnitaryGate, "_define", define)
    whole = QuantumCircuit(9)
    whole.append(UnitaryGate(np.eye(512), check_input=False), range(9))
    with pytest.raises(InputError, match="unitary is a matrix that becomes about 314,572 gates"):
        apart(whole)


def test_light_cone_of_a_deep_circuit_looks_at_equal_gates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Pauli strings soon are all strings of four qubits."""
    looked = []
    undo = lightcone._Strings._undo
    monkeypatch.setattr(lightcone._Strings, "_undo", lambda *a: looked.append(1) or undo(*a))
    program = Circuit(kind="circuit", qubits=4, layers=200).build(0, 0)
    assert program.dead.sum() == 4  # the last RZ of each qubit but the control's, and that one
    assert len(looked) < len(program.gates) / 10


# --- slow work


def test_what_takes_long_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_NOTICE_AFTER_S", -1.0)
    heard: list[str] = []
    with listening(heard.append):
        assert list(track("abc", 3, "counting letters")) == ["a", "b", "c"]
    assert len(heard) == 1
    assert heard[0].startswith("counting letters: 1 of 3 after ")
    notice("nobody listens")
    assert len(heard) == 1


def test_what_cannot_be_counted_says_that_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_NOTICE_AFTER_S", 0.0)
    noticed = threading.Event()
    with listening(lambda _: noticed.set()), notice_if_slow("reading"):
        assert noticed.wait(timeout=60)


def test_large_sweep_says_how_long_its_check_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_NOTICE_AFTER_S", -1.0)
    heard: list[str] = []
    with listening(heard.append):
        read(
            swept(
                "steps: [1, 2, 3]",
                "{samples: 9, updates.0.learning_rate: {uniform: [0, 1]}}",
                base=STATES,
            )
        )
    assert [text.partition(" after")[0] for text in heard] == [
        "looking for repeated samples: 1 of 9",
        "checking every combination of structure: 1 of 3",
    ]


def test_time_that_is_left_is_that_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    heard: list[str] = []
    with listening(heard.append):
        assert list(process.track("abcdefghij", 10, "spelling")) == list("abcdefghij")
    assert heard == ["spelling: 5 of 10 after 6 s, about 6 s more"]  # once, after five seconds


# --- how long a sweep takes


def test_wide_circuit_is_not_run_to_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state of 26 qubits takes 1 GiB."""
    timed: list[int] = []
    rate = 1e-9

    def measured(pinned: Pinned, rows: int) -> float:
        template, ready = pinned.template, load_problem(pinned)
        timed.append(template.model.qubits)
        return rate * rows * template.batch.size * ready.engine.work(ready.model)

    monkeypatch.setattr(duration, "_measured", measured)
    monkeypatch.setattr(differentiator.BatchedProgram, "parts", None)
    duration._rate.cache_clear()
    wide = list(estimates(read(STATES, "base.model.qubits=26"), 2))
    found = duration.duration(wide, workers=2, placement=Placement(), spent_s=0.0)
    duration._rate.cache_clear()
    assert timed == [duration._WIDE]
    assert found.inline > 3 * rate * 3 * 2**26 * 2 * 26  # steps · passes · amplitudes · live rotations, about
    assert found.start < found.on_ray


def test_time_grows_with_what_is_to_be_done() -> None:
    def seconds(*overrides: str) -> float:
        return duration.duration(list(estimates(read(STATES, *overrides), 2)), 2, Placement(), 0.0).inline

    assert seconds("base.steps=1000000") > 10 * seconds("base.steps=1000")


def test_time_on_ray_falls_with_the_workers_that_a_step_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duration, "_gradient_s", lambda *_: 1e6)  # seconds, of one of 3 steps
    one = list(estimates(read(swept("seed: [1]"), "base.batch.shards=4"), 2))
    alone, together = (duration.duration(one, workers, Placement(), 0.0) for workers in (1, 4))
    assert [step.used for step in (*alone.sharing, *together.sharing)] == [1, 4]
    assert alone.on_ray == pytest.approx(3e6, rel=1e-3)
    assert together.on_ray == pytest.approx(3e6 / 4, rel=1e-3)


def test_work_of_a_parameter_shift_is_that_of_its_executions() -> None:
    program = Circuit(kind="circuit", qubits=3, layers=2).build(0, 0)
    adjoint, shift = Adjoint(engine="adjoint"), ParameterShift(engine="parameter-shift")
    executions = shift.shifts(program)[1].executions
    assert executions <= shift.passes(program) <= 2 * executions  # dead parameters are not shifted
    assert shift.work(program) / adjoint.work(program) == shift.passes(program) / 3
    assert MOST_GATES > adjoint.certified_gates(program) == len(program.gates)
