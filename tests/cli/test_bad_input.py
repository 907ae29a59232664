"""Bad input is refused by the command line: exit code 2, every fault with its line, nothing written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import orchestrator
from orchestrator.cli import main

SWEEP = """\
name: small
base:
  data: {source: file, path: rows.csv, target: y}
  model:
    kind: mlp
    hidden: [2]
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates:
    - {clip: norm, limit: 1.0}
    - {optimizer: sgd, learning_rate: 0.1}
  batch: {size: 4, shards: 2}
  steps: 3
sweep:
  - seed: [0, 1]
"""

ROWS = [(k / 7 % 1, k / 5 % 1, "no" if k % 3 else "yes") for k in range(12)]
FILES = {
    "rows.csv": [f"{a},{b},{c}" for a, b, c in ROWS],
    "constant.csv": [f"{a},1.0,{c}" for a, _, c in ROWS],
    "nan.csv": [f"{a},{'nan' if k == 4 else b},{c}" for k, (a, b, c) in enumerate(ROWS)],
    "values.csv": [f"{a},{b},{a + b}" for a, b, _ in ROWS],
    "three.csv": [f"{a},{b},{'abc'[k % 3]}" for k, (a, b, _) in enumerate(ROWS)],
    "alike.csv": [f"{a},{b},yes" for a, b, _ in ROWS],
    "text.csv": [f"{a},high,{c}" for a, _, c in ROWS],
    "negative.csv": [f"{a},{-b},{c}" for a, b, c in ROWS],
    "floats.csv": [f"{a},{b},{k % 2}.0" for k, (a, b, _) in enumerate(ROWS)],
    "counts.csv": [f"{a},{b},{k % 6}" for k, (a, b, _) in enumerate(ROWS)],
    "na.csv": [f"{a},{b},{'NA' if k == 2 else c}" for k, (a, b, c) in enumerate(ROWS)],
    "index.csv": [f"{k},{b},{c}" for k, (_, b, c) in enumerate(ROWS)],
    "semicolons.csv": [f"{a};{b};{c}" for a, b, c in ROWS],
}
HEADERS = {"index.csv": ",v,y", "semicolons.csv": "u;v;y"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with data files; importing Ray fails in it."""
    for name, rows in FILES.items():
        (tmp_path / name).write_text(HEADERS.get(name, "u,v,y") + "\n" + "\n".join(rows) + "\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "rows.xlsx").write_bytes(b"")
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "empty.npz", x=np.zeros((4, 0)), y=np.arange(4) % 2)
    np.savez(tmp_path / "objects.npz", x=np.array([{}, []] * 2, object), y=np.arange(4) % 2)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 but not really")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "orchestrator.fleet.ray", raising=False)
    monkeypatch.delattr("orchestrator.fleet.ray", raising=False)
    return tmp_path


