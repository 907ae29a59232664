"""OpenQASM files: what is read, against independent evaluations; what is refused, with its position."""

import math
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, Statevector

import orchestrator
from orchestrator.backends.batched.differentiator import BatchedProgram
from orchestrator.engines.certificate import certify
from orchestrator.errors import CertificateError, InputError
from orchestrator.models.circuits.openqasm.elaboration import MOST_GATES
from orchestrator.models.circuits.openqasm.names import STDGATES
from orchestrator.models.circuits.openqasm.reading import MOST_CHARACTERS, read
from orchestrator.models.circuits.openqasm.simulation import Unevaluated, statevector
from orchestrator.models.circuits.qasm_circuit import QasmCircuit
from orchestrator.models.circuits.reading import read as read_drawing
from orchestrator.streams import Streams

ROUNDING = 1e-12
"""Between two simulations of some hundred gates: each adds some 1e-16."""

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
HEAD2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
ROT = f"""{HEAD}input float[64] tilt;
gate rot(theta, phi, lambda) a {{ rz(lambda) a; ry(theta) a; rz(phi) a; }}
qubit[1] q;
rot(tilt, 0.2, 0.4) q[0];
"""


def circuit_of(folder: Path, text: str | bytes, **options: object) -> QasmCircuit:
    path = folder / "own.qasm"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return QasmCircuit.parse({"kind": "circuit", "qasm": "own.qasm", **options}, folder=str(folder))


def faults(folder: Path, text: str | bytes, **options: object) -> list[str]:
    """The faults' messages without the file's name."""
    with pytest.raises(InputError) as error:
        circuit_of(folder, text, **options).circuit()
    assert {fault.path for fault in error.value.faults} == {"model.qasm"}
    return [fault.message.partition("own.qasm, ")[2] for fault in error.value.faults]


def reason(text: str, train: bool = False) -> str:
    """The message of the first refusal."""
    with pytest.raises(ExceptionGroup) as error:
        read(text, train)
    return str(error.value.exceptions[0])


def by_qiskit(circuit: QuantumCircuit, values: dict[str, float]) -> np.ndarray:
    bound = circuit.assign_parameters(values).remove_final_measurements(inplace=False)
    return Statevector(bound).data


