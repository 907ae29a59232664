"""``null`` in an optional key means its default; everywhere else it is refused."""

from __future__ import annotations

import json

import jsonschema
import pytest
from sweeps import NETWORK, columns, ids, plan, read, swept

from orchestrator.errors import InputError
from orchestrator.sweep.document import parse
from orchestrator.sweep.schema import json_schema

NOISY = """\
name: noisy
base:
  data: {source: moons, rows: 20, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 1}
  loss: mse
  gradient: {engine: parameter-shift, backend: {kind: aer, method: density_matrix}}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4}
  steps: 1
"""


def test_noise_can_be_left_out_along_an_axis() -> None:
    found = plan("gradient.backend.noise: [null, {depolarizing: 0.01}]", base=NOISY)
    assert columns(found) == [("none",), ("depolarizing=0.01",)]
    assert ids(found)[0] == ids(plan(base=NOISY))[0]
    assert len(set(ids(found))) == 2


@pytest.mark.parametrize(
    "path",
    [
        "gradient.backend.noise.depolarizing",
        "gradient.backend.method",
        "model.ansatz",
        "model.observables",
        "model.reupload",
        "data.scale",
        "data.seed",
        "batch",
        "mode",
        "seed",
    ],
)
def test_null_has_the_id_of_the_key_left_out(path: str) -> None:
    base = (
        NOISY.replace("method: density_matrix", "shots: 7")
        .replace(", scale: angle}", "}")
        .replace("  batch: {size: 4}\n", "")
    )
    assert ids(plan(f"{path}: [null]", base=base)) == ids(plan(base=base))


def test_null_of_a_case_takes_out_what_base_says() -> None:
    cases = "cases: {noisy: {}, ideal: {gradient.backend.noise: null}}"
    noisy = NOISY.replace("density_matrix}", "density_matrix, noise: {readout: 0.1}}")
    assert ids(plan(cases, base=noisy)) == [*ids(plan(base=noisy)), *ids(plan(base=NOISY))]


def test_null_around_the_trial_is_the_key_left_out() -> None:
    text = NETWORK + "sampling_seed: null\nplacement: null\nstop_after: {identical_failures: null}\n"
    assert read(text).placement == read(NETWORK).placement


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps: 3", "steps: null", "a.yaml:11: steps: is null, must be a whole number"),
        ("limit: 1.0", "limit: null", "a.yaml:8: updates.0.limit: is null, must be a number"),
        ("steps: 3", "steps: 3\n  stepz: null", "a.yaml:12: stepz: unknown key; did you mean 'steps'?"),
        ("shards: 2", "shard: null", "a.yaml:10: batch.shard: unknown key; did you mean 'shards'?"),
    ],
)
def test_null_is_refused_where_the_key_must_be_given_or_is_unknown(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(NETWORK.replace(old, new))
    (fault,) = refused.value.faults
    assert str(fault).startswith(message)


def test_schema_accepts_null_where_the_key_may_be_left_out() -> None:
    schema = json.loads(json.dumps(json_schema()))
    validator = jsonschema.Draft202012Validator(schema)
    noisy = NOISY.replace("density_matrix}", "density_matrix, noise: null}")
    validator.validate(parse(swept("seed: [1]", base=noisy), "a.yaml").data)
    assert not validator.is_valid(parse(NETWORK.replace("steps: 3", "steps: null"), "a.yaml").data)
