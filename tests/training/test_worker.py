"""Workers get the data sets from the driver, and load all libraries before their first pack."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

from sweeps import NETWORK, read

from orchestrator.training.worker import Preparation

CIRCUIT = NETWORK.replace("{kind: mlp, hidden: [2]}", "{kind: circuit, qubits: 2, layers: 1}")
CIRCUIT = CIRCUIT.replace("binary-cross-entropy", "mse").replace("backprop", "adjoint")
PREPARED = """
import pickle, sys
from pathlib import Path
prepare, trial = pickle.loads(Path(sys.argv[1]).read_bytes())
heavy = lambda: [name for name in ("sklearn", "numba", "qiskit_aer") if name in sys.modules]
prepare()
prepared = heavy()
from orchestrator.trial.problem import problem
ready = problem(trial)
ready.certificate
print(*prepared, "|", *heavy(), "|", ready.data.inputs.sum())
"""


def loaded(text: str, folder: Path) -> list[str]:
    """Modules that a fresh process has loaded after its preparation, and after certifying the structure."""
    plan = read(text).plan
    trial = plan.structures[0].template
    (folder / "sent").write_bytes(pickle.dumps((Preparation.of(plan, 1), trial)))
    done = subprocess.run(
        [sys.executable, "-c", PREPARED, str(folder / "sent")], capture_output=True, text=True, check=True
    )
    assert trial.data is not None
    *modules, total = done.stdout.strip().split("|")
    assert float(total) == trial.data.load().inputs.sum()
    return [names.strip() for names in modules]


def test_worker_of_circuits_has_loaded_all_but_what_only_reading_data_needs(tmp_path: Path) -> None:
    assert loaded(CIRCUIT, tmp_path) == ["numba qiskit_aer", "numba qiskit_aer"]


def test_worker_of_networks_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded(NETWORK, tmp_path) == ["", ""]


def test_preparation_holds_one_engine_of_each_kind_and_each_data_set_once() -> None:
    plan = read(CIRCUIT + "sweep: [data.seed: [0, 1], model.layers: [1, 2]]\n").plan
    preparation = Preparation.of(plan, 3)
    assert (preparation.threads, preparation.checked, len(preparation.warmed)) == (3, (), 1)
    assert [source.seed for source, _ in preparation.datasets] == [0, 1]
