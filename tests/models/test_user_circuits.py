"""Circuits that the user brings: Python functions and OpenQASM 3 files, their ids, and what is refused."""

import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

import orchestrator
import orchestrator.errors
from orchestrator import user_code
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.config.base import Config, ConfigError
from orchestrator.config.families import discover
from orchestrator.engines.adjoint import Adjoint
from orchestrator.errors import ChangedFile, InputError
from orchestrator.models.base import Model
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.models.circuits.program import Program
from orchestrator.models.circuits.python_circuit import PythonCircuit
from orchestrator.models.circuits.qasm_circuit import QasmCircuit
from orchestrator.sweep.file import load
from orchestrator.trial.pinned import load_problem, pin
from orchestrator.trial.problem import problem
from orchestrator.trial.trial import Trial

ADJOINT = Adjoint(engine="adjoint")
ROUNDING = 1e-13
"""Between two simulations of a few gates: some hundred roundings of 1e-16."""

MODULE = """\
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector


def ladder(qubits=2, scale=1.0):
    x, a, b = ParameterVector("x", qubits), ParameterVector("a", qubits), Parameter("b")
    circuit = QuantumCircuit(qubits)
    for qubit in range(qubits):
        circuit.ry(scale * x[qubit], qubit)
    circuit.rx(b, 0)
    for qubit in reversed(range(qubits)):
        circuit.ry(a[qubit], qubit)
    circuit.cx(0, 1)
    circuit.rx(b * x[0], 1)
    circuit.measure_all()
    return circuit


def broken():
    raise ValueError("no luck")


def number():
    return 3


CONSTANT = 1
"""