def same_state(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two states are equal but for a global phase."""
    return bool(abs(abs(np.vdot(one, other)) - 1.0) < ROUNDING)


def read_twice(text: str, seed: int = 0, train: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The state that Qiskit's simulator makes of the first reading, and that of the second."""
    circuit = read(text, train).circuit
    generator = random.Random(seed)
    values = {parameter.name: generator.uniform(0.0, math.tau) for parameter in circuit.parameters}
    second = statevector(text, values)
    assert second is not None, "none"
    return by_qiskit(circuit, values), second


# Formal parameters, whose order by name is not their order.


def test_gate_whose_parameters_are_not_in_alphabetical_order_is_bound_correctly(tmp_path: Path):
    program = circuit_of(tmp_path, ROT, observable="Z0").build(0, 0)
    tilts = np.linspace(-3.0, 3.0, 7)[:, None]
    inputs, axes = np.zeros((7, 1, 0)), np.zeros((7, 0), np.int8)
    found = BatchedProgram(program).expectation(tilts, inputs, axes)
    np.testing.assert_allclose(found[:, 0, 0], np.cos(tilts[:, 0]), atol=ROUNDING)
    (first,) = BatchedProgram(program).parts(tilts[:1], inputs[:1], axes[:1], np.ones(1))
    assert first.derivative[0, 0] == pytest.approx(-math.sin(tilts[0, 0]), abs=ROUNDING)


def test_export_of_qiskit_with_more_than_ten_parameters_is_bound_correctly():
    weights = ParameterVector("w", 12)
    block = QuantumCircuit(2)
    for index, weight in enumerate(weights):
        (block.rx, block.rz, block.ry)[index % 3](weight, index % 2)
        block.cx(0, 1)
    circuit = QuantumCircuit(2)
    circuit.append(block.to_gate(), [1, 0])
    read_back = read(qasm3.dumps(circuit)).circuit
    values = {parameter.name: 0.3 + index**2 / 7 for index, parameter in enumerate(weights)}
    renamed = {f"_{name.replace('[', '_').replace(']', '')}_": value for name, value in values.items()}
    assert same_state(by_qiskit(circuit, values), by_qiskit(read_back, renamed))


GATES = {name: kind for name, kind in STDGATES.items() if name not in ("id",)} | {"U": STDGATES["u3"]}


def written(generator: random.Random, gates: dict, qubits: list[str], names: list[str]) -> str:
    """A random call of one of ``gates``, under random modifiers."""
    fitting = [name for name, kind in gates.items() if kind[1] <= len(qubits)]
    name = generator.choice(fitting)
    arguments, taken = gates[name]
    modifiers = ""
    while generator.random() < 0.4:
        modifier = generator.choice(["inv @ ", "pow(2) @ ", "pow(-1) @ ", "ctrl @ ", "negctrl @ "])
        taken += "ctrl" in modifier
        modifiers += modifier if taken <= len(qubits) else ""
        taken -= "ctrl" in modifier and taken > len(qubits)
    angles = ", ".join(angle(generator, names) for _ in range(arguments))
    operands = ", ".join(generator.sample(qubits, taken))
    return f"{modifiers}{name}{f'({angles})' if arguments else ''} {operands};"


def angle(generator: random.Random, names: list[str]) -> str:
    name = generator.choice([*names, "pi"])
    other = generator.choice([other for other in [*names, "tau"] if other != name])
    return generator.choice(
        [
            name,
            f"-{name}",
            f"{name}/2 + 0.3",
            f"2*{name} - pi/3",
            "0.7",
            f"({name} - {other})/2",
        ]
    )


def random_program(seed: int) -> str:
    """Definitions of gates that call each other, their parameters' names in random order, and calls."""
    generator = random.Random(seed)
    gates = {name: (kind.arguments, kind.qubits) for name, kind in GATES.items()}
    pool = ["theta", "phi", "lambda", "a", "b", "w_2", "w_10", "w_1", "α", "Z"]
    text = f"{HEAD}input float first;\ninput angle zweite;\ninput float b;\n"
    for index in range(3):
        formals = generator.sample(pool, generator.randint(1, 4))
        qubits = [f"t{k}" for k in range(generator.randint(1, 3))]
        body = " ".join(written(generator, gates, qubits, formals) for _ in range(3))
        phase = f"gphase({angle(generator, formals)}); " if generator.random() < 0.5 else ""
        text += f"gate g{index}({', '.join(formals)}) {', '.join(qubits)} {{ {phase}{body} }}\n"
        gates[f"g{index}"] = (len(formals), len(qubits))
    qubits = [f"q[{k}]" for k in range(4)]
    calls = [written(generator, gates, qubits, ["first", "zweite", "b"]) for _ in range(6)]
    return text + "qubit[4] q;\nh q;\nt q[1];\n" + "\n".join(calls) + "\n"


@pytest.mark.parametrize("seed", range(25))
def test_random_definitions_nested_and_modified_are_what_numpy_makes_of_the_tree(seed: int):
    text = random_program(seed)
    assert same_state(*read_twice(text, seed)), text


# The second reading by itself.


def test_second_reading_has_the_matrices_of_the_standard_gates():
    """u2 and u3 have a global phase that Qiskit's gates lack."""
    library = get_standard_gate_name_mapping()
    known = {"phase": "p", "cphase": "cp", "CX": "cx"}
    for name, kind in STDGATES.items():
        angles = [0.3, -1.1, 2.5, 0.7][: kind.arguments]
        gate = library[known.get(name, name)].base_class(*angles)
        text = f"{HEAD}qubit[{kind.qubits}] q;\n" + "".join(
            f"U(0.{k + 1}, 1, 2) q[{k}];\n" for k in range(kind.qubits)
        )
        start = statevector(text, {})
        call = f"{name}({', '.join(map(str, angles))})" if angles else name
        found = statevector(text + f"{call} {', '.join(f'q[{k}]' for k in range(kind.qubits))};", {})
        expected = Operator(gate).data @ start
        if name in ("u2", "u3"):
            expected *= np.exp(-0.5j * (angles[-2] + angles[-1]))
        np.testing.assert_allclose(found, expected, atol=ROUNDING, err_msg=name)


def controlled(call: str) -> np.ndarray:
    """The state after a controlled gate on |+>|0>; the control is qubit 0."""
    text = f"{HEAD}input float θ; input float φ; input float λ; qubit[2] q; h q[0]; ctrl @ {call} q[0], q[1];"
    first, second = read(text).circuit, statevector(text, POINT)
    found = by_qiskit(first, POINT)
    assert same_state(found, second)
    return found * np.exp(-1j * np.angle(found[0]))


POINT = {"θ": 0.9, "φ": 0.4, "λ": -1.3}


def test_phase_of_u_has_an_effect_under_a_control():
    """U|0> = ½(1 + e^(iθ)) |0> + …: version 3.0 of the specification."""
    expected = 0.5 * (1 + np.exp(1j * POINT["θ"])) / math.sqrt(2)
    assert controlled("U(θ, φ, λ)")[1] == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize(("call", "theta"), [("u3(θ, φ, λ)", POINT["θ"]), ("u2(φ, λ)", math.pi / 2)])
def test_phase_of_u2_and_u3_has_an_effect_under_a_control(call: str, theta: float):
    expected = np.exp(-0.5j * (POINT["φ"] + POINT["λ"])) * math.cos(theta / 2) / math.sqrt(2)
    assert controlled(call)[1] == pytest.approx(expected, abs=ROUNDING)


def test_second_reading_is_none_above_ten_qubits():
    assert statevector(f"{HEAD}qubit[11] q; h q;", {}) is None
    assert statevector(f"{HEAD2}qreg q[11]; h q;", {}) is None
    assert statevector(f"{HEAD}qubit[10] q; x q[3];", {})[8] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "text",
    [
        "bit c; qubit q; U(1, 2, 3) q; c = measure q; U(1, 2, 3) q;",
        "qubit q; U(1, 2, 3) q; reset q;",
        "bit c; qubit q; if (c) { U(1, 2, 3) q; }",
        "input float a; qubit q; U(a, 0, 0) q;",
        "qubit q; U(1/2, 0, 0) q;",
        "qubit q; U(1.0/0, 0, 0) q;",
        "qubit q",
        "OPENQASM 2.0; qreg q[1]; creg c[1]; measure q -> c; U(1,2,3) q[0];",
    ],
)
def test_what_the_second_reading_does_not_support_is_unevaluated(text: str):
    with pytest.raises(Unevaluated):
        statevector(text, {})


