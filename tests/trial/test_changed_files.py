"""Trials are computed as planned: a file that changes during a sweep fails its trials, and is named."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fleets import run_on
from waiting import until

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.driver.driver import Fleet, Progress
from orchestrator.driver.ledger import Ledger
from orchestrator.driver.packs import Packer
from orchestrator.driver.scheduler import Failed, Work
from orchestrator.errors import ChangedFile, InputError
from orchestrator.fleet.calls import CallOutcome
from orchestrator.fleet.inline import InlineTeam
from orchestrator.sweep.file import load
from orchestrator.training.advance import Limits, advance
from orchestrator.training.pack import Pack
from orchestrator.training.worker import Preparation
from orchestrator.trial.pinned import load_problem
from orchestrator.trial.problem import _problem

SWEEP = """\
name: filed
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.5}]
  batch: {size: 4, shards: 2}
  steps: 6
sweep:
  - cases:
      filed: {FILED}
      plain: {}
  - seed: {range: 2}
placement: {pack: 2, chunk_steps: 2}
"""
CSV = "data: {source: file, path: points.csv, target: y}"
QASM = "model: {kind: circuit, qasm: own.qasm, inputs: [u, v]}, gradient: {engine: adjoint}"
MODULE = "model: {kind: circuit, python: 'circuits:made', inputs: [u, v]}, gradient: {engine: adjoint}"
PROGRAM = """\
OPENQASM 3.0;
include "stdgates.inc";
input float u;
input float v;
input float a;
input float b;
qubit[2] q;
rx(u) q[0];
rx(v) q[1];
cx q[0], q[1];
ry(a) q[1];
rz(b) q[0];
"""
DRAWING = """\
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter


def made():
    u, v, a, b = map(Parameter, "uvab")
    circuit = QuantumCircuit(2)
    circuit.rx(u, 0)
    circuit.rx(v, 1)
    circuit.cx(0, 1)
    circuit.ry(a, 1)
    circuit.rz(b, 0)
    return circuit
