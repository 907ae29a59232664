"""Users' code is executed only if trusted, under names of its own, and each exception is one fault."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import orchestrator
from orchestrator import user_code
from orchestrator.api.running import Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.cli.submit import _command
from orchestrator.driver.failures import Failure
from orchestrator.errors import ChangedFile, InputError, WorkerLost, plain
from orchestrator.models.circuits.python_circuit import PythonCircuit
from orchestrator.sweep.file import load
from orchestrator.sweep.shipment import ROOT, shipment
from orchestrator.training.worker import Preparation
from orchestrator.trial.pinned import load_problem

INLINE = orchestrator.Where(inline=True)

SWEEP = """\
name: own
base:
  mode: probe
  model: {kind: circuit, python: "circuits:made"}
  loss: expectation
  gradient: {engine: adjoint}
  steps: 2
sweep: [seed: [0, 1]]
"""

HEAD = """\
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter


def drawn(kind=QuantumCircuit):
    circuit = kind(1)
    circuit.rx(Parameter("a"), 0)
    return circuit


"""
MADE = "def made():\n    return drawn()\n"

CANARY = """\
from pathlib import Path

Path(__file__).with_suffix(".executed").touch()
"""


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins and ends without trust."""
    monkeypatch.delenv(user_code.VARIABLE, raising=False)
    user_code.allow(user_code.Trust())
    yield
    user_code.allow(user_code.Trust())


def sweep(here: Path, body: str = MADE, **model: object) -> Path:
    """Writes a sweep file, and next to it a module ``circuits`` with this body."""
    here.mkdir(exist_ok=True)
    (here / "circuits.py").write_text(HEAD + body)
    text = SWEEP
    if model:
        named = {"kind": "circuit", "python": "circuits:made", **model}
        text = SWEEP.replace('{kind: circuit, python: "circuits:made"}', json.dumps(named))
    (here / "own.yaml").write_text(text)
    return here / "own.yaml"


def asked(*words: object) -> Result:
    return CliRunner().invoke(command_line, [str(word) for word in words])


def refused(*words: object) -> str:
    """The error with which a verb refuses its arguments."""
    error = asked(*words).exception
    assert isinstance(error, InputError), repr(error)
    return str(error)


def process(*words: object) -> subprocess.CompletedProcess[str]:
    """The result of a command in a process of its own."""
    command = [sys.executable, "-m", "orchestrator", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# Exceptions of users' code.

IN_A_FUNCTION = {
    "exit": ("sys.exit(0)", "SystemExit: 0"),
    "exit without a code": ("raise SystemExit", "SystemExit"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "generator": ("raise GeneratorExit", "GeneratorExit"),
    "iteration": ("next(iter(()))", "StopIteration"),
    "recursion": ("again = lambda: again(); again()", "RecursionError: maximum recursion depth exceeded"),
    "memory": ("bytearray(1 << 60)", "MemoryError"),
    "warning": ("warnings.simplefilter('error'); warnings.warn('old')", "UserWarning: old"),
    "our own": ("raise WorkerLost('gone')", "WorkerLost: gone"),
    "unspeakable": ("raise Unspeakable", "Unspeakable: its message cannot be shown"),
    "several lines": ("raise ValueError('one\\ntwo')", "ValueError: one two"),
    "coloured": ("raise ValueError('\\x1b[31mred\\x1b[0m\\a \\udcff')", "ValueError: red ?"),
    "thread": ("threading.current_thread().join()", "RuntimeError: cannot join current thread"),
    "missing neighbour": ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
}

IMPORTS = """\
import sys
import threading
import warnings

from orchestrator.errors import WorkerLost


class Unspeakable(Exception):
    def __str__(self):
        sys.exit(0)


"""


@pytest.mark.parametrize("name", IN_A_FUNCTION)
def test_whatever_a_function_raises_is_a_fault_with_file_and_line(name: str, tmp_path: Path) -> None:
    statement, expected = IN_A_FUNCTION[name]
    body = f"{IMPORTS}def made():\n    {statement}\n    return drawn()\n"
    filters = list(warnings.filters)
    with pytest.raises(InputError) as error:
        load(sweep(tmp_path, body))
    (fault,) = error.value.faults
    line = (HEAD + body).splitlines().index(f"    {statement}") + 1
    assert (fault.path, fault.line) == ("model.arguments", 4)
    assert fault.message == (f"circuits:made raised {expected} ({tmp_path}/circuits.py:{line})")
    assert warnings.filters == filters


@pytest.mark.parametrize("name", IN_A_FUNCTION)
def test_whatever_a_module_raises_is_a_fault_with_file_and_line(name: str, tmp_path: Path) -> None:
    statement, expected = IN_A_FUNCTION[name]
    body = f"{IMPORTS}{statement}\n"
    with pytest.raises(InputError) as error:
        load(sweep(tmp_path, body))
    (fault,) = error.value.faults
    line = (HEAD + body).splitlines().index(statement) + 1
    assert (fault.path, fault.line) == ("model.python", 4)
    assert fault.message == f"circuits.py raised {expected} ({tmp_path}/circuits.py:{line})"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            b"x = 1\ny = (\n",
            r"SyntaxError: '\(' was never closed \(circuits\.py, line 2\) \(.*circuits\.py:2\)",
        ),
        (b"x = '\xff'\n", r"SyntaxError: .* \(.*circuits\.py:\d\)"),
        (b"x = '\0'\n", r"(SyntaxError|ValueError): source code (string )?cannot contain null bytes \(.*"),
        (b"import helper\n", r"SyntaxError: invalid syntax \(helper\.py, line 1\) \(.*circuits\.py:1\)"),
    ],
)
def test_module_that_is_no_python_is_a_fault(tmp_path: Path, source: bytes, expected: str) -> None:
    path = sweep(tmp_path)
    (tmp_path / "circuits.py").write_bytes(source)
    (tmp_path / "helper.py").write_text("nonsense here\n")
    with pytest.raises(InputError, match=f"circuits.py raised {expected}"):
        load(path)