# What is read.

DECLARED = (
    f"{HEAD}input float a; input float[64] b; input angle[16] g; qubit[4] q; qubit r; bit[4] c; bit d;\n"
)
FEATURES = {
    "broadcast": "h q; rx(a) q; cx q[0:1], q[2:3]; cx q[0], r;",
    "ranges": "rx(a) q[1:]; ry(b) q[-2:-1]; rz(g) q[3:-1:1]; h q[{0, 2}]; x q[:2:3];",
    "negative index": "h q[-1]; cx q[-1], q[-4];",
    "alias": "let pair = q[2:3] ++ r; rx(a) pair; cx pair[0], pair[-1]; let one = q[0]; ry(b) one;",
    "constants": "const float k = pi/3; const uint n = 2; const angle m = k*n; rx(k*a) q[n]; ry(m) q[n-1];",
    "operators": "rx(-a+2*pi) q; ry(2**0.5*b - tau/(3-1)) q[0]; rz(sin(0.3)*g + euler - 7 % 4) q;",
    "factor of zero": "rx(0*a - 0.3) q; ry(b*sin(0.0)) q[1]; rz(a - g) q;",
    "loop": "for uint i in [0:2] { cx q[i], q[i+1]; rx(a*i) q[i]; } for int i in {3, 0} { ry(b) q[i]; }",
    "nested loop": "for int i in [2:-1:0] { for int j in [0:i] { cp(a/(i+j+1)) q[j], q[3]; h q[j]; } }",
    "loop in a definition": "gate l(w) s { for int i in [1:3] { rx(w/i) s; rz(0.3) s; } } l(a) q;",
    "inverse of controls": "h q; inv @ ctrl @ cu(a, b, g, 0.3) q[0], q[1], q[2]; inv @ ctrl @ s q[1], r;",
    "fractional power": "pow(0.5) @ x q; h q; pow(1.0/3) @ y q[1]; ctrl @ pow(0.25) @ h q[0], q[1];",
    "whole powers": "pow(-3) @ ctrl @ rx(a) q[0], r; ctrl @ pow(2) @ t q[1], r; pow(0) @ x q; pow(2) @ s q;",
    "phase": "h q; ctrl @ gphase(a) q[1]; negctrl(2) @ gphase(b - 2) q[0], q[3]; gphase(g);",
    "controls": "h q; negctrl @ ctrl @ rx(a) q[0], q[2], q[1]; ctrl(2) @ inv @ s q[0], q[1], q[3];",
    "without effect": "barrier q; delay[100ns] q[0]; rx(a) q; barrier; @hint\nh q[1];",
    "measured": "rx(a) q; c = measure q; measure r -> d;",
    "shadowed": "const float w = 0.3; gate v(w, q, a) r { rx(w) r; ry(q) r; rz(a) r; } v(a, w, b) q;",
    "unicode": "gate д(θ, α) ж { rx(α) ж; ry(θ) ж; } д(a + π, τ/3) q;",
}


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("train", [False, True])
def test_program_is_read_as_numpy_evaluates_it(name: str, train: bool):
    head = (
        f"{HEAD}input float a; input float[64] b; input angle[16] g; qubit[4] q; qubit r; bit[4] c; bit d;\n"
    )
    if train and "loop" in name:
        head = head.replace("a*i", "a")
    assert same_state(*read_twice(head + FEATURES[name], 3, train))


