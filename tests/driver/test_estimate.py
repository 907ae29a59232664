"""A plan's estimates of size and time, compared with a real run and with formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweeps import NETWORK, read, swept

import orchestrator
from orchestrator.driver import duration
from orchestrator.driver.counts import Left
from orchestrator.driver.estimate import Estimate, estimates
from orchestrator.sweep.file import Placement
from orchestrator.trial.pinned import load_problem
from orchestrator.trial.problem import shard_bytes

PORTIONED = swept("model.hidden: [[2], [3]]", "seed: {range: 7}") + "placement: {pack: 3}\n"
"""Two structures of seven trials each, three steps, packs of three."""


def estimated(text: str, *overrides: str, workers: int = 1) -> list[Estimate]:
    return list(estimates(read(text, *overrides), workers))


@pytest.mark.parametrize(("steps", "every"), [(7, 1), (7, 2), (8, 3), (8, 100)])
def test_packs_and_rows_are_those_of_a_run(steps: int, every: int, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PORTIONED)
    changes = (f"base.steps={steps}", f"base.record={{every: {every}, components: [0]}}")
    planned = estimated(PORTIONED, *changes)
    where = orchestrator.Where(inline=True)
    orchestrator.run(tmp_path / "a.yaml", tmp_path / "run", where=where, overrides=changes)
    run = orchestrator.open_run(tmp_path / "run")
    assert sum(one.packs for one in planned) == len(set(run.trials["pack"].to_pylist())) == 6
    assert sum(one.gradient_rows for one in planned) == run.gradients.num_rows
    assert [one.parameters for one in planned] == [9, 13]
    assert [one.evaluations for one in planned] == [7 * steps * 4] * 2


def test_size_of_the_traces_is_that_of_all_their_rows() -> None:
    """Compressed bytes: 70 per step, 130 per group, 40 per histogram, 10 per parameter."""

    def size(*overrides: str) -> int:
        return sum(one.trace_bytes for one in estimated(swept("seed: {range: 7}"), *overrides))

    rows = 7 * 3 * (4 + 2)  # trials, steps, groups and signals of two layers
    assert size() == 7 * 3 * 70 + rows * 130
    assert size("base.record.histogram=true") - size() == rows * 40
    assert size("base.record.parameters=final") - size() == 7 * 9 * 10


def test_memory_is_that_of_a_shard_of_a_full_pack() -> None:
    (one,) = estimated(swept("seed: {range: 7}"), "placement.pack=5")
    template, ready = one.structure.template, load_problem(one.structure.pinned)
    assert one.shard_bytes == shard_bytes(template, ready, 5) > shard_bytes(template, ready, 1)


def test_memory_of_a_shard_is_that_of_the_largest() -> None:
    """Seven samples in three shards are cut into 3, 2 and 2."""
    sizes = [estimated(NETWORK, "base.batch=" + batch)[0].shard_bytes for batch in BATCHES]
    assert sizes[0] == sizes[1] > sizes[2]


BATCHES = ("{size: 7, shards: 3}", "{size: 9, shards: 3}", "{size: 6, shards: 3}")


def test_only_what_is_left_is_estimated() -> None:
    """Of two structures of seven trials, three steps and packs of three: the second, for four trials."""
    sweep, left = read(PORTIONED), [Left(0, 0, 0), Left(trials=4, begun=1, steps=4 * 3 - 1)]
    whole = estimated(PORTIONED)[1]
    (rest,) = estimates(sweep, 1, left)
    assert (rest.structure, rest.trials, rest.steps, rest.packs) == (whole.structure, 4, 11, 2)
    assert (rest.evaluations, rest.gradient_rows) == (11 * 4, 11 * 6)
    assert rest.trace_bytes == whole.trace_bytes * 11 // 21


# --- time


@pytest.fixture
def gradient_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a mini-batch of one trial takes a second, on the machine of the constants."""
    monkeypatch.setattr(duration, "_slowdown", lambda: 1.0)
    monkeypatch.setattr(duration, "_gradient_s", lambda *_: 1.0)


def times(*overrides: str, workers: int = 1, spent_s: float = 0.0) -> duration.Duration:
    return duration.duration(estimated(PORTIONED, *overrides), workers, Placement(), spent_s)


GRADIENTS_S = 14 * 3 * 1.0
"""Trials times steps."""


@pytest.mark.usefixtures("gradient_of_a_second")
def test_time_is_that_of_all_gradients_and_of_every_step_of_every_pack() -> None:
    rest = 6 * 3 * duration._STEP_S + 14 * 3 * 6 * (duration._ROW_S + duration._FINISHED_ROW_S)
    assert times().inline == pytest.approx(duration._LIBRARIES_S + GRADIENTS_S + rest)
    probe = ("base.mode=probe", "base.updates=[]")
    calls = 6 * duration._STEP_S  # a probe takes all steps in one call
    assert times(*probe).inline == pytest.approx(times().inline + calls - 6 * 3 * duration._STEP_S)


@pytest.mark.usefixtures("gradient_of_a_second")
def test_time_of_the_rest_is_that_of_its_steps() -> None:
    left = [Left(0, 0, 0), Left(trials=3, begun=3, steps=5)]
    (rest,) = estimates(read(PORTIONED), 1, left)
    found = duration.duration([rest], 1, Placement(), spent_s=0.0).inline - duration._LIBRARIES_S
    rows_s = 5 * 6 * (duration._ROW_S + duration._FINISHED_ROW_S)
    assert found == pytest.approx(5 * 1.0 + 5 / 3 * duration._STEP_S + rows_s)  # one pack of three trials


@pytest.mark.usefixtures("gradient_of_a_second")
def test_start_of_a_local_ray_is_left_out_where_a_cluster_is_joined() -> None:
    here, there = (
        duration.duration(estimated(PORTIONED), 1, Placement(), 0.0, joins) for joins in (False, True)
    )
    for name in ("start", "on_ray"):
        assert getattr(here, name) - getattr(there, name) == pytest.approx(duration._RAY_S)


@pytest.mark.usefixtures("gradient_of_a_second")
def test_time_of_the_check_is_added_to_that_of_a_run() -> None:
    for name in ("inline", "on_ray", "start"):
        assert getattr(times(spent_s=5.0), name) == pytest.approx(getattr(times(), name) + 5.0)


@pytest.mark.usefixtures("gradient_of_a_second")
def test_no_more_workers_are_busy_than_there_are_packs_of_one_shard() -> None:
    whole = "base.batch={size: 7, shards: 1}"
    one, six, many = (times(whole, workers=workers).on_ray for workers in (1, 6, 60))
    assert one - six > GRADIENTS_S * (1 - 1 / 6)
    assert many == six


def test_time_of_a_call_is_shared_by_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duration, "shard_gradient", lambda *_: (None, 6.0))
    pinned: Any = read(NETWORK).plan.structures[0].pinned
    assert duration._measured(pinned, 4) == 2 * 6.0 / 4  # two shards