OBJECTS = {
    "attribute": "class Kind(QuantumCircuit):\n    parameters = property(lambda self: exit(0))\n",
    "method": "class Kind(QuantumCircuit):\n    def find_bit(self, bit):\n        exit(0)\n",
    "class": "class Kind:\n    __class__ = property(lambda self: exit(0))\n    rx = print\n"
    "    def __init__(self, qubits):\n        pass\n",
    "nonsense": "class Kind(QuantumCircuit):\n    data = property(lambda self: 1 / 0)\n",
}


@pytest.mark.parametrize("name", OBJECTS)
def test_object_whose_attributes_raise_is_a_fault_with_file_and_line(name: str, tmp_path: Path) -> None:
    body = f"from sys import exit\n{OBJECTS[name]}\ndef made():\n    return drawn(Kind)\n"
    message = r"raised (SystemExit: 0|ZeroDivisionError: .*) \(.*/circuits\.py:\d+\)$"
    with pytest.raises(InputError, match=message):
        load(sweep(tmp_path, body))


GATE = """\
import os
import sys


class Mine(Gate):
    def _define(self):
        if {condition}:
            {statement}
        self.definition = drawn().assign_parameters(self.params)


def made(driver=0):
    circuit = QuantumCircuit(1)
    circuit.append(Mine("mine", 1, [Parameter("a")]), [0])
    return circuit
"""


@pytest.mark.parametrize("statement", ["sys.exit(0)", "raise KeyboardInterrupt", "raise ValueError('no')"])
def test_gate_whose_definition_raises_is_a_fault_with_gate_file_and_line(
    statement: str, tmp_path: Path
) -> None:
    body = GATE.format(condition=True, statement=statement)
    line = (HEAD + body).splitlines().index(f"            {statement}") + 1
    with pytest.raises(InputError) as error:
        load(sweep(tmp_path, body))
    message = str(error.value)
    assert "gate 0 (mine on q0): the definition of mine raised " in message
    assert message.endswith(f"({tmp_path}/circuits.py:{line})")


LATER = """\
import sys
from pathlib import Path

ALREADY = Path(__file__).with_name("already")


def made():
    circuit = drawn()
    if ALREADY.exists():
        {statement}
    return circuit
"""


@pytest.mark.parametrize("statement", ["sys.exit(0)", "raise KeyboardInterrupt"])
def test_what_is_raised_once_the_plan_is_made_fails_the_trial(statement: str, tmp_path: Path) -> None:
    """The certificate draws the circuit again."""

    class Later(Watcher):
        def opened(self, *_: object) -> None:
            (tmp_path / "already").touch()

    path = sweep(tmp_path, LATER.format(statement=statement))
    result = orchestrator.run(path, tmp_path / "run", where=INLINE, watcher=Later())
    assert (result.exit_code, result.failed) == (1, 2)
    errors = pd.read_parquet(tmp_path / "run" / "trials").error
    assert errors.str.startswith("error: Traceback").all()
    assert errors.str.contains(r"circuits:made raised \w+(?:: 0)? \(.*circuits\.py:\d+\)").all()