QASM = """\
OPENQASM 3.0;
include "stdgates.inc";
input float[64] data;
input angle[32] theta;
input float[64] phi;
qubit[2] q;
bit[2] c;
ry(data) q[0];
rx(2 * theta) q[1];
cx q[0], q[1];
crz(phi) q[0], q[1];
h q[1];
c = measure q;
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ladders.py").write_text(MODULE)
    (tmp_path / "own.qasm").write_text(QASM)
    user_code.allow(user_code.Trust((str(tmp_path),)))
    return tmp_path


def python(folder: Path, function: str = "ladders:ladder", **options: object) -> PythonCircuit:
    values = {"kind": "circuit", "python": function, "inputs": ["x"], **options}
    return PythonCircuit.parse(values, folder=str(folder))


def qasm(folder: Path, name: str = "own.qasm", **options: object) -> QasmCircuit:
    values = {"kind": "circuit", "qasm": name, "inputs": ["data"], **options}
    return QasmCircuit.parse(values, folder=str(folder))


def value(program: Program, parameters: list[float], inputs: list[float]) -> float:
    axes = np.zeros((1, 0), np.int8)
    return float(
        BatchedProgram(program).expectation(np.array([parameters]), np.array([[inputs]]), axes)[0, 0, 0]
    )


# Which variant it is.


def trial(model: dict[str, object], folder: Path) -> Trial:
    values = {
        "model": model,
        "loss": "expectation",
        "gradient": {"engine": "adjoint"},
        "steps": 1,
        "mode": "probe",
    }
    return Trial.parse(values, folder=str(folder))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"qubits": 2, "layers": 1}, Circuit),
        ({"python": "ladders:ladder"}, PythonCircuit),
        ({"qasm": "own.qasm"}, QasmCircuit),
    ],
)
def test_variant_of_kind_circuit_follows_from_its_keys(model: dict, expected: type[Config], folder: Path):
    found = trial({"kind": "circuit", **model}, folder)
    assert type(found.model) is expected
    assert Trial.parse(found.model_dump()) == found


def test_variants_are_found_without_being_named_anywhere():
    assert {"kind=circuit", "kind=circuit+python", "kind=circuit+qasm"} <= discover(Model).keys()


def test_keys_of_another_variant_are_unknown(folder: Path):
    with pytest.raises(ConfigError, match="layers"):
        trial({"kind": "circuit", "qasm": "own.qasm", "layers": 2}, folder)


# Python.


def test_python_circuit_is_what_the_function_returns(folder: Path):
    program = python(folder, arguments={"scale": 0.5}, observable="XZ").build(2, 2)
    assert (program.qubits, program.inputs, program.parameters) == (2, 2, 3)
    drawn = program.redraw()
    b, a0, a1, x0, x1 = 0.3, 0.5, 0.7, 1.1, 1.3
    symbols = [*(symbol for layer in drawn.layers for symbol in layer), *drawn.inputs]
    values = dict(zip(symbols, [b, a0, a1, x0, x1], strict=True))
    assert [symbol.name for symbol in symbols] == ["b", "a[0]", "a[1]", "x[0]", "x[1]"]
    state = Statevector(drawn.circuit.assign_parameters(values))
    expected = state.expectation_value(SparsePauliOp("XZ")).real
    assert value(program, [b, a0, a1], [x0, x1]) == pytest.approx(expected, abs=ROUNDING)
    assert ADJOINT.certify(program, 0) == pytest.approx(0.0, abs=1e-12)


def test_configuration_and_program_survive_pickling(folder: Path):
    configuration = python(folder, arguments={"scale": 0.5}, observable={"Z0": 0.5, "Z1": 0.5})
    again = pickle.loads(pickle.dumps(configuration))
    assert (again, hash(again)) == (configuration, hash(configuration))
    program = pickle.loads(pickle.dumps(configuration.build(2, 2)))
    assert ADJOINT.certify(program, 0) == pytest.approx(0.0, abs=1e-12)


def test_groups_are_called_after_vectors_and_parameters(folder: Path):
    program = python(folder).build(2, 2)
    assert [(group.name, group.start, group.stop) for group in program.groups] == [("b", 0, 1), ("a", 1, 3)]
    assert program.names == ("b", "a[0]", "a[1]")


def test_single_elements_of_a_vector_may_be_inputs(folder: Path):
    program = python(folder, inputs=["x[1]", "b"]).build(2, 2)
    assert [symbol.name for symbol in program.redraw().inputs] == ["x[1]", "b"]
    assert program.parameters == 3


def test_id_of_a_python_circuit_covers_the_source_and_not_the_path(folder: Path, tmp_path: Path):
    first = python(folder).identity()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "renamed.py").write_text(MODULE)
    assert python(elsewhere, "renamed:ladder").identity() == first
    assert python(folder, "ladders:number").identity() != first
    assert python(folder, arguments={"scale": 2.0}).identity() != first
    (folder / "ladders.py").write_text("# a comment\n" + MODULE.replace("x, a, b = ", "x,a,b   =  "))
    assert python(folder).identity() == first
    (folder / "ladders.py").write_text(MODULE.replace("circuit.rx(b, 0)", "circuit.rx(b, 1)"))
    assert python(folder).identity() != first


def test_changed_module_is_read_by_the_next_plan_and_refused_by_the_one_before(folder: Path):
    planned = trial({"kind": "circuit", "python": "ladders:ladder", "observable": "ZI"}, folder)
    before, gates = pin(planned), problem(planned).model.gates.tobytes()
    (folder / "ladders.py").write_text(MODULE.replace("circuit.rx(b, 0)", "circuit.ry(b, 0)"))
    with pytest.raises(
        ChangedFile, match=f"^{folder}/ladders.py changed after the sweep was planned; restore"
    ):
        load_problem(before)
    after = pin(planned)
    assert after.key != before.key
    assert load_problem(after).model.gates.tobytes() != gates


def test_module_in_a_package_may_import_its_neighbours(folder: Path):
    package = folder / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sizes.py").write_text("QUBITS = 3\n")
    text = MODULE.replace("def ladder(qubits=2", "from .sizes import QUBITS\n\ndef ladder(qubits=QUBITS")
    (package / "ladders.py").write_text(text)
    assert python(folder, "mine.ladders:ladder").build(3, 2).qubits == 3


@pytest.mark.parametrize(
    ("function", "options", "path", "fragment"),
    [
        ("nowhere:ladder", {}, "model.python", "there is no module nowhere in"),
        ("ladders:nothing", {}, "model.python", "ladders has no function nothing"),
        ("ladders:CONSTANT", {}, "model.python", "ladders has no function CONSTANT"),
        (
            "ladders:number",
            {},
            "model.python",
            "returned an object of type int, must return a QuantumCircuit",
        ),
        ("ladders:broken", {}, "model.arguments", "ladders:broken raised ValueError: no luck"),
        (
            "ladders:ladder",
            {"arguments": {"size": 1}},
            "model.arguments",
            "unexpected keyword argument 'size'",
        ),
        ("ladders:ladder", {"inputs": ["y"]}, "model.inputs.0", "has no parameter 'y'"),
        ("ladders:ladder", {"inputs": ["x", "x[0]"]}, "model.inputs", "names a parameter twice"),
        ("ladders:ladder", {"inputs": ["b"]}, "model.inputs", "names 1 parameters of the circuit"),
        ("ladders:ladder", {"observable": "ZZZ"}, "model.observable", "has 3 letters for 2 qubits"),
    ],
)
def test_python_circuit_that_cannot_be_built_is_refused(
    folder: Path, function: str, options: dict, path: str, fragment: str
):
    with pytest.raises(InputError) as error:
        python(folder, function, **options).build(2, 2)
    (fault,) = error.value.faults
    assert fault.path == path
    assert fragment in fault.message


def test_module_that_does_not_load_is_refused_with_its_error(folder: Path):
    (folder / "ladders.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match=r"ladders\.py raised ZeroDivisionError: division by zero"):
        python(folder).build(2, 2)


@pytest.mark.parametrize("name", ["ladders", "ladders.ladder", ":ladder", "a-b:c", "ladders:ladder()"])
def test_name_that_is_no_function_of_a_module_is_refused(folder: Path, name: str):
    with pytest.raises(ConfigError, match=r"must be package\.module:function"):
        python(folder, name)


# OpenQASM 3.


def test_qasm_circuit_is_what_the_file_says(folder: Path):
    program = qasm(folder, observable="ZZ").build(1, 2)
    x, theta, phi = 0.4, 0.9, 1.7
    # By hand: amplitudes after RY(x) on q0, RX(2θ) on q1, CX, CRZ(φ), H on q1.
    c, s = math.cos(x / 2), math.sin(x / 2)
    zero, one = math.cos(theta), -1j * math.sin(theta)
    state = np.array(
        [[c * zero, c * one], [s * one * np.exp(-1j * phi / 2), s * zero * np.exp(1j * phi / 2)]]
    )
    state = state @ np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    expected = (np.abs(state) ** 2 * [[1, -1], [-1, 1]]).sum()
    assert [symbol.name for layer in program.redraw().layers for symbol in layer] == ["theta", "phi"]
    assert value(program, [theta, phi], [x]) == pytest.approx(expected, abs=ROUNDING)
    assert ADJOINT.certify(program, 0) == pytest.approx(0.0, abs=1e-12)


def test_id_of_a_qasm_circuit_covers_the_content_and_not_the_path(folder: Path):
    first = qasm(folder).identity()
    (folder / "copy.qasm").write_text(QASM)
    assert qasm(folder, "copy.qasm").identity() == first
    (folder / "own.qasm").write_text(QASM.replace("h q[1]", "h q[0]"))
    assert qasm(folder).identity() != first


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec"),
        (b"OPENQASM 3.0; qubit q; nonsense q;", "line 1, column 24: nonsense is not a gate"),
    ],
)
def test_qasm_file_that_cannot_be_read_is_refused(tmp_path: Path, text: bytes | None, fragment: str):
    if text is not None:
        (tmp_path / "own.qasm").write_bytes(text)
    with pytest.raises(InputError) as error:
        qasm(tmp_path).build(1, 2)
    (fault,) = error.value.faults
    assert fault.path == "model.qasm"
    assert fragment in fault.message


# What cannot be differentiated.

REFUSED = {
    "measure": ("c[0] = measure q[0];\nh q[0];", r"gate 1 \(measure on q0\): measure is not a unitary gate"),
    "reset": ("reset q[0];", r"gate 1 \(reset on q0\): reset is not a unitary gate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_derivative_is_refused_by_name_and_position(tmp_path: Path, name: str):
    statement, message = REFUSED[name]
    head = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float a;\nqubit[2] q;\nbit[2] c;\nrx(a) q[0];\n'
    (tmp_path / "own.qasm").write_text(f"{head}{statement}\n")
    with pytest.raises(InputError, match=message) as error:
        qasm(tmp_path, inputs=[]).build(0, 0)
    assert [fault.path for fault in error.value.faults] == ["model"]


def test_gate_without_a_definition_is_refused_by_name_and_position(folder: Path):
    (folder / "opaque.py").write_text(
        "from qiskit import QuantumCircuit\n"
        "from qiskit.circuit import Gate\n"
        "def opaque():\n"
        "    circuit = QuantumCircuit(3)\n"
        "    circuit.h(0)\n"
        "    circuit.append(Gate('mystery', 2, []), [2, 0])\n"
        "    return circuit\n"
    )
    with pytest.raises(InputError, match=r"gate 1 \(mystery on q2, q0\): mystery is not a unitary gate"):
        python(folder, "opaque:opaque", inputs=[]).build(0, 0)


# From a sweep file.

SWEEP = """\
name: own
base:
  data: {{source: moons, rows: 20, features: 2, scale: angle}}
  model: {model}
  loss: mse
  gradient: {{engine: adjoint}}
  updates: [{{optimizer: sgd, learning_rate: 0.1}}]
  batch: {{size: 4, shards: 2}}
  steps: 3
