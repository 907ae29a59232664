"""A trial's id covers the user's code: the named module, and the modules of its folder that it imports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import orchestrator
from orchestrator import user_code
from orchestrator.api.running import Watcher
from orchestrator.driver.counts import Counts
from orchestrator.errors import InputError
from orchestrator.models.circuits.python_circuit import PythonCircuit
from orchestrator.sweep.file import Sweep, load
from orchestrator.sweep.shipment import ROOT, shipment

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
ALONE = """\
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter


def drawn(kind=QuantumCircuit):
    circuit = kind(1)
    circuit.rx(Parameter("a"), 0)
    return circuit


def made():
    return drawn()
"""
ALONE_IDS = ["65368c33990ac31c", "75ddcc60cec04243"]
"""Of ``SWEEP`` with the module ``ALONE``, as version 0.1.0.dev1 gave them."""

WITH_ANGLE = """\
from helper import ANGLE
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter


def made():
    circuit = QuantumCircuit(1)
    circuit.rx(ANGLE * Parameter("a"), 0)
    return circuit
"""


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(user_code.VARIABLE, raising=False)
    yield
    user_code.allow(user_code.Trust())


def write(folder: Path, **files: str) -> Path:
    """Writes a sweep file, and modules next to it."""
    for name, text in files.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "own.yaml").write_text(SWEEP)
    return folder / "own.yaml"


def ids(sweep: Path) -> list[str]:
    return [trial.id for trial in load(sweep).plan.trials()]


class Looking(Watcher):
    """Keeps the counts from before the run."""

    def opened(self, sweep: Sweep, out: Path | str, counts: Counts) -> None:  # noqa: ARG002
        self.counts = counts


def test_edited_helper_makes_new_trials_and_abandons_the_old_ones(tmp_path: Path) -> None:
    sweep, looking = write(tmp_path, circuits=WITH_ANGLE, helper="ANGLE = 1.0\n"), Looking()
    again = {"where": orchestrator.Where(inline=True), "watcher": looking}
    orchestrator.run(sweep, tmp_path / "run", **again)
    before = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial")
    (tmp_path / "helper.py").write_text("ANGLE = 2.0\n")
    assert orchestrator.run(sweep, tmp_path / "run", **again).finished
    counts = looking.counts
    assert (counts.kept, counts.new, counts.abandoned) == (0, 2, 2)
    assert counts.why == "circuits.py or helper.py has changed, or this version reads it differently"
    after = pd.read_parquet(tmp_path / "run" / "trials").set_index("trial")
    assert after[after.current].index.tolist() == sorted(ids(sweep))
    assert not after[after.current].final_loss.isin(before.final_loss).any()


def test_module_that_imports_nothing_of_its_folder_keeps_its_id(tmp_path: Path) -> None:
    """Also with other files in the folder, and in a package whose ``__init__.py`` has no code."""
    assert ids(write(tmp_path / "alone", circuits=ALONE)) == ALONE_IDS
    assert ids(write(tmp_path / "beside", circuits=ALONE, helper="ANGLE = 1.0\n")) == ALONE_IDS
    path = write(tmp_path / "package", **{"pack/__init__": "# nothing\n", "pack/circuits": ALONE})
    path.write_text(SWEEP.replace("circuits:made", "pack.circuits:made"))
    assert ids(path) == ALONE_IDS


def test_comments_and_layout_of_a_helper_do_not_count(tmp_path: Path) -> None:
    before = ids(write(tmp_path, circuits=WITH_ANGLE, helper="ANGLE = 1.0\n"))
    assert ids(write(tmp_path, helper="# one\n\nANGLE=(1.0)\n")) == before
    assert ids(write(tmp_path, helper="ANGLE = 1.5\n")) != before


def test_folder_of_a_module_does_not_count_and_names_inside_do(tmp_path: Path) -> None:
    both = "from one import A\nfrom two import B\n" + ALONE
    before = ids(write(tmp_path / "here", circuits=both, one="A = B = 1\n", two="A = B = 2\n"))
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "deeper")
    shutil.rmtree(tmp_path / "here")
    assert ids(tmp_path / "there" / "deeper" / "own.yaml") == before
    assert ids(write(tmp_path / "here", circuits=both, one="A = B = 2\n", two="A = B = 1\n")) != before


IMPORTS = {
    "import": ("import helper\n", ["helper"]),
    "from": ("from helper import *\n", ["helper"]),
    "inside a function": ("def later():\n    import helper\n", ["helper"]),
    "under a condition": ("if False:\n    import helper\n", ["helper"]),
    "through another": ("import chain\n", ["chain", "helper"]),
    "circle": ("import circle\n", ["circle"]),
    "package": ("import pack\n", ["pack/__init__", "pack/first"]),
    "submodule": ("import pack.deep.er\n", ["pack/__init__", "pack/first", "pack/deep/er"]),
    "submodule from": ("from pack import deep\n", ["pack/__init__", "pack/first"]),
    "upwards": ("from pack.low import up\n", ["pack/__init__", "pack/first", "pack/low/up", "helper"]),
    "all of a package": ("from listed import *\n", ["listed/__init__", "listed/one", "listed/two"]),
    "no package": ("from plain.inner import X\n", ["plain/inner", "plain/beside"]),
    "Python's own": ("import json, numpy\nimport qiskit.circuit\n", []),
}
FILES = {
    "helper": "X = 1\n",
    "chain": "import helper\n",
    "circle": "import circuits\n",
    "pack/__init__": "from . import first\n",
    "pack/first": "X = 1\n",
    "pack/low/up": "from ..first import X\nimport helper\n",
    "pack/deep/er": "X = 1\n",
    "listed/__init__": '__all__ = ["one", "two"]\n',
    "listed/one": "X = 1\n",
    "listed/two": "X = 1\n",
    "plain/inner": "from .beside import X\n",
    "plain/beside": "X = 1\n",
    "json": "X = 1\n",
    "numpy": "X = 1\n",
    "unused": "X = 1\n",
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_id_covers_the_files_that_are_shipped_and_no_others(kind: str, tmp_path: Path) -> None:
    statement, expected = IMPORTS[kind]
    sweep = write(tmp_path, circuits=ALONE + statement, **FILES)
    circuit = PythonCircuit.parse({"kind": "circuit", "python": "circuits:made"}, folder=str(tmp_path))
    before = circuit.identity()
    names = (Path(name) for name in shipment(load(sweep), sweep.name).contents)
    folder = Path(ROOT + str(tmp_path))
    shipped = {name.relative_to(folder).with_suffix("").as_posix() for name in names}
    assert shipped - {"own", "circuits"} == set(expected)
    covered = set()
    for name, text in FILES.items():
        write(tmp_path, **{name: f"{text}Y = 2\n"})
        if circuit.identity() != before:
            covered.add(name)
        write(tmp_path, **{name: text})
    assert covered == set(expected)


REWRITES = """\
from pathlib import Path