def test_plan_and_run_of_a_module_that_exits_say_so_and_exit_with_2(tmp_path: Path) -> None:
    path = sweep(tmp_path, "import sys\nsys.exit(0)\n")
    message = f"{path}:4: model.python: circuits.py raised SystemExit: 0 ({tmp_path}/circuits.py:12)\n"
    for words in (("plan",), ("run", "--inline", "--out", tmp_path / "run")):
        done = process(*words, path)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_in_users_code_stays_a_ctrl_c(tmp_path: Path) -> None:
    # a shell without job control starts background processes with SIGINT ignored, which children inherit
    body = """\
import signal


def made():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
    return drawn()
"""
    done = process("plan", sweep(tmp_path, body))
    assert (done.returncode, done.stdout) == (130, "")
    with pytest.raises(KeyboardInterrupt):
        load(sweep(tmp_path, body.replace("raise_signal(signal.SIGINT)", "default_int_handler(2, None)")))


def test_threads_and_printing_are_allowed(tmp_path: Path) -> None:
    body = """\
import threading


def made():
    print("drawing")
    thread = threading.Thread(target=drawn)
    thread.start()
    thread.join()
    return drawn()
"""
    done = asked("plan", sweep(tmp_path, body))
    assert done.exit_code == 0, done.output
    assert "drawing\n" in done.stdout
    assert f"\ncode: calls circuits:made of {tmp_path}/circuits.py\n" in done.stdout


# Which code is trusted.


def test_no_function_outside_the_folder_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary.executed"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "canary.py").write_text(CANARY)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("import canary\n")
    (tmp_path / "pack" / "inner.py").write_text("def f():\n    pass\n")
    touch = f"touch {canary}"
    for function, arguments in {
        "os:system": {"command": touch},
        "subprocess:run": {"args": touch, "shell": True},
        "subprocess:getoutput": {"cmd": touch},
        "builtins:eval": {"source": f"open({str(canary)!r}, 'w')"},
        "runpy:run_path": {"path_name": str(tmp_path / "canary.py")},
        "orchestrator.process:keep_freed_memory": {},
        "canary:f": {},
        "pack.inner:f": {},
    }.items():
        path = sweep(tmp_path / "sweeps", python=function, arguments=arguments)
        for words in (("plan", path), ("run", path, "--inline", "--out", tmp_path / "run")):
            message = refused(*words)
            assert f"{path}:4: model.python: " in message
            assert "give --trust " in message or "there is no module builtins" in message
    assert not canary.exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["a\0b", "\ud800", "x" * 5000, "nowhere"])
def test_folder_that_cannot_be_is_a_fault(folder: str, tmp_path: Path) -> None:
    sweep(tmp_path)
    values = {"kind": "circuit", "python": "circuits:made", "folder": folder}
    with pytest.raises(InputError, match="there is no module circuits in "):
        PythonCircuit.parse(values, folder=str(tmp_path)).build(0, 0)


@pytest.mark.parametrize(
    "name", ["..circuits:made", "../circuits:made", "a..b:made", "/x/circuits:made", ".:f"]
)
def test_module_is_no_path(name: str, tmp_path: Path) -> None:
    assert "must be package.module:function" in refused("plan", sweep(tmp_path, python=name))


