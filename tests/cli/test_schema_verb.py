"""``schema``, ``plan``, and the help of all verbs."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from paths import ROOT
from sweeps import NETWORK, plan, swept

from orchestrator.cli import orchestrator as command_line
from orchestrator.sweep.document import parse, read
from orchestrator.sweep.file import load

JOBS = sorted((ROOT / "jobs").glob("*.yaml"))


def invoke(*arguments: str) -> str:
    """Output of a verb that succeeds."""
    result = CliRunner().invoke(command_line, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


# --- schema


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(invoke("schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schema_names_its_draft(validator: jsonschema.Draft202012Validator) -> None:
    assert validator.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_schema_accepts_the_job(job: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(read(job).data)


@pytest.mark.parametrize(
    "items",
    [
        ["seed: {range: 3}", "seed: {range: [0, 3]}"],
        ["{samples: 3, updates.1.learning_rate: {log_uniform: [1e-4, 1]}, batch.size: {choice: [2, 4]}}"],
        ["updates.0: [null, {label: tight, value: {clip: norm, limit: 1}}]"],
        ["cases: {a: , b: {}, c: {steps: 3, sweep: [{cases: {d: {}}}, seed: [0, 1]]}}"],
        ["{seed: [0, 1], data.seed: [0, 1]}"],
    ],
)
def test_schema_accepts_legal_items(items: list[str], validator: jsonschema.Draft202012Validator) -> None:
    base = NETWORK.replace("    - {clip: norm, limit: 1.0}", "    - null")
    extra = "sampling_seed: 3\nplacement: {pack: null, threads: 2}\n"
    validator.validate(parse(swept(*items, base=base) + extra, "a.yaml").data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("steps: 3", "steps: 3\n  stepz: 3"),
        ("hidden: [2]", "hiden: [2]"),
        ("name: small", "name: small\nseeds: 3"),
        ("name: small", "name: runs/small"),
        ("name: small\n", ""),
        ("steps: 3", "steps: ten"),
        ("steps: 3", "steps: 0"),
        ("steps: 3", "steps: 3\nsweep: {seed: [0]}"),
        ("steps: 3", "steps: 3\nsweep: [{seed: 3}]"),
        ("steps: 3", "steps: 3\nsweep: [{seed: []}]"),
        ("steps: 3", "steps: 3\nsweep: [{seed: {rang: 3}}]"),
        ("steps: 3", "steps: 3\nsweep: [{}]"),
        ("steps: 3", "steps: 3\nsweep: [{cases: {a: {sweep: [3]}}}]"),
        ("steps: 3", "steps: 3\nplacement: {pack: auto}"),
        ("clip: norm", "clip: nrom"),
        ("{clip: norm, limit: 1.0}", "{clip: norm}"),
    ],
)
def test_schema_refuses(old: str, new: str, validator: jsonschema.Draft202012Validator) -> None:
    assert old in NETWORK
    assert not validator.is_valid(parse(NETWORK.replace(old, new), "a.yaml").data)


# --- plan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(swept("model.hidden: [[1], [2]]", "seed: {range: 4}"))
    return tmp_path


def test_plan_prints_what_would_run_and_writes_nothing(folder: Path) -> None:
    output = invoke("plan", "a.yaml", "--trials", "8", "--workers", "1")
    assert output.startswith("small: 8 trials in 2 structures\n")
    for trial in plan("model.hidden: [[1], [2]]", "seed: {range: 4}").trials():
        assert trial.id in output
    assert "on 1 worker with this machine's type of CPU" in output
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


@pytest.mark.usefixtures("folder")
def test_plan_counts_gradient_evaluations() -> None:
    """8 trials of 3 steps of 4 samples."""
    (line,) = [
        line for line in invoke("plan", "a.yaml").splitlines() if line.startswith("gradient evaluations")
    ]
    assert line.split()[-1] == "96"


@pytest.mark.usefixtures("folder")
def test_plan_follows_changes_on_the_command_line() -> None:
    assert invoke("plan", "a.yaml", "--set", "sweep=[seed: [1]]", "--trials", "0").startswith(
        "small: 1 trial in"
    )


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stem)
def test_job_has_the_number_of_trials_in_its_header(job: Path) -> None:
    count = load(job).plan.count
    assert f" {count:,} trial{'' if count == 1 else 's'}" in job.read_text()


ONE_TRIAL = ("plan", "a.yaml", "--trials", "0", "--set", "sweep=[seed: [1]]", "--workers")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("workers", "worth_s", "text"),
    [
        (
            8,
            0,
            "up to 8 for each step: a step can use 2, since its mini-batch has 2 shards; "
            "batch.shards: 4 would use 4 (as new trials)",
        ),
        (
            3,
            0,
            "up to 3 for each step: a step can use 2, since its mini-batch has 2 shards; "
            "batch.shards: 3 would use all (as new trials)",
        ),
        (2, 0, "up to 2 for each step: a step can use all of them"),
        (
            8,
            1000,
            "up to 8 for each step: a step can use 1, since a shard takes less than the 1000 s of placement",
        ),
    ],
)
def test_plan_prints_how_many_workers_a_step_can_use(workers: int, worth_s: int, text: str) -> None:
    placement = f"placement={{shard_seconds: {worth_s}}}"
    assert f"\n1 pack for {workers} workers, {text}" in invoke(*ONE_TRIAL, str(workers), "--set", placement)


@pytest.mark.usefixtures("folder")
def test_plan_is_silent_on_sharing_if_every_worker_has_a_pack() -> None:
    assert "for each step" not in invoke("plan", "a.yaml", "--workers", "4")
    assert "for each step" not in invoke(*ONE_TRIAL, "1")


SHOTS = """\
name: shots
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: mse
  gradient: {engine: parameter-shift, backend: {kind: batched}}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4}
  steps: 1