@pytest.mark.parametrize(
    "version", ["OPENQASM 3.0;", "OPENQASM 3.1;", "OPENQASM 3;", "", "// 2.0\n/* OPENQASM 2.0; */"]
)
def test_versions_of_three_and_none_are_read(version: str):
    reading = read(f'{version}\ninclude "stdgates.inc"; input float a; qubit q; rx(a) q;')
    assert (reading.version, [p.name for p in reading.circuit.parameters]) == (3, ["a"])


def test_physical_qubits_are_read():
    assert same_state(*read_twice(f"{HEAD}input float a; h $0; cx $0, $2; rx(a) $2;"))


def test_byte_order_mark_is_left_out(tmp_path: Path):
    circuit = circuit_of(tmp_path, b"\xef\xbb\xbf" + ROT.encode()).circuit()
    assert [parameter.name for parameter in circuit.parameters] == ["tilt"]


# What is refused: line, column and reason.

REFUSED = {
    "semicolon": (
        "qubit[2] q;\nrx(tilt) q[0]\ncx q[0], q[1];",
        "line 6, column 1: ';' is missing before 'cx'",
    ),
    "parenthesis": ("qubit[2] q;\nry(tilt q[0];", "line 5, column 9: 'q' is not legal here"),
    "index": ("qubit[2] q;\nry(tilt) q[2];", "line 5, column 12: index 2 is out of range (legal: 0 to 1)"),
    "negative index": ("qubit[2] q;\nx q[-3];", "line 5, column 5: index -3 is out of range"),
    "range": ("qubit[2] q;\nx q[0:4];", "line 5, column 7: index 4 is out of range"),
    "division by zero": ("qubit q;\nrz(tilt/0) q;", "line 5, column 4: is a division by zero"),
    "constant division": ("qubit q;\nrz(1/(pi-pi)) q;", "line 5, column 4: is a division by zero"),
    "whole division": (
        "qubit q;\nrz(1/2) q;",
        "1/2 is a division of whole numbers, 0 in OpenQASM 3; write 1.0/2",
    ),
    "size": ("qubit[1000000000] q;", "line 4, column 1: q has 1000000000 bits (legal: 1 to 4096)"),
    "sizes": (
        "qubit[4000] q; qubit[97] r;",
        "r has 97 bits (legal: 1 to 4096, 4000 of which are declared already)",
    ),
    "empty register": ("qubit[0] q;", "q has 0 bits"),
    "physical": ("x $1000000000;", "out of range"),
    "no qubit": ("", "declares no qubit"),
    "name of a gate": (
        "input float s; qubit q;",
        "line 4, column 1: the name s is taken by a gate of stdgates.inc",
    ),
    "name twice": ("qubit q;\nqubit q;", "line 5, column 1: the name q is taken by line 4"),
    "name of a number": ("qubit pi;", "the name pi is taken by OpenQASM itself"),
    "input int": ("input int n; qubit q;", "input int is not supported (legal: input float, input angle)"),
    "input bool": ("input bool n; qubit q;", "input bool is not supported"),
    "input array": ("input array[float, 3] n; qubit q;", "input array is not supported"),
    "output": ("output float n; qubit q;", "output is not supported"),
    "variable": ("float n = 1.0; qubit q;", "variables are not supported"),
    "if": ("bit c; qubit q;\nif (c) { x q; }", "line 5, column 1: if is not supported"),
    "while": ("bit c; qubit q;\nwhile (c) { x q; }", "line 5, column 1: while is not supported"),
    "loop without end": ("qubit q;\nfor int i in [0:1000000000000] { x q; }", "too many gates"),
    "loops": ("for int i in [0:99999] { for int j in [0:99999] { } } qubit q;", "too many gates"),
    "loop over nothing known": ("bit[3] c; qubit q;\nfor bit b in c { x q; }", "a loop goes over a range"),
    "def": ("def f(qubit q) { x q; }", "line 4, column 1: def is not supported"),
    "defcal": ("defcal f $0 { play }", "line 4, column 1: defcal is not supported"),
    "pragma": ("#pragma fast\nqubit q;", "line 4, column 1: pragmas are not supported"),
    "box": ("qubit q; box { x q; }", "box is not supported"),
    "include": ('include "mine.inc"; qubit q;', "the file mine.inc cannot be included (legal: stdgates.inc)"),
    "gate": ("qubit q;\nfoo q;", "line 5, column 1: foo is not a gate that is defined above"),
    "recursion": ("gate f a { f a; }\nqubit q;", "line 4, column 12: f is not a gate that is defined above"),
    "angles": ("qubit q;\nrx(1, 2) q;", "line 5, column 1: rx takes 1 angles, has 2"),
    "qubits": ("qubit[3] q;\nctrl @ x q[0];", "line 5, column 1: acts on 2 qubits, has 1"),
    "controls": ("qubit q;\nctrl(100000000) @ x q;", "adds 100000000 controls"),
    "twice": ("qubit[3] q;\ncx q[0], q[0];", "line 5, column 1: names a qubit twice"),
    "lengths": ("qubit[3] q; qubit[2] r;\ncx q, r;", "takes registers of different lengths (2, 3)"),
    "unknown": (
        "qubit q;\nrx(tlit) q;",
        "line 5, column 4: tlit is not a known constant, parameter or input",
    ),
    "input in a body": (
        "gate f a { rx(tilt) a; } qubit q;",
        "tilt is not a known constant, parameter or input",
    ),
    "function": (
        "qubit q;\nrx(sin(tilt)) q;",
        "line 5, column 4: sin of a parameter is not supported (legal: + - * /)",
    ),
    "power": (
        "qubit q;\nrx(tilt**2) q;",
        "line 5, column 4: ** of a parameter is not supported (legal: + - * /)",
    ),
    "root": ("qubit q;\nrx((-1)**0.5) q;", "is not a number"),
    "large": ("qubit q;\nrx(10**10**10) q;", "is not a number"),
    "product of angles": ("gate f(a, b) q { rx(a*b) q; } qubit q;", "a product of angles"),
    "power of a rotation": (
        "qubit q;\npow(0.5) @ rx(tilt) q;",
        "a fractional power of a gate with angles",
    ),
    "powers": ("qubit q;\npow(0.5) @ pow(2) @ x q;", "a fractional power of a whole power"),
    "measurement": ("qubit q;\nmeasure q;", "line 5, column 1: a measurement needs a bit"),
    "text": ("qubit q; \x00", "is not OpenQASM"),
    "end": ("qubit q", "line 4, column 8: ';' is missing before the end of the file"),
    "signs": (f"qubit q; rx({'-' * 5000}1) q;", "is nested too deeply"),
    "sum": (f"qubit q; rx({'1+' * 5000}1) q;", "is nested too deeply"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_with_line_column_and_reason(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
):
    text, expected = REFUSED[name]
    assert expected in faults(tmp_path, f"{HEAD}input float[64] tilt;\n{text}")[0]
    assert capfd.readouterr() == ("", "")


def test_every_fault_of_a_file_is_listed(tmp_path: Path):
    text = f"{HEAD}qubit[2] q; input int n;\nx q[2];\nrx(n) q;\ny q[3];\nfoo q;"
    assert [fault.partition(":")[0] for fault in faults(tmp_path, text)] == [
        "line 3, column 13",
        "line 4, column 5",
        "line 6, column 5",
        "line 7, column 1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        (" \n\t\n", "is empty"),
        ("OPENQASM 4.0; qubit q;", "is OpenQASM 4.0 (legal: 2.0, 3.0, 3.1)"),
        ("\nOPENQASM 1.0; qreg q[1];", "line 2, column 1: is OpenQASM 1.0"),
        ("x" * (MOST_CHARACTERS + 1), f"(legal: at most {MOST_CHARACTERS})"),
        (
            "qubit q;\nU(" + "(" * 5000 + "1" + ")" * 5000 + ", 0, 0) q;",
            "line 2, column 1: has more than 50 nested brackets",
        ),
        ("".join(map(chr, range(256))), "is not OpenQASM"),
    ],
)
def test_file_that_is_no_program_is_refused(text: str, expected: str):
    assert expected in reason(text)


@pytest.mark.parametrize("version", [2, 3])
def test_definitions_that_double_are_refused_before_they_are_built(version: int):
    head = f"{HEAD}qubit q;" if version == 3 else f"{HEAD2}qreg q[1];"
    gates = "".join(f"gate d{k + 1}(w) q {{ d{k}(w) q; d{k}(w/2) q; }}\n" for k in range(30))
    message = reason(f"{head} gate d0(w) q {{ rx(w) q; }}\n{gates} d30(0.1) q;")
    assert f"too many gates, written out (legal: at most {MOST_GATES})" in message


def test_angle_that_is_a_division_by_zero_in_a_call_is_refused():
    text = f"{HEAD}gate f(a, b) q {{ rx(b/a) q; }} qubit q;\nf(0, 1) q;"
    assert reason(text) == "line 4, column 1: is a division by zero"


def test_binary_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"own\.qasm cannot be read: 'utf-8' codec"):
        circuit_of(tmp_path, bytes(range(256))).circuit()