Path(__file__).with_name("helper.py").write_text("ANGLE = 2.0\\n")
"""


def test_what_is_executed_is_what_was_read(tmp_path: Path) -> None:
    """A module that rewrites its helper before importing it gets the helper as it was read."""
    write(tmp_path, circuits=REWRITES + "import helper\n\n\ndef angle():\n    return helper.ANGLE\n")
    write(tmp_path, helper="ANGLE = 1.0\n")
    user_code.allow(user_code.Trust((str(tmp_path),)))
    function = user_code.Function("circuits:angle", str(tmp_path), "model")
    assert [function({}), function({})] == [1.0, 2.0]


def test_file_that_changes_while_it_is_read_is_a_fault(tmp_path: Path) -> None:
    sweep = write(tmp_path, circuits=REWRITES + WITH_ANGLE, helper="ANGLE = 1.0\n")
    with pytest.raises(InputError) as error:
        load(sweep)
    (fault,) = error.value.faults
    assert (fault.path, fault.line) == ("model", 4)
    assert fault.message == f"{sweep.parent}/helper.py changed while being read; run the command again"
    assert len(ids(sweep)) == 2


def test_faults_of_a_function_are_where_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, circuits="def made():\n    return 1 / 0\n")
    user_code.allow(user_code.Trust((str(tmp_path),)))
    for name, key, message in (
        ("circuits:made", "arguments", "circuits:made raised ZeroDivisionError: division by zero"),
        ("circuits:other", "python", "circuits has no function other"),
        ("nowhere:made", "python", "there is no module nowhere in "),
    ):
        with pytest.raises(InputError) as error:
            user_code.Function(name, str(tmp_path), "updates.0")({})
        (fault,) = error.value.faults
        assert fault.path == f"updates.0.{key}"
        assert fault.message.startswith(message)


def test_equal_modules_of_two_folders_are_executed_each_in_its_own(tmp_path: Path) -> None:
    """Neither sees the files next to the other; files that a module opens are in no id."""
    module = WITH_ANGLE.replace("from helper import ANGLE", "from pathlib import Path").replace(
        "ANGLE *", "float(Path(__file__).with_name('angle').read_text()) *"
    )
    for folder, angle in (("x", "1.0"), ("y", "0.0")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "circuits.py").write_text(module)
        (tmp_path / folder / "angle").write_text(angle)
    sweep = tmp_path / "own.yaml"
    text = SWEEP.replace('"circuits:made"', '"circuits:made", folder: x')
    sweep.write_text(text.replace("[seed: [0, 1]]", "[{model.folder: [x, y], seed: [0, 1]}]"))
    orchestrator.run(sweep, tmp_path / "run", where=orchestrator.Where(inline=True))
    steps = pd.read_parquet(tmp_path / "run" / "steps")
    norms = steps.groupby("model.folder", observed=True).gradient_norm.max()
    assert norms["x"] > 0.0
    assert norms["y"] == 0.0


@pytest.mark.parametrize("source", [" + ".join(["a"] * 900), "if a:\n b" + "\nelif a:\n b" * 200])
def test_fingerprint_of_deep_code_does_not_depend_on_how_deep_its_reader_stands(
    source: str, tmp_path: Path
) -> None:
    function = user_code.Function("deep:made", str(tmp_path), "model")

    def deeper(frames: int) -> str:
        return deeper(frames - 1) if frames else function.fingerprint()

    found = set()
    for frames in (0, 300):
        (tmp_path / "deep.py").write_text(f"{source}\nimport helper\n# from {frames}\n")
        (tmp_path / "helper.py").write_text("ANGLE = 1.0\n")
        found.add((deeper(frames), len(function.files())))
    assert len(found) == 1
    assert found.pop()[1] == 2