def contents(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every path below a folder, with its time and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@dataclass(frozen=True)
class Refused:
    """Exit code, standard output, and lines of standard error of a command."""

    code: object
    out: str
    lines: list[str]


class Command:
    """The console command, called in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Refused:
        self.monkeypatch.setattr(sys, "argv", ["orchestrator", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        printed = self.capsys.readouterr()
        return Refused(exited.value.code, printed.out, printed.err.splitlines())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def check_refused(folder: Path, command: Command, arguments: list[str], messages: list[str]) -> None:
    """Checks for exit code 2, one line per fault, nothing on standard output, nothing changed on disk."""
    before = contents(folder)
    refused = command(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert len(refused.lines) == len(messages), refused.lines
    assert all(line.isprintable() for line in refused.lines), refused.lines
    for line, pattern in zip(refused.lines, messages, strict=True):
        assert re.match(".*".join(map(re.escape, pattern.split("…"))), line), line
    assert contents(folder) == before


# --- the sweep file


def edited(old: str, new: str) -> str:
    assert SWEEP.count(old) == 1
    return SWEEP.replace(old, new)


def in_sweep(*lines: str) -> str:
    return edited("  - seed: [0, 1]\n", "".join(f"  - {line}\n" for line in lines))


def with_data(file: str, more: str = "") -> str:
    return edited("path: rows.csv, target: y", f"path: {file}, target: y{more}")


def circuit(qubits: int, more: str = "", data: str = "source: file, path: rows.csv, target: y") -> str:
    text = edited(
        "    kind: mlp\n    hidden: [2]\n", f"    kind: circuit\n    qubits: {qubits}\n    layers: 1\n{more}"
    )
    text = text.replace("source: file, path: rows.csv, target: y", data)
    return text.replace("binary-cross-entropy", "mse").replace("backprop", "adjoint")


@dataclass(frozen=True)
class Bad:
    """A sweep file, and the beginnings of the messages about it; … stands for any text."""

    text: str
    messages: list[str]


BAD = {
    "an unknown key at the top": Bad(
        SWEEP + "seeds: 3\n",
        ["a.yaml:16: seeds: unknown key; … (legal: name, sampling_seed, base, sweep, placement, stop_after)"],
    ),
    "an unknown key in base": Bad(
        edited("  steps: 3", "  steps: 3\n  sed: 3"),
        ["a.yaml:14: sed: unknown key; did you mean 'seed'? (legal: mode,"],
    ),
    "an unknown key inside a model": Bad(
        edited("hidden: [2]", "hiden: [2]"),
        ["a.yaml:6: model.hiden: unknown key; did you mean 'hidden'? (legal: kind,"],
    ),
    "an unknown key of an engine, and one of its backend": Bad(
        edited(
            "gradient: {engine: backprop}",
            "gradient:\n    engine: adjoint\n    stp: 1\n    backend:\n      kind: batched\n      shotz: 5",
        ),
        [
            "a.yaml:10: gradient.stp: unknown key (legal: engine, backend)",
            "a.yaml:13: gradient.backend.shotz: unknown key; did you mean 'shots'? (legal: kind, shots, pre",
        ],
    ),
    "a backend without its kind": Bad(
        edited("gradient: {engine: backprop}", "gradient:\n    engine: adjoint\n    backend: {shots: 5}"),
        ["a.yaml:10: gradient.backend: needs the key kind (legal: aer, batched"],
    ),
    "an unknown key in placement": Bad(
        SWEEP + "placement: {gpus: 1}\n",
        ["a.yaml:16: placement.gpus: unknown key (legal: pack, threads, memory, chunk_steps"],
    ),
    "a worker's memory in an unknown unit": Bad(
        SWEEP + "placement: {memory: 2 gigs}\n",
        ['a.yaml:16: placement.memory: is "2 gigs", must be a number of bytes, or text such as 512MiB'],
    ),
    "zero identical failures": Bad(
        SWEEP + "stop_after: {identical_failures: 0}\n",
        ["a.yaml:16: stop_after.identical_failures: is 0, must be at least 1"],
    ),
    "a missing key": Bad(edited("  steps: 3\n", ""), ["a.yaml:2: steps: is missing"]),
    "no base": Bad("name: small\n", ["a.yaml:1: base: is missing"]),
    "no name": Bad(edited("name: small\n", ""), ["a.yaml:1: name: is missing"]),
    "an empty file": Bad("", ["a.yaml: is null, must be a mapping with the keys name and base"]),
    "a list for a mapping": Bad(
        edited("{clip: norm, limit: 1.0}", "[norm, 1.0]"),
        ['a.yaml:10: updates.0: is ["norm", 1.0], must be a mapping with the key clip or optimizer'],
    ),
    "a number for a list": Bad(edited("[2]", "2"), ["a.yaml:6: model.hidden: is 2, must be a list"]),
    "a fraction for a whole number": Bad(
        edited("steps: 3", "steps: 2.5"), ["a.yaml:13: steps: is 2.5, must be a whole number"]
    ),
    "a word for a number": Bad(
        edited("steps: 3", "steps: ten"), ['a.yaml:13: steps: is "ten", must be a whole number']
    ),
    "a number in quotes": Bad(
        edited("0.1", "'0.1'"), ['a.yaml:11: updates.1.learning_rate: is "0.1", must be a number']
    ),
    "an infinite number": Bad(
        edited("limit: 1.0", "limit: .inf"), ["a.yaml:10: updates.0.limit: is .inf, must be a fin"]
    ),
    "a number out of range": Bad(
        edited("limit: 1.0", "limit: 0"), ["a.yaml:10: updates.0.limit: is 0, must be more than 0"]
    ),
    "a name that is a path": Bad(
        edited("name: small", "name: runs/small"),
        ['a.yaml:1: name: is "runs/small", must be a plain name (letters, dig'],
    ),
    "a name that is a number": Bad(edited("name: small", "name: 3"), ["a.yaml:1: name: is 3, must be text"]),
    "an unknown model": Bad(
        edited("kind: mlp", "kind: mpl"),
        ["a.yaml:5: model.kind: is \"mpl\"; did you mean 'mlp'? (legal: circuit, hybrid, mlp"],
    ),
    "a model without its kind": Bad(
        edited("    kind: mlp\n", ""), ["a.yaml:4: model: needs the key kind (legal: circuit,"]
    ),
    "an update of two kinds": Bad(
        edited("clip: norm,", "clip: norm, optimizer: sgd,"),
        ["a.yaml:10: updates.0: has clip and optimizer, must have one of them"],
    ),
    "an unknown loss": Bad(
        edited("loss: binary-cross-entropy", "loss: cross_entropy"),
        ["a.yaml:7: loss: is \"cross_entropy\"; did you mean 'cross-entropy'? (legal: mse,"],
    ),
    "a syntax error": Bad(
        edited("size: 4, shards", "size: 4: shards"), ["a.yaml:12: is not YAML: while parsing a flow"]
    ),
    "a key given twice": Bad(
        edited("  steps: 3\n", "  steps: 3\n  loss: mse\n"),
        ["a.yaml:14: base.loss: key given twice (first in line 7)"],
    ),
    "an axis on a path that does not exist": Bad(
        in_sweep("seed: [0, 1]", "model.layers: [1, 2]"),
        ["a.yaml:16: model.layers: unknown key (legal: kind, hidden, activation, output, init)"],
    ),
    "an axis inside a number": Bad(
        in_sweep("steps.more: [1, 2]"),
        ["a.yaml:15: steps.more: does not exist: steps is 3, which has no keys"],
    ),
    "an axis on a missing update": Bad(
        in_sweep("updates.2.limit: [1, 2]"),
        ["a.yaml:15: updates.2.limit: does not exist: updates is a list of 2 without item 2; add a null"],
    ),
    "an axis with a value out of range": Bad(
        in_sweep("updates.0.limit:\n      - 1\n      - -1"),
        ["a.yaml:17: updates.0.limit: is -1, must be more than 0"],
    ),
    "an axis with a labelled value out of range": Bad(
        in_sweep(
            "updates.0:\n      - label: tight\n        value:\n          clip: norm\n          limit: -1"
        ),
        ["a.yaml:19: updates.0.limit: is -1, must be more than 0"],
    ),
    "zipped lists of unequal length": Bad(
        in_sweep("{seed: [0, 1], steps: [1, 2, 3]}"),
        ["a.yaml:15: sweep.0: keys that advance together need lists of equal length (seed: 2, steps: 3)"],
    ),
    "an empty axis": Bad(
        in_sweep("seed: []"), ["a.yaml:15: sweep.0.seed: has no values; an empty axis leaves no trials"]
    ),
    "two axes on one key": Bad(
        in_sweep("seed: [0, 1]", "seed: [2, 3]"),
        ["a.yaml:16: sweep.1.seed: is varied twice (also in line 15); set each key only once"],
    ),
    "an axis on a prefix of another": Bad(
        in_sweep("model.hidden: [[1]]", "model: [{kind: mlp}]"),
        ["a.yaml:16: sweep.1.model: overlaps model.hidden (also in line 15); set each key only once"],
    ),
    "a value listed twice": Bad(in_sweep("seed: [0, 0]"), ["a.yaml:15: sweep.0.seed.1: 0 is listed twice"]),
    "equal trials in two cases": Bad(
        in_sweep("cases: {a: {}, b: {}}"),
        ["a.yaml:14: sweep: trials 0 (case: a) and 1 (case: b) are the same; leave"],
    ),
    "an unknown distribution": Bad(
        in_sweep("{samples: 3, seed: {integer: [0, 9]}}"),
        ["a.yaml:15: sweep.0.seed: unknown distribution 'integer'; did you mean 'integers'? (legal:"],
    ),
    "more combinations than a plan may have": Bad(
        in_sweep("steps: {range: [1, 20000]}"),
        ["a.yaml:14: sweep: has 19,999 combinations of structure, at most 10,000"],
    ),
    "a missing data file": Bad(with_data("none.csv"), ["a.yaml:3: data.path: …none.csv is not there"]),
    "a data file of an unknown format": Bad(
        with_data("rows.xlsx"),
        ["a.yaml:3: data.path: …rows.xlsx ends in '.xlsx' (legal: .parquet, .csv, .npz)"],
    ),
    "a binary data file": Bad(
        with_data("binary.csv"), ["a.yaml:3: data.path: …binary.csv cannot be read as csv: "]
    ),
    "a damaged data file": Bad(
        with_data("rows.parquet"), ["a.yaml:3: data.path: …rows.parquet cannot be read as parquet: "]
    ),
    "a directory for a data file": Bad(
        with_data("."), ["a.yaml:3: data.path: … is a directory, must be a file"]
    ),
    "a missing column": Bad(
        with_data("rows.csv", ", inputs: [u, w]"),
        ["a.yaml:3: data.inputs: there is no column 'w' (legal: u, v, y)"],
    ),
    "a column given by number": Bad(
        with_data("rows.csv", ", inputs: [3]"), ["a.yaml:3: data.inputs.0: is 3, must be text"]
    ),
    "no columns": Bad(
        with_data("rows.csv", ", inputs: []"), ["a.yaml:3: data.inputs: is [], must be a list of at least 1"]
    ),
    "a missing target": Bad(
        edited("target: y", "target: label"),
        ["a.yaml:3: data.target: there is no column 'label' (legal: u, v, y)"],
    ),
    "a constant column": Bad(
        with_data("constant.csv"),
        ["a.yaml:3: data.inputs: column 'v' is constant in the training part; leave it out or set"],
    ),
    "a column with NaN": Bad(
        with_data("nan.csv"),
        ["a.yaml:3: data.inputs: column 'v' is NaN, missing or infinite, first in data row 5"],
    ),
    "a column of text": Bad(
        with_data("text.csv"), ["a.yaml:3: data.inputs: column 'v' is not numeric: 'high' in data row 1"]
    ),
    "labels of one class": Bad(
        with_data("alike.csv"), ["a.yaml:3: data.target: the column has one class only, 'yes'"]
    ),
    "negative weights": Bad(
        with_data("negative.csv", ", weights: v"),
        ["a.yaml:3: data.weights: the column is negative, first in data row 2"],
    ),
    "more features than columns": Bad(
        with_data("rows.csv", ", features: 3"),
        ["a.yaml:3: data.features: is 3, but the data have 2 columns (legal: 1 to 2)"],
    ),
    "values for a loss on classes": Bad(
        with_data("values.csv"),
        ["a.yaml:7: loss: binary-cross-entropy needs two classes, the data have none: use mse"],
    ),
    "three classes for a loss on two": Bad(
        with_data("three.csv"),
        ["a.yaml:7: loss: binary-cross-entropy with output: sigmoid needs two classes, the data"],
    ),
    "a loss that does not fit the model": Bad(
        edited("loss: binary-cross-entropy", "loss: hinge"),
        ["a.yaml:7: loss: hinge needs output: tanh, linear or relu"],
    ),
    "an engine that does not take the model": Bad(
        edited("backprop", "adjoint"),
        ["a.yaml:8: gradient.engine: is adjoint, which cannot differentiate this model (legal: backpr"],
    ),
    "a batch smaller than its shards": Bad(
        edited("shards: 2", "shards: 5"),
        ["a.yaml:12: batch.shards: is 5, must be at most the 4 samples of a mini-batch"],
    ),
    "labels written as floats": Bad(
        with_data("floats.csv"),
        [
            "a.yaml:7: loss: binary-cross-entropy needs two classes, the data have none: use mse; or set "
            "data.target_kind: class, as the target's whole numbers are read as values"
        ],
    ),
    "a softmax of labels written as floats": Bad(
        with_data("floats.csv").replace("hidden: [2]", "hidden: [2]\n    output: softmax"),
        [
            "a.yaml:7: model.output: softmax needs classes, the data have none: use linear; or set "
            "data.target_kind: class, as"
        ],
    ),
    "values written as whole numbers": Bad(
        with_data("counts.csv").replace("binary-cross-entropy", "mse"),
        [
            "a.yaml:7: loss: mse with output: sigmoid needs two classes, the data have 6: use mse or "
            "cross-entropy with output: softmax; or set data.target_kind: value, as the target's whole "
            "numbers are read as classes"
        ],
    ),
    "the index of a data frame": Bad(
        with_data("index.csv"),
        ["a.yaml:3: data.inputs: column '' is the index of a data frame: name the inputs (inputs: [v]), or"],
    ),
    "columns with another separator": Bad(
        with_data("semicolons.csv"),
        ['a.yaml:3: data.separator: is ",", which the header \'u;v;y\' does not contain; set separator: ";"'],
    ),
    "a separator of two characters": Bad(
        with_data("rows.csv", ', separator: ";;"'),
        ['a.yaml:3: data.separator: is ";;", must be one ASCII character such as ; or a tab ("\\t"), no'],
    ),
    "a decimal comma between commas": Bad(
        with_data("rows.csv", ', decimal: ","'),
        ['a.yaml:3: data.decimal: is ",", which is also the separator; set separator, such as ";"'],
    ),
    "a label that stands for a missing value": Bad(
        with_data("na.csv"),
        ["a.yaml:3: data.target: the column is missing, first in data row 3; 'NA' is read as a miss"],
    ),
    "an unknown kind of target": Bad(
        with_data("rows.csv", ", target_kind: number"),
        ['a.yaml:3: data.target_kind: is "number" (legal: class, value)'],
    ),
    "a batch larger than the data": Bad(
        edited("size: 4", "size: 40"),
        ["a.yaml:12: batch.size: is 40, must be at most the 9 rows of the training part"],
    ),
    "a batch without data": Bad(
        circuit(2, data="").replace("  data: {}\n", ""),
        ["a.yaml:7: loss: is mse, but there are no data", "a.yaml:12: batch.size: is 4, but without data"],
    ),
    "more features than qubits": Bad(
        circuit(1),
        ["a.yaml:6: model.qubits: is 1, but encoding: angle needs a qubit for each of the 2 feat"],
    ),
    "sixty qubits": Bad(
        circuit(60),
        ["a.yaml:4: model: kind=circuit qubits=60 layers=1 needs 32 EiB for a shard of one trial, this"],
    ),
    "three thousand qubits": Bad(
        circuit(3000),
        ["a.yaml:4: model: kind=circuit qubits=3000 layers=1 needs over 1024 EiB for a shard of one trial"],
    ),
    "an observable for fewer qubits": Bad(
        circuit(3, "    observable: ZZ\n"), ['a.yaml:8: model.observable: "ZZ" has 2 letters for 3 qubits']
    ),
    "a natural gradient of a network": Bad(
        edited("optimizer: sgd", "optimizer: qng"),
        ["a.yaml:11: updates.1: needs the metric of a circuit's state, which only a circuit…take sgd"],
    ),
    "two clips of one optimiser": Bad(
        edited("optimizer: sgd,", "optimizer: quantum-adam, clipnorm: 1, global_clipnorm: 2,"),
        ["a.yaml:11: updates.1.global_clipnorm: must be left out if clipnorm is set; set one of them"],
    ),
    "an optimiser in a probe": Bad(
        edited("  steps: 3", "  steps: 3\n  mode: probe"),
        ["a.yaml:11: updates.1: has no effect in a probe, which applies"],
    ),
    "no optimiser in training": Bad(
        edited("    - {optimizer: sgd, learning_rate: 0.1}\n", ""),
        ["a.yaml:9: updates: has 0 optimizers; mode: train nee"],
    ),
    "a key that looks like the tag of a member": Bad(
        edited("hidden: [2]", '"<kind=mlp>": 1\n    hidden: [2]'),
        ["a.yaml:6: model.<kind=mlp>: unknown key (legal: kind, hidden, activation, output, init)"],
    ),
    "a key of an update that begins like a tag": Bad(
        edited("limit: 1.0}", 'limit: 1.0, "<": 1}'), ["a.yaml:10: updates.0.<: unknown key (legal: "]
    ),
    "a key of the sweep that begins like a tag": Bad(
        SWEEP + '"<x": 1\n', ["a.yaml:16: <x: unknown key (legal: name, sampling_seed"]
    ),
    "a merge key": Bad(
        edited("hidden: [2]", "hidden: [2]\n    <<: {activation: relu}"),
        ["a.yaml:7: base.model.<<: is YAML's merge key, which is not supported: write its keys out"],
    ),
    "a name that is too long for a directory": Bad(
        edited("name: small", f"name: {'a' * 201}"),
        ["a.yaml:1: name: has 201 characters, must have at most 200"],
    ),
    "a name with control characters": Bad(
        edited("name: small", 'name: "a\\e[31m\\x9b"'),
        [r'a.yaml:1: name: is "a\u001b[31m\u009b", must be a plain name'],
    ),
    "a name with a lone surrogate": Bad(
        edited("name: small", r'name: "a\ud800"'),
        [
            r"a.yaml:1: name: holds \ud800, half of a character: write the character itself",
        ],
    ),
    "an unknown key with control characters": Bad(
        edited("hidden: [2]", '"\\e[31m": 1\n    hidden: [2]'),
        [r"a.yaml:6: model.\x1b[31m: unknown key (legal"],
    ),
    "steps beyond 64 bits": Bad(
        edited("steps: 3", "steps: 0x" + "f" * 5000),
        ["a.yaml:13: base.steps: is a number of 5,002 digits, must lie from -2^63 to 2^63 - 1"],
    ),
    "a file without columns": Bad(with_data("none.npz"), ["a.yaml:3: data.path: …none.npz has no columns"]),
    "inputs without columns": Bad(with_data("empty.npz"), ["a.yaml:3: data.inputs: have no columns: x"]),
    "a file of objects": Bad(
        with_data("objects.npz"),
        ["a.yaml:3: data.path: …objects.npz cannot be read as npz: 'x' holds Python objects, must hold"],
    ),
    "many faults at once": Bad(
        edited("hidden: [2]", "hidden: [0]").replace("seed: [0, 1]", "seed: []")
        + "placement: {threads: 0}\nnam: x\n",
        [
            "a.yaml:6: model.hidden.0: is 0, must be at least 1",
            "a.yaml:15: sweep.0.seed: has no values",
            "a.yaml:16: placement.threads: is 0, must be at least 1",
            "a.yaml:17: nam: unknown key; did you mean 'name'?",
        ],
    ),
}


@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.parametrize("name", BAD)
def test_sweep_file_is_refused_for(name: str, verb: str, folder: Path, command: Command) -> None:
    (folder / "a.yaml").write_text(BAD[name].text)
    check_refused(folder, command, [verb, "a.yaml"], BAD[name].messages)


@pytest.mark.parametrize("path", ["none.yaml", "binary.csv", "."])
def test_file_that_cannot_be_read_is_refused(path: str, folder: Path, command: Command) -> None:
    check_refused(folder, command, ["run", path], [f"{path}: "])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("base.steps=ten", '--set base.steps=ten: steps: is "ten", must be a whole number'),
        ("base.step=1", "--set base.step=1: step: unknown key; did you mean 'steps'?"),
        ("base.steps", "--set base.steps: must be path=value, e.g. base.steps=10"),
        (
            "base.updates.7=1",
            "--set base.updates.7=1: does not exist: base.updates is a list of 2 without item 7",
        ),
        ("sweep=[seed: [1", "--set sweep=[seed: [1: is not YAML"),
        (
            "steps=10",
            "--set steps=10: steps: is a key of the trial, which belongs in base: write base.steps",
        ),
        ("batch.size=2", "--set batch.size=2: batch: is a key of the trial, …: write base.batch"),
    ],
)
def test_change_on_the_command_line_is_refused(
    change: str, message: str, folder: Path, command: Command
) -> None:
    (folder / "a.yaml").write_text(SWEEP)
    check_refused(folder, command, ["run", "a.yaml", "--set", change], [message])


def test_key_of_the_trial_next_to_base_is_pointed_to_base(folder: Path, command: Command) -> None:
    (folder / "a.yaml").write_text(SWEEP + "seed: 3\nsteppes: 3\n")
    messages = [
        "a.yaml:16: seed: is a key of the trial, which belongs in base: write base.seed",
        "a.yaml:17: steppes: unknown key (legal: name, …",
    ]
    check_refused(folder, command, ["plan", "a.yaml"], messages)


OPTIMIZERS = "updates.1.optimizer: [sgd, momentum, adam]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            in_sweep(OPTIMIZERS).replace("learning_rate: 0.1", "learning_rate: 0.1, momentun: 0.5"),
            "a.yaml:11: updates.1.momentun: unknown key; did you mean 'momentum'?",
        ),
        (
            in_sweep("cases: {a: {}, b: {updates.1.optimizer: adam}}").replace("learning_rate", "rate"),
            "a.yaml:11: updates.1.rate: unknown key",
        ),
        (
            in_sweep(OPTIMIZERS, "updates.1.learnig_rate:\n      - 0.1\n      - 0.2"),
            "a.yaml:16: updates.1.learnig_rate: unknown key; did you mean 'learning_rate'?",
        ),
        (
            in_sweep(OPTIMIZERS).replace("limit: 1.0", "limits: 1.0"),
            "a.yaml:10: updates.0.limits: unknown key; did you mean 'limit'?",
        ),
    ],
)
def test_typo_is_reported_once_for_all_combinations(
    text: str, message: str, folder: Path, command: Command
) -> None:
    (folder / "a.yaml").write_text(text)
    refused = command("plan", "a.yaml")
    assert [line for line in refused.lines if "unknown key" in line] == [
        line for line in refused.lines if line.startswith(message)
    ]
    assert len([line for line in refused.lines if "unknown key" in line]) == 1


# --- the run directory


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a sweep called ``small``."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "rows.csv").write_text("u,v,y\n" + "\n".join(FILES["rows.csv"]) + "\n")
    (folder / "a.yaml").write_text(SWEEP)
    orchestrator.run(folder / "a.yaml", folder / "run", where=orchestrator.Where(inline=True))
    return folder / "run"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("rows.csv", "rows.csv is a file; name a directory"),
        ("rows.csv/below", "rows.csv is a file; name a directory"),
        (".", "holds 'a.yaml' and is not a run (it has no run.json); name an empty directory"),
        (
            "/proc/orchestrator/run",
            "/proc/orchestrator/run: No such file or directory; make it usable, or name another",
        ),
        ("ftp://bucket/run", "ftp://bucket/run: a run is kept in a local directory or on s3://, gs://"),
        (
            "s3://a:b@bucket/run",
            "--out: must not hold a secret (before @), as addresses are printed: set AWS",
        ),
    ],
)
def test_run_directory_is_refused(out: str, message: str, folder: Path, command: Command) -> None:
    (folder / "a.yaml").write_text(SWEEP)
    before = contents(folder)
    refused = command("run", "a.yaml", "--out", out)
    assert (refused.code, refused.out) == (2, "")
    assert message in "\n".join(refused.lines)
    assert contents(folder) == before


@pytest.mark.parametrize("arguments", [["--out", "link"], ["--out", "link/below"], ["--out", "loop"], []])
def test_dangling_link_is_refused(arguments: list[str], folder: Path, command: Command) -> None:
    (folder / "a.yaml").write_text(SWEEP)
    for name, target in {"link": "/nowhere/at/all", "loop": "loop", "runs": "gone"}.items():
        (folder / name).symlink_to(target)
    refused = command("run", "a.yaml", *arguments)
    link = arguments[-1].split("/")[0] if arguments else "runs"
    assert (refused.code, refused.out, len(refused.lines)) == (2, "", 1)
    target = (folder / link).readlink()
    assert f"{folder / link} is a symbolic link to {target}, which does not exist; " in refused.lines[0]
    assert not (folder / "gone").exists()


def test_directory_of_another_sweep_is_refused(folder: Path, command: Command, finished: Path) -> None:
    (folder / "a.yaml").write_text(edited("name: small", "name: large"))
    shutil.copytree(finished, folder / "run")
    check_refused(
        folder,
        command,
        ["run", "a.yaml", "--out", "run"],
        ["run holds the sweep 'small', not 'large'; name another directory"],
    )


def test_directory_recorded_otherwise_is_refused(folder: Path, command: Command, finished: Path) -> None:
    (folder / "a.yaml").write_text(edited("  steps: 3", "  steps: 3\n  record: {every: 2, histogram: true}"))
    shutil.copytree(finished, folder / "run")
    message = (
        "run was recorded with every: 1, histogram: false, but the sweep has every: 2, histogram: true. "
        "A run records the same of all its trials: "
        "set `record` back, or start a new run with another `name` or --out"
    )
    check_refused(folder, command, ["run", "a.yaml", "--out", "run"], [message])


HOLD = """
import sys
from pathlib import Path
from orchestrator.runs.storage.lock import Lock
lock = Lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(folder: Path, finished: Path) -> Iterator[Path]:
    """A run whose lock another process holds."""
    shutil.copytree(finished, folder / "run")
    command = [sys.executable, "-c", HOLD, str(folder / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield folder / "run"
        process.communicate(timeout=30)


def test_directory_in_use_is_refused(folder: Path, command: Command, held: Path) -> None:
    (folder / "a.yaml").write_text(SWEEP)
    messages = [f"{held.name}: another driver is at work here (process "]
    check_refused(folder, command, ["run", "a.yaml", "--out", held.name], messages)


# --- in a process of its own


REPORTING = """
import sys
from orchestrator.cli import main
try:
    main()
finally:
    print("ray" in sys.modules)
"""


def run_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, which then prints whether Ray was imported."""
    command = [sys.executable, "-W", "error", "-c", REPORTING, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_process_exits_with_code_2_before_ray_is_imported(folder: Path) -> None:
    (folder / "a.yaml").write_text(edited("steps: 3", "steps: ten"))
    before = contents(folder)
    done = run_process(folder, "run", "a.yaml")
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr == 'a.yaml:13: steps: is "ten", must be a whole number\n'
    assert contents(folder) == before


def test_process_with_a_wrong_option_exits_with_code_2(folder: Path) -> None:
    done = run_process(folder, "run", "--inlin", "a.yaml")
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "No such option '--inlin'. Did you mean '--inline'?" in done.stderr
    assert "Traceback" not in done.stderr