# OpenQASM 2.

TWO = f"""{HEAD2}qreg q[2];
creg c[2];
gate rot(theta, phi) a {{ rz(phi) a; ry(theta + 0.1) a; }}
ry(0.3) q[0];
cx q[0], q[1];
rot(pi/2, 3*pi/4+0.1) q[1];
rz(-pi) q;
measure q -> c;
"""
STARTS = {"6:4": 0.3, "8:5": math.pi / 2, "8:11": 3 * math.pi / 4 + 0.1, "9:4": -math.pi}


def test_angles_of_openqasm_2_are_parameters_that_start_at_their_values(tmp_path: Path):
    circuit = circuit_of(tmp_path, TWO, train="angles")
    assert circuit.starts() == pytest.approx(STARTS, abs=1e-15)
    assert {parameter.name for parameter in circuit.circuit().parameters} == STARTS.keys()
    started = by_qiskit(circuit.circuit(), dict(circuit.starts()))
    assert same_state(started, Statevector(qasm2.loads(TWO).remove_final_measurements(inplace=False)).data)


def test_trained_angles_of_openqasm_2_are_read_as_qiskit_reads_other_numbers_there():
    assert same_state(*read_twice(TWO, 1, train=True))


def test_openqasm_2_without_train_is_refused_with_the_missing_option(tmp_path: Path):
    with pytest.raises(InputError) as error:
        circuit_of(tmp_path, TWO).circuit()
    (fault,) = error.value.faults
    assert fault.path == "model.train"
    assert "is OpenQASM 2, which has no parameters; train: angles makes" in fault.message