"""


def points(sign: int) -> str:
    rows = (f"{i},{sign * (i * i % 7)},{i % 2}\n" for i in range(20))
    return "u,v,y\n" + "".join(rows)


@dataclass(frozen=True)
class Filed:
    """A case of a sweep whose trials depend on a file, with its content before and after a change."""

    case: str
    name: str
    before: str
    after: str

    def sweep(self, folder: Path) -> Path:
        """Writes the sweep file and the file; returns the path of the sweep file."""
        (folder / self.name).write_text(self.before)
        (folder / "filed.yaml").write_text(SWEEP.replace("FILED", self.case))
        return folder / "filed.yaml"

    def meddle(self, folder: Path, what: str) -> Callable[[], Any]:
        """Returns a function that makes the file ``changed`` or ``gone``."""
        file = folder / self.name
        return file.unlink if what == "gone" else partial(file.write_text, self.after)


FILES = {
    "csv": Filed(CSV, "points.csv", points(1), points(-1)),
    "qasm": Filed(QASM, "own.qasm", PROGRAM, PROGRAM.replace("ry(a)", "rx(a)")),
    "module": Filed(MODULE, "circuits.py", DRAWING, DRAWING.replace("circuit.ry(a", "circuit.rx(a")),
}
INLINE = orchestrator.Where(inline=True)
MEDDLING = [(name, what, "inline") for name in FILES for what in ("changed", "gone")]
MEDDLING += [("csv", "changed", "ray"), ("csv", "gone", "ray"), ("module", "changed", "ray")]


@pytest.fixture
def filed(request: pytest.FixtureRequest) -> Filed:
    return FILES[request.param]


@pytest.fixture
def where(request: pytest.FixtureRequest) -> orchestrator.Where:
    """Where to run: in this process, or with a single worker on Ray."""
    if request.param == "inline":
        return INLINE
    request.getfixturevalue("cluster")
    return orchestrator.Where(workers=1)


every_way = pytest.mark.parametrize(("filed", "what", "where"), MEDDLING, indirect=["filed", "where"])
every_file = pytest.mark.parametrize("filed", list(FILES), indirect=True)


class Meddler(Watcher):
    """Acts once the sweep is planned, or once its first chunk is back."""

    def __init__(self, planned: Callable[[], Any] = int, begun: Callable[[], Any] = int) -> None:
        self._planned, self._begun, self._waits = planned, begun, True

    def opened(self, *_: object) -> None:
        self._planned()

    def advanced(self, progress: Progress) -> None:
        if progress.steps and self._waits:
            self._waits = False
            self._begun()


def trials(out: Path) -> dict[str, pd.DataFrame]:
    """The trials of a run, by case."""
    table = pd.read_parquet(out / "trials").sort_values("index")
    return {str(case): rows for case, rows in table.groupby("case", observed=True)}


def check_failed(rows: pd.DataFrame, name: str) -> None:
    """Checks that these trials failed at once by a changed file; their rows hold what the plan knew."""
    assert rows.status.tolist() == ["failed"] * 2
    assert rows.error.str.startswith("changed file: ").all()
    assert rows.error.str.contains(name, regex=False).all()
    assert not rows.error.str.contains("Traceback").any()
    assert rows.error.str.endswith("its trials get new ids").all()
    assert (rows.attempts.tolist(), rows.steps.tolist()) == ([1, 1], [0, 0])
    assert rows.seed.tolist() == [0, 1]
    assert set(rows.parameters) <= {9, 2}  # a network of 2-2-1, or the circuit's a and b
    assert set(rows.parameters_dead) <= {0, 1}
    assert not rows.bias.any()
    assert [json.loads(text)["seed"] for text in rows.configuration] == [0, 1]


@every_way
def test_file_that_changes_before_it_is_loaded_fails_its_trials_and_no_others(
    filed: Filed, what: str, where: orchestrator.Where, tmp_path: Path
) -> None:
    sweep, meddler = filed.sweep(tmp_path), Meddler(planned=filed.meddle(tmp_path, what))
    result = orchestrator.run(sweep, tmp_path / "run", where=where, watcher=meddler)
    assert (result.exit_code, result.finished, result.failed) == (1, True, 2)
    found = trials(tmp_path / "run")
    check_failed(found["filed"], filed.name.removesuffix(".py"))
    assert found["plain"].status.tolist() == ["done", "done"]


@pytest.mark.parametrize("content", ["", "# ANGLE = 1.0\n", None], ids=["empty", "without code", "gone"])
def test_neighbour_of_a_module_that_vanishes_fails_its_trials(content: str | None, tmp_path: Path) -> None:
    """Also if the module works without it, with other results."""
    guarded = "try:\n    from angle import ANGLE\nexcept ImportError:\n    ANGLE = 2.0\n"
    drawing = DRAWING.replace("ry(a", "ry(ANGLE * a")
    sweep = Filed(MODULE, "circuits.py", guarded + drawing, "").sweep(tmp_path)
    (angle := tmp_path / "angle.py").write_text("ANGLE = 1.0\n")
    meddler = Meddler(planned=angle.unlink if content is None else partial(angle.write_text, content))
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, watcher=meddler)
    check_failed(trials(tmp_path / "run")["filed"], str(angle))


TWO = "sweep=[cases: {filed: {%s, sweep: [{batch.size: [4, 5]}]}}, seed: {range: 2}]"
"""Two structures from one file."""


@every_way
def test_trial_goes_on_with_what_its_process_has_loaded(
    filed: Filed, what: str, where: orchestrator.Where, tmp_path: Path
) -> None:
    """Structures loaded after the change fail; one loaded before gives the results of an undisturbed run."""
    sweep, out, twice = filed.sweep(tmp_path), tmp_path / "run", [TWO % filed.case]
    orchestrator.run(sweep, tmp_path / "undisturbed", where=INLINE, overrides=twice)
    load_problem.cache_clear()  # what the undisturbed run has loaded in this process
    meddler = Meddler(begun=filed.meddle(tmp_path, what))
    result = orchestrator.run(sweep, out, where=where, overrides=twice, watcher=meddler)
    assert (result.exit_code, result.finished, result.failed) == (1, True, 2)
    first, second = (rows for _, rows in trials(out)["filed"].groupby("batch.size"))
    assert first.status.tolist() == ["done", "done"]
    check_failed(second, filed.name.removesuffix(".py"))
    undisturbed, here = (pd.read_parquet(run / "steps") for run in (tmp_path / "undisturbed", out))
    expected = undisturbed[undisturbed.trial.isin(first.trial)]
    assert here.loss.tolist() == expected.loss.tolist()


@pytest.mark.usefixtures("cluster")
def test_helpers_make_ready_once_and_refuse_what_changed(tmp_path: Path) -> None:
    """The file is removed after two of three workers have loaded it: these continue, the third refuses."""
    from orchestrator.fleet.ray import RayFleet

    plan = load(FILES["csv"].sweep(tmp_path), ["base.batch.shards=4"]).plan
    pack = next(Packer(plan, lambda _: 2).packs()).pack
    here = advance(InlineTeam(), pack, Limits(6, math.inf)).rows["steps"]["loss"].tolist()
    fleet = RayFleet(3, 1, Preparation.of(plan, 1))
    try:
        until(lambda: fleet.idle() == 3)
        first = advanced(fleet, pack, 1).value
        (tmp_path / "points.csv").unlink()
        second = advanced(fleet, first.pack, 1).value
        refused = advanced(fleet, second.pack, 2).error
    finally:
        fleet.close()
    losses = [loss for chunk in (first, second) for loss in chunk.rows["steps"]["loss"].tolist()]
    assert losses == here[:8]  # of two trials
    assert isinstance(refused, ChangedFile)
    assert f"data.path: {tmp_path}/points.csv is not there; restore" in str(refused)


def advanced(fleet: Fleet, pack: Pack, helpers: int) -> CallOutcome:
    """Two steps of a pack, with its shards on a worker and its helpers."""
    return run_on(fleet, advance, pack, Limits(2, math.inf), helpers=helpers)


@every_file
def test_changed_file_is_a_new_plan_and_brings_new_trials(filed: Filed, tmp_path: Path) -> None:
    sweep, out = filed.sweep(tmp_path), tmp_path / "run"
    meddler = Meddler(planned=filed.meddle(tmp_path, "changed"))
    assert orchestrator.run(sweep, out, where=INLINE, watcher=meddler).exit_code == 1
    assert orchestrator.run(sweep, out, where=INLINE).exit_code == 0
    table = pd.read_parquet(out / "trials")
    assert sorted(table.status[table.current]) == ["done"] * 4
    assert sorted(table.status[~table.current]) == ["failed"] * 2


@every_file
def test_restored_file_is_run_again_with_retry_failed(filed: Filed, tmp_path: Path) -> None:
    sweep, out, gone = (
        filed.sweep(tmp_path),
        tmp_path / "run",
        Meddler(planned=filed.meddle(tmp_path, "gone")),
    )
    assert orchestrator.run(sweep, out, where=INLINE, watcher=gone).exit_code == 1
    (tmp_path / filed.name).write_text(filed.before)
    assert orchestrator.run(sweep, out, where=INLINE, retry_failed=True).exit_code == 0
    assert pd.read_parquet(out / "trials").status.tolist() == ["done"] * 4


@every_file
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_row_of_a_trial_that_ends_early_takes_no_file(filed: Filed, status: str, tmp_path: Path) -> None:
    plan = load(filed.sweep(tmp_path)).plan
    (first, _) = Packer(plan, lambda _: 2).packs()
    filed.meddle(tmp_path, "gone")()
    load_problem.cache_clear()
    ledger, work = Ledger("{}"), Work(0, first.pack, first.planned)
    if status == "failed":
        ledger.fail(Failed(work, "error: no"))
    else:
        ledger.cancel(work)
    rows = ledger.take()[0]["trials"]
    facts = plan.structures[0].pinned.facts
    assert rows["status"].tolist() == [status] * 2
    assert rows["parameters"].tolist() == [facts.parameters] * 2
    assert rows["parameters_dead"].tolist() == [facts.dead] * 2
    assert rows["bias"].tolist() == [False, False]
    assert [json.loads(text)["seed"] for text in rows["configuration"]] == [0, 1]


MEDDLING_MODULE = DRAWING.replace(
    "def made():\n",
    "def made():\n    from pathlib import Path\n\n    file = Path(__file__).with_name('points.csv')\n"
    "    file.write_text(file.read_text() + '20,1,0\\n')\n",
)


def test_file_that_changes_while_the_sweep_is_planned_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "circuits.py").write_text(MEDDLING_MODULE)
    sweep = Filed(f"{CSV}, {MODULE}", "points.csv", points(1), "").sweep(tmp_path)
    with pytest.raises(InputError) as error:
        load(sweep)
    text = sweep.read_text()
    line = 1 + text[: text.index("points.csv")].count("\n")
    message = f"{tmp_path}/points.csv changed while being read; run the command again"
    assert str(error.value) == f"{sweep}:{line}: data: {message}"


SIDE = DRAWING.replace(
    "    circuit.rz(b, 0)\n",
    "    from pathlib import Path\n\n    if Path(__file__).with_name('side').exists():\n"
    "        circuit.rz(b, 0)\n",
)


def test_model_that_is_another_one_though_no_known_file_changed_is_refused(tmp_path: Path) -> None:
    """Files that a module opens are not tracked, but the number of parameters is checked."""
    sweep = Filed(MODULE, "circuits.py", SIDE, "").sweep(tmp_path)
    (tmp_path / "side").touch()
    pinned = load(sweep).plan.structures[0].pinned
    assert load_problem(pinned).model.parameters == pinned.facts.parameters == 2
    (tmp_path / "side").unlink()
    load_problem.cache_clear()
    _problem.cache_clear()  # as in a process that has not planned the sweep
    with pytest.raises(
        ChangedFile, match=r"^circuit of circuits:made changed after the sweep was planned, though"
    ):
        load_problem(pinned)


def test_comment_in_a_module_and_ends_of_lines_change_nothing(tmp_path: Path) -> None:
    for filed, rewritten in (
        (FILES["module"], "# a comment\n" + DRAWING),
        (FILES["qasm"], PROGRAM.replace("\n", "\r\n")),
    ):
        pinned = load(filed.sweep(tmp_path)).plan.structures[0].pinned
        (tmp_path / filed.name).write_bytes(rewritten.encode())
        assert load_problem(pinned).model.parameters == pinned.facts.parameters


def test_plan_travels_and_is_equal_by_key_and_files(tmp_path: Path) -> None:
    pinned = load(FILES["csv"].sweep(tmp_path)).plan.structures[0].pinned
    sent = pickle.loads(pickle.dumps(pinned))
    assert sent == pinned
    assert load_problem(sent) is load_problem(pinned)
    assert sent != replace(pinned, fingerprints=())