def outside(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a module ``canary`` that draws, and one for a sweep."""
    (folder := tmp_path / "elsewhere").mkdir()
    (folder / "canary.py").write_text(CANARY + HEAD + MADE)
    (here := tmp_path / "here").mkdir()
    return folder, here


@pytest.mark.parametrize("written", ["absolute", "upwards", "link"])
def test_folder_outside_the_sweeps_own_takes_trust(written: str, tmp_path: Path) -> None:
    folder, here = outside(tmp_path)
    (here / "linked").symlink_to(folder)
    spelling = {"absolute": str(folder), "upwards": "../elsewhere", "link": "linked"}[written]
    path = sweep(here, python="canary:made", folder=spelling)
    message = refused("plan", path)
    assert f"{path}:4: model.folder: is " in message
    assert message.endswith(f"give --trust {folder}")
    assert not (folder / "canary.executed").exists()
    assert asked("plan", path, "--trust", folder).exit_code == 0
    assert (folder / "canary.executed").exists()


@pytest.mark.parametrize("name", ["canary", "circuits"])
def test_link_that_leads_out_of_the_folder_takes_trust(name: str, tmp_path: Path) -> None:
    """Both for the named module and for an imported one."""
    folder, here = outside(tmp_path)
    path = sweep(here, "import canary\n" + MADE, python=f"{name}:made")
    (here / "canary.py").symlink_to(folder / "canary.py")
    message = refused("plan", path)
    assert f"{here}/canary.py is a link to {folder}/canary.py, outside the trusted folders" in message
    assert f"give --trust {folder}" in message
    assert not list(tmp_path.rglob("*.executed"))
    assert asked("plan", path, "--trust", folder).exit_code == 0


def test_folder_below_the_sweeps_own_is_its_own(tmp_path: Path) -> None:
    path = sweep(tmp_path, python="inner:made", folder="below/it")
    (tmp_path / "below" / "it").mkdir(parents=True)
    (tmp_path / "below" / "it" / "inner.py").write_text(HEAD + MADE)
    assert asked("plan", path).exit_code == 0


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on Python's path, in which ``trusted_pack.inner:made`` draws."""
    (folder := tmp_path / "path" / "trusted_pack").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for name in ("inner", "other"):
        (folder / f"{name}.py").write_text(HEAD + MADE)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("PYTHONPATH", f"{folder.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    yield folder
    for name in [name for name in sys.modules if name.startswith("trusted_pack")]:
        del sys.modules[name]


@pytest.mark.parametrize("trust", ["trusted_pack", "trusted_pack.inner"])
def test_package_is_trusted_by_option_variable_or_argument(
    trust: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sweep(tmp_path / "sweeps", python="trusted_pack.inner:made")
    assert "give --trust trusted_pack" in refused("plan", path)
    planned = asked("plan", path, "--trust", "json", "--trust", trust)
    assert f"code: calls trusted_pack.inner:made of {package}/inner.py\n" in planned.stdout
    assert "give --trust" in refused("plan", path)
    assert orchestrator.run(path, tmp_path / "run", where=INLINE, trust=[trust]).finished
    monkeypatch.setenv(user_code.VARIABLE, f"json, {trust}")
    assert asked("plan", path).exit_code == 0


def test_package_that_changes_is_not_taken_for_what_the_process_has_executed(
    package: Path, tmp_path: Path
) -> None:
    path = sweep(tmp_path / "sweeps", python="trusted_pack.inner:made")
    assert load(path, trust=["trusted_pack"]).plan.count == 2
    (package / "inner.py").write_text(HEAD + MADE + "MORE = 1\n")
    with pytest.raises(InputError, match=r"trusted_pack\.inner has changed since this process executed it"):
        load(path, trust=["trusted_pack"])
    planned = process("plan", path, "--trust", "trusted_pack")
    assert (planned.returncode, planned.stderr) == (0, "")


@pytest.mark.parametrize("trust", ["trusted_pack.other", "trusted", "trusted_pack.inner.made", "inner"])
def test_trust_in_one_package_is_none_in_another(trust: str, package: Path, tmp_path: Path) -> None:  # noqa: ARG001
    path = sweep(tmp_path / "sweeps", python="trusted_pack.inner:made")
    assert "is not executed" in refused("plan", path, "--trust", trust)
    assert "trusted_pack" not in sys.modules


@pytest.mark.parametrize("trust", ["./nowhere", "no-package", "", "a b", "os:system", "~nobody/x", "a/\0"])
def test_trust_in_what_is_neither_folder_nor_package_is_refused(trust: str, tmp_path: Path) -> None:
    message = f"--trust: is {trust!r}, must be a folder (./circuits) or a package's name"
    assert refused("plan", sweep(tmp_path), "--trust", trust) == message


def test_package_may_lie_elsewhere_where_it_is_computed(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sweep(tmp_path / "sweeps", python="trusted_pack.inner:made")
    pinned = load(path, trust=["trusted_pack"]).plan.structures[0].pinned
    shutil.move(package.parent, tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert load_problem(pinned).model.parameters == 1
    (tmp_path / "elsewhere" / "trusted_pack" / "inner.py").write_text(HEAD + MADE + "MORE = 1\n")
    load_problem.cache_clear()  # as in a process that has not loaded it
    with pytest.raises(ChangedFile, match=r"^trusted_pack\.inner changed after the sweep was planned"):
        load_problem(pinned)


def test_trust_is_not_kept_in_the_run_nor_in_ids(package: Path, tmp_path: Path) -> None:
    inside = sweep(tmp_path / "inside", python="inner:made")
    shutil.copy(package / "inner.py", inside.parent)
    path = sweep(tmp_path / "sweeps", python="trusted_pack.inner:made")
    orchestrator.run(path, tmp_path / "run", where=INLINE, trust=["trusted_pack", tmp_path / "inside"])
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    assert sorted(trials.trial) == sorted(trial.id for trial in load(inside).plan.trials())
    kept = [*trials.configuration, (tmp_path / "run" / "sweep.yaml").read_text()]
    assert all("trusted_pack.inner:made" in text for text in kept)
    assert not any('trust"' in text or str(tmp_path / "inside") in text for text in kept)


def test_verify_calls_code_only_with_trust_or_the_sweep_file(tmp_path: Path) -> None:
    folder, here = outside(tmp_path)
    path = sweep(here, python="canary:made", folder=str(folder))
    orchestrator.run(path, tmp_path / "run", where=INLINE, trust=[folder])
    executed = folder / "canary.executed"
    executed.unlink()
    assert refused("verify", tmp_path / "run") == (
        f"model.python: is canary:made in {folder}, and code is not executed only because a run names it; "
        f"give --sweep FILE, the sweep file in that folder, or --trust {folder}"
    )
    assert f"is {folder}, not trusted" in refused("verify", tmp_path / "run", "--sweep", path)
    assert not executed.exists()
    assert asked("verify", tmp_path / "run", "--trust", folder).exit_code == 0
    (folder / "own.yaml").write_text(path.read_text())
    assert asked("verify", tmp_path / "run", "--sweep", folder / "own.yaml").exit_code == 0
    missing = refused("verify", tmp_path / "run", "--sweep", tmp_path / "nowhere.yaml")
    assert missing == f"--sweep: is {tmp_path}/nowhere.yaml, must be an existing file"


def test_workers_trust_what_the_driver_trusts(cluster: str, tmp_path: Path) -> None:  # noqa: ARG001
    """On Ray: a folder outside the sweep's own, with a second module; an exit there fails the trials."""
    folder, here = outside(tmp_path)
    (folder / "helper.py").write_text("NAME = 'a'\n")
    body = "import os\nimport sys\nfrom helper import NAME\n\n\ndef made(driver=0):\n"
    body += "    if driver and os.getpid() != driver:\n        sys.exit(0)\n    return drawn()\n"
    (folder / "drawing.py").write_text(HEAD + body)
    path = sweep(here, python="drawing:made", folder=str(folder))
    where, out = orchestrator.Where(workers=1), tmp_path / "run"
    orchestrator.run(path, out, where=where, trust=[folder])
    assert pd.read_parquet(out / "trials").status.tolist() == ["done", "done"]
    changes = [f"base.model.arguments.driver={os.getpid()}", "name=exits"]
    result = orchestrator.run(path, tmp_path / "exits", where=where, trust=[folder], overrides=changes)
    assert result.exit_code == 1
    trials = pd.read_parquet(tmp_path / "exits" / "trials")
    assert trials.status.tolist() == ["failed", "failed"]
    assert trials.error.str.contains(rf"drawing:made raised SystemExit: 0 \({folder}/drawing\.py:\d+\)").all()
    assert not trials.error.str.contains("\x1b").any()


def test_preparation_takes_trust_along(tmp_path: Path) -> None:
    plan = load(sweep(tmp_path), trust=["json"]).plan
    sent = pickle.dumps(Preparation.of(plan, 1))
    user_code.allow(user_code.Trust())
    assert pickle.loads(sent).trust == user_code.Trust((str(tmp_path),), ("json",))


@pytest.mark.parametrize("kind", ["own", "folder", "link", "package"])
def test_shipped_sweep_calls_what_it_calls_here(
    kind: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacked elsewhere, with the command of the job; the original files are gone, except the package."""
    folder, here = outside(tmp_path)
    path = sweep(here, "from angles import NAME\n" + MADE)
    (here / "angles.py").write_text("NAME = 'a'\n")
    trust: list[str] = []
    if kind in ("folder", "link"):
        (tmp_path / "linked").symlink_to(folder)
        named = folder if kind == "folder" else tmp_path / "linked"
        path, trust = sweep(here, python="canary:made", folder=str(named)), [str(folder)]
    if kind == "package":
        path, trust = sweep(here, python="trusted_pack.inner:made"), [package.name]
    planned = load(path, trust=trust)
    shipped = shipment(planned, path.name)
    command = _command(shipped, str(tmp_path / "run"), None, False, user_code.trusted().packages)
    assert [word for word in command if word.startswith("--trust")] == [f"--trust={package.name}"] * (
        kind == "package"
    )
    (there := tmp_path / "there").mkdir()
    shipped.write(there / "shipment.zip", {})
    zipfile.ZipFile(there / "shipment.zip").extractall(there)
    ids = sorted(trial.id for trial in planned.plan.trials())
    shutil.rmtree(here)
    shutil.rmtree(folder)
    assert command[:3] == ["python", "-m", "orchestrator"]
    monkeypatch.chdir(there)
    done = asked(*command[3:], "--inline")
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert sorted(pd.read_parquet(tmp_path / "run" / "trials").trial) == ids
    assert (there / ROOT).is_dir()


def test_files_are_what_a_module_may_import_from_its_folder(tmp_path: Path) -> None:
    """Also from folders without __init__.py, inside functions, and next to a module that is not Python."""
    written = {
        "circuits.py": "import plain.inner, broken, numpy\nfrom pack import sub as s\n"
        "def made():\n    from helper import name\n    from . import unused\n",
        "plain/inner.py": "from .beside import x\n",
        "plain/beside.py": "from circuits import made\n",
        "pack/__init__.py": "from .deep.er import x\n",
        "pack/sub.py": "",
        "pack/deep/er.py": "from ... import unused\nfrom .. import numpy\n",
        "pack/numpy.py": "",
        "helper.py": "",
        "broken.py": "no Python\n",
    }
    for name, text in {**written, "numpy.py": "", "unused.py": "", "pack/unused.py": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = user_code.Function("circuits:made", str(tmp_path), "model").files()
    assert [str(file.relative_to(tmp_path)) for file in found] == sorted(written)


# Names of modules.


def test_modules_called_like_others_do_not_replace_them(tmp_path: Path) -> None:
    names = ("numpy", "random", "qiskit", "json", "orchestrator", "helper")
    for name in names:
        (tmp_path / f"{name}.py").write_text(CANARY)
    body = """\
import json
import random

import helper
import numpy as np
import orchestrator.errors
from numpy.linalg import norm


def made():
    import qiskit

    assert np.float64(random.random()) < norm([1.0])
    assert json.loads("1") == 1 and qiskit.QuantumCircuit is QuantumCircuit
    assert orchestrator.errors.InputError and helper.Path
    return drawn()
"""
    before = {name: importlib.import_module(name) for name in names[:-1]}
    path = sweep(tmp_path, body)
    assert asked("plan", path).exit_code == 0
    assert [one.stem for one in tmp_path.glob("*.executed")] == ["helper"]
    assert {name: importlib.import_module(name) for name in before} == before
    assert "helper" not in sys.modules
    assert "circuits" not in sys.modules


@pytest.mark.parametrize("name", ["random", "numpy", "qiskit"])
def test_module_called_like_another_can_be_named(name: str, tmp_path: Path) -> None:
    path = sweep(tmp_path, python=f"{name}:made")
    (tmp_path / f"{name}.py").write_text(HEAD + MADE)
    known = importlib.import_module(name)
    planned = asked("plan", path)
    assert f"code: calls {name}:made of {tmp_path}/{name}.py\n" in planned.stdout
    assert sys.modules[name] is known


NEIGHBOURS = {
    "import": "import helper\nassert helper.NAME == 'a'\n",
    "from": "from helper import NAME\nassert NAME == 'a'\n",
    "package": "import pack\nassert pack.NAME == 'a' and pack.random.OWN and pack.sub.NAME == 'a'\n",
    "submodule": "import pack.sub\nassert pack.sub.NAME == 'a'\n",
    "submodule as": "import pack.sub as sub\nassert sub.NAME == 'a'\n",
    "submodule from": "from pack import sub\nassert sub.NAME == 'a'\n",
    "star": "from pack.sub import *\nassert NAME == 'a'\n",
    "call": "assert __import__('helper').NAME == 'a'\n",
    "folder": "from plain.inner import NAME\nassert NAME == 'a'\n",
    "circle": "import round\nassert round.circuits.QuantumCircuit\n",
}


@pytest.mark.parametrize(
    ("name", "when"),
    [
        *((name, "at once") for name in NEIGHBOURS),
        *((name, "when called") for name in NEIGHBOURS if name != "star"),  # not allowed inside a function
    ],
)
def test_module_may_import_its_neighbours(name: str, when: str, tmp_path: Path) -> None:
    files = {
        "helper.py": "NAME = 'a'\n",
        "round.py": "import circuits\n",
        "plain/inner.py": "import helper\nNAME = helper.NAME\n",
        "pack/__init__.py": "from . import random, sub\nfrom .sub import NAME\n",
        "pack/sub.py": "from helper import *\n",
        "pack/random.py": "OWN = True\n",
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    statement = NEIGHBOURS[name]
    if when == "when called":
        statement = f"def made():\n    {statement.replace(chr(10), chr(10) + '    ')}return drawn()\n"
    path = sweep(tmp_path, statement + (MADE if when == "at once" else ""))
    assert load(path).plan.count == 2
    assert not list(tmp_path.rglob("__pycache__"))


def test_import_above_the_folder_is_refused_as_python_refuses_it(tmp_path: Path) -> None:
    path = sweep(tmp_path, "from . import helper\n" + MADE)
    (tmp_path / "helper.py").write_text("")
    message = "circuits.py raised ImportError: attempted relative import beyond top-level package ("
    assert message in refused("plan", path)


def test_internal_name_of_a_module_is_in_no_message(tmp_path: Path) -> None:
    path = sweep(tmp_path, "from helper import nothing\n" + MADE)
    (tmp_path / "helper.py").write_text("")
    message = f"ImportError: cannot import name 'nothing' from 'helper' ({tmp_path}/helper.py) ({tmp_path}"
    assert message in refused("plan", path)


def test_changed_neighbour_is_read_by_the_next_plan_and_refused_by_the_one_before(tmp_path: Path) -> None:
    path = sweep(tmp_path, "import helper\ndef made():\n    return drawn().power(helper.POWER)\n")
    sizes, changed = [], f"^{tmp_path}/helper.py changed after the sweep was planned"
    for power in (1, 2, 3):  # equal length and second: old bytecode would count as current
        (tmp_path / "helper.py").write_text(f"POWER = {power}\n")
        pinned = load(path).plan.structures[0].pinned
        sizes.append(len(load_problem(pinned).model.circuits[0].gates))
        (tmp_path / "helper.py").write_text("POWER = 9\n")
        load_problem.cache_clear()  # as in a process that has not loaded it
        with pytest.raises(ChangedFile, match=changed):
            load_problem(pinned)
    assert sizes == [1, 2, 3]


def test_source_is_executed_as_it_stands_there(tmp_path: Path) -> None:
    """This package's own ``from __future__`` imports do not apply to it."""
    path = sweep(
        tmp_path, "def made(a: 1 / 2 = 0):\n    assert made.__annotations__['a'] == 0.5\n    return drawn()\n"
    )
    assert load(path).plan.count == 2


# Text.


@given(st.text(st.characters() | st.sampled_from("\x1b\x9b[]31m;\a\\")))
def test_plain_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    cleaned = plain(text)
    assert all(sign in "\n\t" or not (ord(sign) < 32 or 127 <= ord(sign) < 160) for sign in cleaned)
    assert plain(cleaned) == cleaned
    cleaned.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07rest \x1b]8;;http://x\x1b\\link", "rest link"),
        ("a\x1b[2Jb\x1b(Bc\x08\r\n\td", "abc\n\td"),
        ("Grün ∂θ", "Grün ∂θ"),
    ],
)
def test_plain_text_keeps_printable_characters(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_failures_are_kept_as_plain_text() -> None:
    """Ray colours the names of actors."""
    assert (
        Failure.of(WorkerLost("\x1b[36mray::Worker\x1b[39m died"), "").message(1)
        == "worker lost: ray::Worker died"
    )
    failure = Failure.of(ValueError(), '  File "\x1b[35mx.py", line 1\nValueError: \x1b[1mno\x1b[0m \udcff')
    assert failure.text == '  File "x.py", line 1\nValueError: no ?'
    assert failure.mark == 'ValueError at File "x.py", line 1'