EXTRA = {
    "u": "u(0.1, 0.2, 0.3) q[0];",
    "sxdg": "sxdg q[0];",
    "cu1": "cu1(0.3) q[0], q[1];",
    "cu3": "cu3(0.3, 0.5, pi/4) q[0], q[1];",
    "cu": "cu(0.1, 0.2, 0.3, 0.4) q[0], q[1];",
    "csx": "csx q[0], q[1];",
    "rzz": "rzz(0.4) q[0], q[1];",
    "rxx": "rxx(0.4) q[0], q[1];",
    "rccx": "rccx q[0], q[1], q[2];",
    "rc3x": "rc3x q[0], q[1], q[2], q[3];",
    "c3x": "c3x q[0], q[1], q[2], q[3];",
    "c3sqrtx": "c3sqrtx q[0], q[1], q[2], q[3];",
    "c4x": "c4x q[0], q[1], q[2], q[3], q[4];",
    "standard": "p(0.3) q; cp(0.2) q[0],q[1]; swap q[0],q[4]; cswap q[0],q[1],q[2]; sx q; id q;",
    "functions": "rx(sin(0.3)+ln(2)-asin(0.1)*2^0.5^2) q[1]; ry(-2^2 + exp(.5e-1) - 1./4) q[0];",
    "own definition first": "gate rzz(t) a,b { cx a,b; rz(2*t) b; cx a,b; } rzz(0.3) q[1],q[0];",
    "own name": "qreg p[2]; creg tau[2]; gate bit(input) in { rx(input) in; } bit(0.2) p[0]; cx p,q[0];",
    "comment": "// é\nx q[0]; // ж",
}