"""


def structures(folder: Path, text: str) -> list[list[str]]:
    """The cells of the plan's table of structures, row by row, header first."""
    (folder / "a.yaml").write_text(text)
    lines = invoke("plan", "a.yaml", "--trials", "0").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("model "))
    rows = itertools.takewhile(str.strip, [lines[start], *lines[start + 2 :]])
    return [re.split(r"\s{2,}", row.strip()) for row in rows]


def test_plan_adds_the_keys_that_distinguish_equal_rows(folder: Path) -> None:
    text = swept("gradient.backend.shots: [10, 100, 1000]", "seed: {range: 2}", base=SHOTS)
    header, *rows = structures(folder, text)
    column = header.index("gradient.backend.shots")
    assert [row[column] for row in rows] == ["10", "100", "1000"]
    assert len({tuple(row) for row in rows}) == 3
    assert "seed" not in header


def test_plan_adds_no_key_if_rows_differ(folder: Path) -> None:
    header, *rows = structures(folder, swept("model.layers: [1, 2]", "seed: [0, 1]", base=SHOTS))
    assert header[:6] == ["model", "data", "loss", "updates", "mode", "trials"]
    assert len(rows) == 2


def test_plan_names_the_values_that_share_a_structure(folder: Path) -> None:
    cases = "cases: {x: {}, y: {updates.0.learning_rate: 1}}"
    text = swept("gradient.backend.shots: [10, 20]", cases, base=SHOTS)
    header, *rows = structures(folder, text)
    assert "case" not in header
    assert [row[header.index("trials")] for row in rows] == ["2", "2"]
    text = swept("cases: {x: {}, y: {updates.0.learning_rate: 1}, z: {batch.size: 5}}", base=SHOTS)
    header, *rows = structures(folder, text)
    assert [row[header.index("case")] for row in rows] == ["x, y", "z"]


# --- help


def helps() -> list[list[str]]:
    return [[], *([verb] for verb in command_line.commands)]


@pytest.mark.parametrize("verb", helps(), ids=lambda verb: " ".join(verb) or "orchestrator")
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_an_example_that_is_a_command(verb: list[str], option: str) -> None:
    output = invoke(*verb, option)
    examples = [
        line.split() for line in output.partition("Example:")[2].splitlines() if line.startswith("    ")
    ]
    assert examples
    assert examples[0][:2] == ["orchestrator", *(verb or ["run"])]
