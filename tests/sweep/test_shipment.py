"""Shipments hold the files that a sweep names; on arrival, it is the same sweep."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from orchestrator.errors import FleetError
from orchestrator.fleet.packages import compare, needed, pins, source
from orchestrator.sweep.file import Sweep, load
from orchestrator.sweep.shipment import ROOT, shipment

ROWS = "u,v,label\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))
QASM = """\
OPENQASM 3.0;
include "stdgates.inc";
input float a; input float u; input float v;
qubit[2] q;
rx(u) q[0]; rx(v) q[1]; ry(a) q[0]; cx q[0], q[1];
"""
MODULE = """\
from angles import ANGLES
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter


def made():
    circuit = QuantumCircuit(2)
    for qubit, name in enumerate(ANGLES):
        circuit.ry(Parameter(name), qubit)
    circuit.ry(Parameter("b"), 1)
    return circuit
"""


def sweep_with_files(top: Path) -> Path:
    """A sweep with relative, upward and absolute file names, and a module with a helper."""
    for folder in ("sweeps/circuits", "data", "far"):
        (top / folder).mkdir(parents=True)
    (top / "data" / "rows.csv").write_text(ROWS)
    (top / "far" / "rows.csv").write_text(ROWS.replace("0,0,0", "9,0,0"))
    (top / "sweeps" / "own.qasm").write_text(QASM)
    (top / "sweeps" / "circuits" / "numpy_like.py").write_text(MODULE)
    (top / "sweeps" / "circuits" / "angles.py").write_text('ANGLES = ["u", "v"]\n')
    (top / "sweeps" / "unrelated.py").write_text("raise SystemExit\n")
    sweep = top / "sweeps" / "files.yaml"
    sweep.write_text(f"""\
name: files
base:
  data: {{source: file, path: ../data/rows.csv, target: label, scale: angle}}
  model: {{kind: circuit, qasm: own.qasm, inputs: [u, v]}}
  loss: mse
  gradient: {{engine: adjoint}}
  updates: [{{optimizer: sgd, learning_rate: 0.1}}]
  batch: {{size: 4}}
  steps: 2
sweep:
  - data.path: [../data/rows.csv, {top}/far/rows.csv]
  - model:
      - {{kind: circuit, qasm: own.qasm, inputs: [u, v]}}
      - {{kind: circuit, python: "numpy_like:made", folder: circuits, inputs: [u, v]}}
""")
    return sweep


def arrived(sweep: Sweep, name: str, folder: Path) -> Sweep:
    """The sweep as it is read from its shipment, unpacked in ``folder``."""
    shipped = shipment(sweep, name)
    shipped.write(folder / "shipment.zip", {})
    with zipfile.ZipFile(folder / "shipment.zip") as archive:
        archive.extractall(folder)
    return load(folder / shipped.sweep, root=folder / ROOT)


def test_shipped_sweep_has_the_same_ids_and_columns(tmp_path: Path) -> None:
    here = load(sweep_with_files(tmp_path / "here"))
    (there := tmp_path / "there").mkdir()
    shipped = arrived(here, "files.yaml", there)
    trials = [(trial.id, trial.keys) for trial in here.plan.trials()]
    (tmp_path / "here").rename(tmp_path / "gone")
    assert len(trials) == 4
    assert [(trial.id, trial.keys) for trial in shipped.plan.trials()] == trials
    assert shipped.text == here.text
    for trial in shipped.plan.trials():
        assert all(path.is_relative_to(there) for path in trial.trial.files())
        trial.trial.data.load()  # type: ignore[union-attr]


def test_only_what_is_named_is_shipped_and_nothing_that_python_could_import(tmp_path: Path) -> None:
    shipped = shipment(load(sweep_with_files(tmp_path)), "files.yaml")
    names = {name.removeprefix(f"{ROOT}{tmp_path}/") for name in shipped.contents}
    data, sweep = {"data/rows.csv", "far/rows.csv"}, {"sweeps/files.yaml", "sweeps/own.qasm"}
    assert names == data | sweep | {f"sweeps/circuits/{name}.py" for name in ("numpy_like", "angles")}
    assert not ROOT.isidentifier()


def test_fingerprint_follows_the_contents(tmp_path: Path) -> None:
    path = sweep_with_files(tmp_path)
    before = shipment(load(path), "files.yaml").fingerprint
    assert shipment(load(path), "files.yaml").fingerprint == before
    (path.parent / "circuits" / "angles.py").write_text('ANGLES = ["v", "u"]\n')
    assert shipment(load(path), "files.yaml").fingerprint != before


def test_pins_are_exact_and_leave_ray_to_the_cluster() -> None:
    names = [name for name, _, _ in (pin.partition("==") for pin in pins())]
    assert all(number for _, _, number in (pin.partition("==") for pin in pins()))
    assert {"numpy", "numba", "qiskit", "pyarrow"} <= set(names)
    assert not {"ray", "orchestrator", "pytest"} & set(names)


def test_package_that_is_sent_along_is_the_one_that_is_imported(tmp_path: Path) -> None:
    for name, content in source().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    code = "import orchestrator.versions as v; print(v.__file__, v.versions()['orchestrator'])"
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "orchestrator" / "versions.py"), needed()["orchestrator"]]


HERE = {"orchestrator": "1.0", "ray": "2.60.0", "numpy": "2.1.0", "qiskit-aer": "0.17.0"}


def test_cluster_is_compared_package_by_package() -> None:
    assert compare(HERE, HERE).missing == ()
    there = {**HERE, "ray": "2.55.1", "numpy": "2.0.0"}
    assert compare(HERE, there).others == {"ray": ("2.55.1", "2.60.0"), "numpy": ("2.0.0", "2.1.0")}
    assert compare(HERE, {"ray": "2.60.0"}).missing == ("orchestrator", "numpy", "qiskit-aer")
    assert compare(HERE, {**HERE, "orchestrator": "0.9"}).missing == ("orchestrator 1.0 (it has 0.9)",)


def test_either_package_of_aer_will_do() -> None:
    there = {name: number for name, number in HERE.items() if name != "qiskit-aer"}
    assert compare(HERE, {**there, "qiskit-aer-gpu": "0.17.0"}).missing == ()


def test_cluster_with_too_old_a_ray_is_refused() -> None:
    with pytest.raises(FleetError, match=r"runs Ray 2\.9\.3; this package needs 2\.52 or newer"):
        compare(HERE, {**HERE, "ray": "2.9.3"})


def test_python_that_ray_does_not_run_in_is_refused() -> None:
    with pytest.raises(FleetError, match="lacks Ray, so Ray runs in another one; start Ray on its head with"):
        compare(HERE, {"numpy": "2.1.0"})