@pytest.mark.parametrize("name", EXTRA)
def test_gates_and_names_of_public_collections_are_those_of_qiskits_reader(name: str):
    first = "".join(f"u3(0.{k + 3}, 0.2, {k}*0.3) q[{k}];\n" for k in range(5))
    assert same_state(*read_twice(f"{HEAD2}qreg q[5];\nh q;\n{first}{EXTRA[name]}", 2, train=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("qreg q[2]\nx q[0];", "line 4, column 1: ';' is missing before 'x'"),
        ("qreg q[2];\nx q[2];", "line 4, column 5: index 2 is out of range"),
        ("qreg q[2];\nrx(1/0) q[0];", "line 4, column 4: is a division by zero"),
        ("qreg q[2];\nrx(ln(-1)) q[0];", "line 4, column 4: is not a number"),
        ("qreg q[1000000000];", "q has 1000000000 bits"),
        ("qreg q[1];\nopaque g a;", "line 4, column 1: extern and opaque are not supported"),
        ("qreg q[1]; creg c[1];\nif (c==1) x q[0];", "line 4, column 1: if is not supported"),
        ('include "mine.inc"; qreg q[1];', "the file mine.inc cannot be included (legal: qelib1.inc)"),
        ("qreg q[1];\ngate x a { }", "line 4, column 1: 'x' is already defined"),
        ("qreg q[1];\nrx(?) q;", "line 4, column 4: '?' is not OpenQASM 2"),
        ("qreg q[1];\nrx(0.1 q;", "line 4, column 8: ')' is missing before 'q'"),
        ("qreg q[1];\nx", "a name is missing before the end of the file"),
        ("qreg q[1];\ngate g a { x a;", "a name is missing before the end of the file"),
        (f"qreg q[1]; rx({'-' * 5000}1) q;", "is nested too deeply"),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_openqasm_2_that_is_not_read_is_refused_with_its_position(text: str, expected: str, train: bool):
    assert expected in reason(HEAD2 + text, train)


def test_gate_of_qelib1_without_its_include_is_refused():
    assert (
        reason("OPENQASM 2.0;\nqreg q[1];\nrx(0.1) q;", True)
        == "line 3, column 1: 'rx' is not defined in this scope"
    )


# train: angles.


def test_angles_of_openqasm_3_are_trained_together_with_its_inputs(tmp_path: Path):
    gates = "rx(v) q[0];\nry(c*pi) q;\ncrz(0.2) q[0], q[1];\n"
    text = f"{HEAD}input float v; qubit[2] q;\nconst float c = 0.5;\n{gates}"
    circuit = circuit_of(tmp_path, text, train="angles", inputs=["v"])
    assert circuit.starts() == {"6:4": 0.5 * math.pi, "7:5": 0.2}
    assert {parameter.name for parameter in circuit.circuit().parameters} == {"v", "6:4", "7:5"}
    drawing = circuit.draw(1)
    assert sorted(symbol.name for layer in drawing.layers for symbol in layer) == ["6:4", "7:5"]


def test_angle_in_a_definition_stays_as_it_is():
    text = f"{HEAD}gate g(w) a {{ rx(w) a; ry(0.3) a; }} qubit q;\ng(0.2) q;"
    assert dict(read(text, True).starts) == {"4:3": 0.2}


def test_angle_that_differs_between_iterations_is_refused():
    text = f"{HEAD}qubit[3] q;\nfor int i in [0:2] {{ rx(i*0.5) q[i]; }}"
    assert "line 4, column 25: differs between iterations of a loop" in reason(text, True)
    assert dict(read(text.replace("i*0.5", "0.5"), True).starts) == {"4:25": 0.5}


def test_program_with_trained_angles_is_differentiated(tmp_path: Path):
    program = circuit_of(tmp_path, TWO, train="angles", observable="Z0").build(0, 0)
    assert program.parameters == 4
    point = np.full((1, 4), 0.7)
    inputs, axes = np.zeros((1, 1, 0)), np.zeros((1, 0), np.int8)
    (part,) = BatchedProgram(program).parts(point, inputs, axes, np.ones(1))
    assert part.expectation[0, 0] == pytest.approx(math.cos(0.7), abs=ROUNDING)


def test_option_at_its_default_changes_no_id(tmp_path: Path):
    assert circuit_of(tmp_path, ROT).identity().keys() == {"kind", "qasm", "format"}
    assert circuit_of(tmp_path, ROT, train="angles").identity()["train"] == "angles"


# Any file ends in a circuit or in a fault.

VALID = [
    ROT,
    TWO,
    random_program(3),
    *(DECLARED + FEATURES[name] for name in FEATURES),
]
PIECES = [
    "ctrl @ ",
    "pow(2) @ ",
    "1e9",
    "99",
    "for ",
    "if ",
    "U",
    "é",
    "\x00",
    '"',
    "/*",
    "++",
    "const ",
    "$7",
    "**",
    ")",
]


def mutated(generator: random.Random) -> str:
    """A valid file in which some words were replaced by others, or by pieces."""
    words = re.findall(r"\w+|.", generator.choice(VALID), re.DOTALL)
    for _ in range(generator.randint(1, 3)):
        position, start = generator.randrange(len(words)), generator.randrange(len(words))
        some = words[start : start + generator.randint(0, 4)]
        new = generator.choice([[words[start]], [words[start]], some, [generator.choice(PIECES)], []])
        words[position : position + generator.choice([0, 1, 1, 1, len(new)])] = new
    return "".join(words)


@pytest.mark.parametrize(("seed", "count"), [(7, 400), pytest.param(8, 10_000, marks=pytest.mark.long)])
def test_any_mutation_of_a_file_ends_in_a_circuit_or_in_a_fault(
    seed: int, count: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    generator, ends = random.Random(seed), {"circuit": 0, "fault": 0}
    for _ in range(count):
        text, train = mutated(generator), generator.choice([None, "angles"])
        try:
            circuit_of(tmp_path, text, train=train).circuit()
            ends["circuit"] += 1
        except InputError as error:
            assert all(fault.message for fault in error.faults)
            ends["fault"] += 1
    assert capfd.readouterr() == ("", "")
    assert min(ends.values()) > 20


# The certificate starts from the file; training starts from its values.


def test_certificate_finds_a_circuit_that_was_read_wrongly(tmp_path: Path):
    """The importer by itself binds arguments by name: Aer agrees with it, the second reading does not."""
    right = circuit_of(tmp_path, ROT, observable="Z0")
    assert certify(right.build(0, 0), 0) < ROUNDING
    drawing = right.draw(0)
    imported = qasm3.loads(ROT)
    wrong = replace(drawing, circuit=imported, layers=(tuple(imported.parameters),))
    assert certify(read_drawing(lambda: replace(wrong, state_at=None), "rot"), 0) < ROUNDING
    with pytest.raises(CertificateError, match="a second reading of the file gives"):
        certify(read_drawing(lambda: wrong, "rot"), 0)


def test_certificate_is_none_where_the_second_reading_does_not_know_the_file(tmp_path: Path):
    def unknown(_: dict[str, float]) -> None:
        raise Unevaluated("a part of it")

    drawing = circuit_of(tmp_path, ROT, observable="Z0").draw(0)
    assert certify(read_drawing(lambda: replace(drawing, state_at=unknown), "rot"), 0) is None


def test_trained_angles_start_at_their_values_for_all_seeds(tmp_path: Path):
    program = circuit_of(tmp_path, TWO, train="angles", observable="ZI").build(0, 0)
    found = program.initial(Streams([3, 4], 0))
    expected = [STARTS[name] for name in program.names]
    np.testing.assert_array_equal(found, [expected, expected])
    assert certify(program, 0) < ROUNDING


def test_inputs_of_openqasm_3_start_at_random_next_to_trained_angles(tmp_path: Path):
    text = f"{HEAD}input float a;\nqubit q;\nry(a) q;\nrx(0.25) q;\n"
    program = circuit_of(tmp_path, text, train="angles").build(0, 0)
    found = program.initial(Streams([3, 4], 0))
    assert program.names == ("a", "6:4")
    assert found[0, 0] != found[1, 0]
    assert found[:, 1].tolist() == [0.25, 0.25]


def test_reset_at_the_start_is_read(tmp_path: Path):
    text = f"{HEAD}input float tilt;\nqubit[2] q;\nreset q;\nry(tilt) q[0];\ncx q[0], q[1];\n"
    program = circuit_of(tmp_path, text, observable="Z1").build(0, 0)
    assert program.parameters == 1
    assert certify(program, 0) < ROUNDING


def test_parameters_of_openqasm_are_in_the_order_of_their_use(tmp_path: Path):
    text = f"{HEAD}input float first;\ninput float second;\nqubit[2] q;\nry(first) q[1];\nry(second) q[0];\n"
    program = circuit_of(tmp_path, text, observable="Z1").build(0, 0)
    assert program.names == ("first", "second")
    assert program.dead.tolist() == [False, True]


def test_sweep_of_a_published_file_of_openqasm_2_runs(tmp_path: Path):
    (tmp_path / "own.qasm").write_text(TWO)
    (tmp_path / "sweep.yaml").write_text(
        "name: two\nbase:\n  model: {kind: circuit, qasm: own.qasm, train: angles, observable: ZZ}\n"
        "  loss: expectation\n  gradient: {engine: adjoint}\n"
        "  updates: [{optimizer: sgd, learning_rate: 0.1}]\n  steps: 2\n  record: {parameters: final}\n"
        "sweep: [seed: [0, 1]]\n"
    )
    orchestrator.run(tmp_path / "sweep.yaml", tmp_path / "run", where=orchestrator.Where(inline=True))
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    assert trials.status.tolist() == ["done", "done"]
    assert trials.final_loss.nunique() == 1  # all seeds start alike
    assert trials.certificate.max() < 1e-12
    assert set(pd.read_parquet(tmp_path / "run" / "parameters").name) == STARTS.keys()
