"""A trial's id: what it covers, what it leaves out, and that it never changes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import SUPPORT
from sweeps import NETWORK, ids, plan, read

from orchestrator.errors import InputError
from orchestrator.trial.problem import format_bytes, problem
from orchestrator.trial.trial import Trial, structure_key, trial_id

CANONICAL = (
    '{"batch":{"shards":2,"size":4},"data":{"rows":20,"source":"moons"},"format":1,'
    '"gradient":{"engine":"backprop"},"loss":"binary-cross-entropy","model":{"hidden":[2],"kind":"mlp"},'
    '"seed":7,"steps":3,'
    '"updates":[{"clip":"norm","limit":1.0},{"learning_rate":0.1,"optimizer":"sgd"}]}'
)


def trial(text: str = NETWORK, *overrides: str, folder: Path = Path()) -> Trial:
    """The base trial of a sweep file."""
    return read(text, *overrides, folder=folder).plan.structures[0].template


def name(text: str = NETWORK, *overrides: str) -> str:
    return trial_id(trial(text, *overrides))


# --- what an id is


def test_id_is_the_hash_of_the_canonical_form() -> None:
    assert name(NETWORK, "base.seed=7") == hashlib.sha256(CANONICAL.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("override", "golden"),
    [
        ("base.seed=0", "2c7bb5ef366c68c4"),
        ("base.seed=7", "fb38b1c1e4053008"),
        ("base.updates.0={clip: value, limit: 0.1}", "9c578d26a3d381e2"),
        ("base.data={source: sine, rows: 20, noise: 1e-3}", "6eb2b8b2027466ed"),
    ],
)
def test_ids_are_those_that_they_always_were(override: str, golden: str) -> None:
    """A changed id would run every trial of every existing run again."""
    text = NETWORK.replace("binary-cross-entropy", "mse").replace("[2]", "[2], output: linear")
    assert name(text, override) == golden


def test_id_of_a_circuit_is_the_one_that_it_always_was() -> None:
    circuit = "base.model={kind: circuit, qubits: 3, layers: 2, observable: Z0 Z1}"
    assert name(NETWORK, circuit, "base.loss=mse", "base.gradient.engine=adjoint") == "29c0985502e6d8d5"


# --- what it leaves out


@pytest.mark.parametrize(
    "override",
    [
        "base.seed=0",
        "base.mode=train",
        "base.batch={size: 4, shards: 2}",
        "base.data={source: moons, rows: 20, noise: 0.1, features: null, test: 0.2}",
        "base.model={kind: mlp, hidden: [2], activation: relu, output: sigmoid, init: glorot}",
        "base.updates.0.limit=1",
        "base.updates=[null, {clip: norm, limit: 1.0}, null, {optimizer: sgd, learning_rate: 0.1}]",
        "name=other",
        "sampling_seed=5",
        "placement={threads: 2, pack: 3}",
        "base.record={every: 7, histogram: true, components: [0]}",
        "sweep=[seed: [0, 1]]",
    ],
)
def test_id_does_not_depend_on(override: str) -> None:
    assert name(NETWORK, override) == name()


@pytest.mark.parametrize(
    "override",
    [
        "base.seed=1",
        "base.steps=4",
        "base.batch.size=5",
        "base.batch.shards=1",
        "base.data.noise=0.2",
        "base.data.seed=1",
        "base.data.test=0.3",
        "base.model.hidden=[3]",
        "base.model.init=he",
        "base.loss=mse",
        "base.updates.0.limit=1.5",
        "base.updates.0.clip=value",
        "base.updates.0=null",
        "base.updates.1.learning_rate=0.2",
        "base.updates=[{optimizer: sgd, learning_rate: 0.1}, {clip: norm, limit: 1.0}]",
    ],
)
def test_id_depends_on(override: str) -> None:
    assert name(NETWORK, override) != name()


def test_structure_leaves_out_seed_and_numbers_of_updates() -> None:
    key = structure_key(trial())
    assert structure_key(trial(NETWORK, "base.seed=3", "base.updates.0.limit=9")) == key
    assert structure_key(trial(NETWORK, "base.updates.0.clip=value")) != key


# --- data files


def with_file(path: Path) -> str:
    return NETWORK.replace(
        "{source: moons, rows: 20}", f"{{source: file, path: {path}, target: y, scale: none}}"
    )


def rows(seed: int) -> str:
    values = np.random.default_rng(seed).random((12, 2)).tolist()
    return "a,b,y\n" + "".join(f"{a},{b},{'no' if k % 2 else 'yes'}\n" for k, (a, b) in enumerate(values))


def test_id_covers_the_content_of_a_data_file_and_not_its_path(tmp_path: Path) -> None:
    for file, seed in (("one.csv", 0), ("two.csv", 0), ("three.csv", 1)):
        (tmp_path / file).write_text(rows(seed))
    one, two, three = (name(with_file(tmp_path / file)) for file in ("one.csv", "two.csv", "three.csv"))
    assert one == two != three


def test_relative_path_of_a_data_file_starts_at_the_sweep_file(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(rows(0))
    found = trial(with_file(Path("one.csv")), folder=tmp_path)
    assert trial_id(found) == name(with_file(tmp_path / "one.csv"))


def test_data_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """In a notebook a sweep is planned twice in one process; the id and the numbers must agree."""
    path = tmp_path / "one.csv"
    path.write_text(rows(0))
    before = problem(trial(with_file(path))).data.inputs
    path.write_text(rows(1) + "0.5,0.5,yes\n")
    after = problem(trial(with_file(path))).data.inputs
    assert before.shape != after.shape


# --- parts that do not fit


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["base.updates.1=null"], "updates: has 0 optimizers; mode: train needs exactly one"),
        (
            ["base.updates.0={optimizer: sgd, learning_rate: 1}"],
            "updates: has 2 optimizers; mode: train needs",
        ),
        (["base.mode=probe"], "updates.1: has no effect in a probe, which applies no updates; remove it"),
        (["base.batch.shards=5"], "batch.shards: is 5, must be at most the 4 samples of a mini-batch"),
        (["base.batch.size=17"], "batch.size: is 17, must be at most the 16 rows of the training part"),
        (["base.data=null"], "batch.size: is 4, but without data a batch has one sample"),
        (["base.data=null", "base.batch={}"], "model.kind: mlp needs data"),
        (["base.loss=expectation"], "loss: expectation needs a circuit's expectation value; the model has"),
        (
            ["base.record={components: [0, 9]}"],
            "record.components.1: is 9, but the model has components 0 … 8",
        ),
        (["base.model.hidden=[10000000000]"], "model: kind=mlp hidden=[10000000000] needs "),
        (
            ["base.gradient={engine: adjoint}"],
            "gradient.engine: is adjoint, which cannot differentiate this model (legal: backprop)",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(overrides: list[str], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(NETWORK, *overrides)
    messages = [f"{fault.path}: {fault.message}" for fault in caught.value.faults]
    assert any(message.startswith(expected) for message in messages), messages


def test_probe_refuses_what_its_steps_do_not_have(tmp_path: Path) -> None:
    """A separate process plans the sweep, as no other test may discover these updates."""
    clips = "{clip: weighed}\n    - {clip: fading}\n    - {clip: counting}\n    - {clip: asking}"
    path = tmp_path / "a.yaml"
    path.write_text(NETWORK.replace("{optimizer: sgd, learning_rate: 0.1}", clips) + "  mode: probe\n")
    code = "import asking_updates; from orchestrator.cli import main; main()"
    here = SUPPORT
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", str(path)], cwd=here, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    alone = "which a probe does not have, as its steps are independent; remove it"
    assert done.stderr.splitlines() == [
        f"{path}:9: updates.1: needs trained parameters, {alone}",
        f"{path}:10: updates.2: needs the number of the step, {alone}",
        f"{path}:11: updates.3: needs memory of earlier steps, {alone}",
        f"{path}:12: updates.4: needs losses at other parameters, {alone}",
    ]


def test_bytes_are_formatted_with_a_unit() -> None:
    assert [format_bytes(count) for count in (0, 1023, 1024, 10 * 1024, 3 * 2**40, 2**70 - 1, 2**2000)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "10 KiB",
        "3.0 TiB",
        "1024 EiB",
        "over 1024 EiB",
    ]


def test_plan_of_one_trial_has_its_id() -> None:
    assert ids(plan()) == [name()]