"""


def write(folder: Path, model: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(model=model))
    return path


def test_sweep_of_a_python_circuit_runs(folder: Path):
    model = '{kind: circuit, python: "ladders:ladder", inputs: [x], observable: {Z0: 0.5, Z1: 0.5}}'
    out = folder / "run"
    orchestrator.run(write(folder, model), out, where=orchestrator.Where(inline=True))
    trials = pd.read_parquet(out / "trials")
    assert trials.status.tolist() == ["done"]
    assert trials.certificate[0] < 1e-12
    assert sorted(set(pd.read_parquet(out / "gradients").group)) == ["a", "b"]


def test_trained_values_go_back_into_the_circuit_by_name(folder: Path):
    """<Z1> of the circuit with the values in it is what the trained model predicts for the same inputs."""
    model = '{kind: circuit, python: "ladders:ladder", inputs: [x], observable: ZI}'
    path = write(folder, model)
    path.write_text(path.read_text() + "  record: {parameters: final, components: [0, 'a[1]']}\n")
    result = orchestrator.run(path, folder / "run", where=orchestrator.Where(inline=True))
    table = pd.read_parquet(folder / "run" / "parameters")
    assert table.name.tolist() == ["b", "a[0]", "a[1]"]
    groups = set(pd.read_parquet(folder / "run" / "gradients").group)
    assert groups == {"a", "b", "component0", "component a[1]"}
    circuit = python(folder).circuit().remove_final_measurements(inplace=False)
    bound = result.assign(circuit)
    assert sorted(symbol.name for symbol in bound.parameters) == ["x[0]", "x[1]"]
    at = bound.assign_parameters({"x[0]": 0.4, "x[1]": 0.9})
    expected = Statevector(at).expectation_value(SparsePauliOp("ZI")).real
    program = python(folder, observable="ZI").build(2, 2)
    assert value(program, table.value.tolist(), [0.4, 0.9]) == pytest.approx(expected, abs=ROUNDING)
    with pytest.raises(orchestrator.errors.RunDirectoryError, match="trial 0123 has no trained parameters"):
        result.assign(circuit, "0123")


@pytest.mark.parametrize(
    ("model", "path", "fragment"),
    [
        ('{kind: circuit, python: "nowhere:f"}', "model.python", "there is no module nowhere"),
        ("{kind: circuit, qasm: none.qasm}", "model.qasm", "No such file"),
        ("{kind: circuit, qasm: own.qasm, depth: 3}", "model.depth", "unknown key"),
        ("{kind: circuit, python: 3}", "model.python", "must be text"),
    ],
)
def test_plan_names_the_line_of_what_is_wrong(folder: Path, model: str, path: str, fragment: str):
    with pytest.raises(InputError) as error:
        load(write(folder, model))
    (fault,) = [fault for fault in error.value.faults if fault.path.startswith("model")]
    assert (fault.path, fault.line) == (path, 4)
    assert fragment in fault.message


def test_component_of_an_unknown_name_is_refused_with_the_nearest_name(folder: Path):
    path = write(folder, '{kind: circuit, python: "ladders:ladder", inputs: [x]}')
    with pytest.raises(InputError) as error:
        load(path, ["base.record={components: ['a[0]', 'a[7]']}"])
    (fault,) = error.value.faults
    assert fault.path == "record.components.1"
    assert "is 'a[7]', which names no parameter; did you mean 'a[1]'?" in fault.message


# Published variances, from probes.

PRODUCT = """\
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector


def product(qubits):
    circuit = QuantumCircuit(qubits)
    for qubit, angle in enumerate(ParameterVector("a", qubits)):
        circuit.rx(angle, qubit)
    return circuit
"""

PROBE = """\
name: probe
base:
  mode: probe
  model: {model}
  loss: expectation
  gradient: {{engine: adjoint}}
  steps: {steps}
  record: {{components: [{component}]}}
sweep: [{axis}]
"""


def squares(folder: Path, component: int, **parts: object) -> pd.DataFrame:
    """g² of a component in every step of a probe, with the swept keys."""
    path = folder / "probe.yaml"
    path.write_text(PROBE.format(component=component, **parts))
    orchestrator.run(path, folder / "run", where=orchestrator.Where(inline=True))
    table = pd.read_parquet(folder / "run" / "gradients")
    return table[table.group == f"component{component}"].assign(square=lambda t: t.l2**2)


def assert_mean(square: pd.Series, expected: float) -> None:
    """Within four standard errors; the mean gradient is 0."""
    assert abs(square.mean() - expected) < 4 * square.std() / math.sqrt(len(square))


def test_variances_of_a_product_circuit_are_those_of_cerezo_et_al(tmp_path: Path):
    """(1/8)(3/8)^(n-1) for the global cost, 1/(8n²) for the local one (arXiv 2001.00550)."""
    (tmp_path / "products.py").write_text(PRODUCT)
    local = ", ".join(f"Z{qubit}: -0.125" for qubit in range(4))
    found = squares(
        tmp_path,
        component=0,
        steps=4000,
        model='{kind: circuit, python: "products:product", arguments: {qubits: 4}}',
        axis="model.observable: [{label: global, value: {I: 1, zero-projector: -1}}, "
        f"{{label: local, value: {{I: 0.5, {local}}}}}]",
    )
    by_cost = found.groupby("model.observable", observed=True).square
    assert_mean(by_cost.get_group("global"), (3 / 8) ** 3 / 8)
    assert_mean(by_cost.get_group("local"), 1 / (8 * 4**2))


def test_variance_of_identity_blocks_does_not_fall_with_their_number(tmp_path: Path):
    """Grant et al. 2019; a random circuit of as many layers would be far down its plateau."""
    found = squares(
        tmp_path,
        component=8,
        steps=500,
        model="{kind: circuit, qubits: 4, layers: 1, ansatz: identity-blocks, observable: Z0 Z1}",
        axis="model.layers: [1, 8]",
    )
    by_layers = found.groupby("model.layers").square
    error, mean = by_layers.std() / math.sqrt(500), by_layers.mean()
    assert abs(mean[8] - mean[1]) < 4 * math.hypot(error[1], error[8])
    assert mean[8] > 0.08  # at d = 16, McClean's plateau is at 0.02
