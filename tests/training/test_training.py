"""Training and probing: bits that depend on the trial alone, and rows that record what happened."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advancing import (
    ALL,
    CIRCUIT,
    DRAWN_AXES,
    NETWORK,
    SAMPLED,
    bits_of,
    pack_of,
    rows_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import orchestrator
from orchestrator.data.base import Dataset
from orchestrator.engines.gradient import Cost, GradientSum
from orchestrator.errors import WorkerLost
from orchestrator.fleet.inline import InlineTeam
from orchestrator.models.samples import EachRow
from orchestrator.streams import Streams
from orchestrator.tables.schema import TABLES
from orchestrator.training.advance import Limits, advance
from orchestrator.training.batches import Batches
from orchestrator.training.evaluate import evaluate
from orchestrator.training.pack import Pack
from orchestrator.training.probe import until_first_false
from orchestrator.training.recorder import ColumnArrays, RowArrays, join_rows
from orchestrator.training.state import PackState, Totals
from orchestrator.trial.pinned import pin
from orchestrator.trial.problem import problem
from orchestrator.trial.trial import Batch
from orchestrator.updates.chain import Chain

CLIPS = ("{clip: norm, limit: 0.1}", "{clip: value, limit: 0.01}")
OPTIMIZERS = (
    "{optimizer: sgd, learning_rate: 0.1}",
    "{optimizer: momentum, learning_rate: 0.1}",
    "{optimizer: adam, learning_rate: 0.1}",
)
NATURAL = (
    "{optimizer: qng, learning_rate: 0.1, momentum: 0.5}",
    "{optimizer: quantum-adam, learning_rate: 0.1, metric: full, global_clipnorm: 0.3}",
)


def steps_of(rows: RowArrays, table: str, column: str, trial: str) -> list[Any]:
    mine = rows[table]["trial"] == trial
    values: list[Any] = rows[table][column][mine].tolist()
    return values


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    """Packs over all options that affect a step; some of their trials diverge."""
    text = draw(st.sampled_from([NETWORK, CIRCUIT, DRAWN_AXES]))
    mode = draw(st.sampled_from(["train", "probe"]))
    size = draw(st.integers(1, 9)) if text != DRAWN_AXES else 1
    clips = draw(st.lists(st.sampled_from(CLIPS), max_size=2, unique=True))
    optimizer = draw(st.sampled_from(OPTIMIZERS if text == NETWORK else OPTIMIZERS + NATURAL))
    items = [f"seed: {{range: {draw(st.integers(1, 4))}}}"]
    if mode == "train":
        rates = draw(st.lists(st.sampled_from([0.1, 1.0, 1e308]), min_size=1, max_size=3, unique=True))
        items.append(f"updates.{len(clips)}.learning_rate: {rates}")
    return pack_of(
        text,
        *(f"{{{item}}}" for item in items),
        overrides=(
            f"base.mode={mode}",
            f"base.updates=[{', '.join([*clips, *([optimizer] if mode == 'train' else [])])}]",
            f"base.batch={{size: {size}, shards: {draw(st.integers(1, size))}}}",
            f"base.record.every={draw(st.integers(1, 4))}",
        ),
    )


@given(pack=packs(), data=st.data())
@settings(max_examples=60)
def test_trial_has_the_same_bits_in_any_company_and_any_chunks(pack: Pack, data: st.DataObject) -> None:
    whole = rows_of(pack)
    some = data.draw(st.permutations(range(len(pack.ids))))[: data.draw(st.integers(1, len(pack.ids)))]
    cuts = data.draw(st.lists(st.integers(1, 4), max_size=8))
    part = rows_of(pack.take(some), cuts)
    for trial in pack.take(some).ids:
        assert bits_of(part, trial) == bits_of(whole, trial)


@given(pack=packs())
@settings(max_examples=10)
def test_state_survives_being_a_vector(pack: Pack) -> None:
    rest = advance(InlineTeam(), pack, Limits(2, math.inf)).pack
    assert rest is None or rest.vectors is not None
    if rest is not None and rest.vectors is not None:
        chain = Chain.of([trial.updates for trial in rest.trials])
        count = problem(rest.template).model.parameters if rest.template.mode == "train" else 0
        again = PackState.restore(rest.vectors, chain, count).flatten(chain)
        assert again.tobytes() == rest.vectors.tobytes()


@pytest.mark.parametrize("mode", ["train", "probe"])
def test_time_limit_hands_back_after_one_call(mode: str) -> None:
    pack = pack_of(NETWORK, overrides=[f"base.mode={mode}", "base.updates.0=null"] if mode == "probe" else [])
    chunk = advance(InlineTeam(), pack, Limits(None, 0.0))
    assert chunk.steps == (1 if mode == "train" else 8)


@pytest.mark.parametrize(("every", "steps"), [(1, [*range(8)]), (3, [0, 3, 6, 7]), (7, [0, 7]), (9, [0, 7])])
@pytest.mark.parametrize("mode", ["train", "probe"])
def test_record_every_leaves_steps_out_and_changes_no_other(mode: str, every: int, steps: list[int]) -> None:
    changes = ["base.mode=probe", "base.updates=[]"] if mode == "probe" else []
    full = rows_of(pack_of(NETWORK, overrides=changes))
    few = rows_of(pack_of(NETWORK, overrides=[*changes, f"base.record.every={every}"]))
    assert few["steps"]["step"].tolist() == steps
    for table in ("steps", "gradients"):
        kept = np.isin(full[table]["step"], steps)
        for column in TABLES[table]:
            if column.deterministic and column.name in full[table]:
                assert full[table][column.name][kept].tobytes() == few[table][column.name].tobytes()


def test_tests_are_made_when_they_are_due_and_at_the_end() -> None:
    pack = pack_of(NETWORK)
    rows = rows_of(pack)
    assert np.flatnonzero(~np.isnan(rows["steps"]["test_loss"])).tolist() == [0, 3, 6]
    few = rows_of(pack_of(NETWORK, overrides=["base.record.every=2"]))["steps"]
    assert few["step"][~np.isnan(few["test_loss"])].tolist() == [0, 6]
    ready, trial = problem(pack.template), pack.template
    axes = np.zeros((1, 0), np.int8)
    first = evaluate(ready, ready.model.initial(Streams([trial.seed], 0)), axes)
    last = evaluate(ready, rows["parameters"]["value"][None], axes)
    for column, before, after in zip(("test_loss", "test_accuracy"), first, last, strict=True):
        assert rows["steps"][column][0] == before[0]
        assert rows["trials"][column][0] == after[0]


def test_large_test_part_is_scored_as_a_whole() -> None:
    pack = pack_of(NETWORK, overrides=["base.data.rows=2000", "base.data.test=0.5"])
    ready = problem(pack.template)
    parameters = ready.model.initial(Streams([0, 1], 0))
    loss, accuracy = evaluate(ready, parameters, np.zeros((2, 0), np.int8))
    inputs = np.ascontiguousarray(np.broadcast_to(ready.data.test_inputs, (2, *ready.data.test_inputs.shape)))
    logits = ready.differentiator.predict(parameters, inputs, np.zeros((2, 0), np.int8))[..., 0]
    signs = 2.0 * ready.data.test_targets - 1.0
    np.testing.assert_allclose(
        loss, np.log1p(np.exp(-signs * logits)).mean(-1), rtol=1e-13
    )  # rounding of a mean
    np.testing.assert_array_equal(accuracy, ((logits > 0) == (signs > 0)).mean(-1))


def test_parameters_are_the_initial_ones_minus_all_updates() -> None:
    pack = pack_of(NETWORK, overrides=[f"base.record.components={[*range(13)]}"])
    rows = rows_of(pack)
    gradients = rows["gradients"]
    single = np.char.startswith(gradients["group"], b"component")
    steps = gradients["mean"][single].reshape(8, 13)
    expected = problem(pack.template).model.initial(Streams([0], 0))[0]
    for step in steps:
        expected = expected - 0.1 * step
    np.testing.assert_array_equal(rows["parameters"]["value"], expected)
    assert rows["parameters"]["component"].tolist() == [*range(13)]


def test_histogram_and_parameters_are_kept_only_on_request() -> None:
    rows = rows_of(pack_of(NETWORK, overrides=["base.record={}"]))
    assert "parameters" not in rows
    assert "histogram" not in rows["gradients"]
    counts = rows_of(pack_of(NETWORK))["gradients"]["histogram"]
    assert (counts.sum(-1) <= 13).all()
    assert counts.any()


def test_last_row_of_a_diverged_trial_is_its_first_that_is_not_finite() -> None:
    pack = pack_of(NETWORK, "{updates.0.learning_rate: [0.1, 1e308]}", "{seed: {range: 3}}")
    rows = rows_of(pack)
    status = dict(zip(rows["trials"]["trial"].tolist(), rows["trials"]["status"].tolist(), strict=True))
    assert [status[trial] for trial in pack.ids] == ["done"] * 3 + ["diverged"] * 3
    for trial in pack.ids[3:]:
        finite = steps_of(rows, "steps", "finite", trial)
        assert finite == [True] * (len(finite) - 1) + [False]
        assert steps_of(rows, "trials", "steps", trial) == [len(finite)]
        final, last = (
            steps_of(rows, "trials", "final_loss", trial),
            steps_of(rows, "steps", "loss", trial)[-1:],
        )
        np.testing.assert_array_equal(final, last)
        assert np.isnan(steps_of(rows, "trials", "test_loss", trial)).all()


def test_first_row_that_is_not_finite_is_kept_between_recorded_steps() -> None:
    pack = pack_of(NETWORK, "{updates.0.learning_rate: [0.1, 1e308]}", overrides=["base.record.every=100"])
    rows = rows_of(pack)
    healthy, diverged = pack.ids
    assert steps_of(rows, "steps", "finite", diverged) == [True, False]
    assert steps_of(rows, "steps", "step", diverged)[-1] == steps_of(rows, "trials", "steps", diverged)[0] - 1
    assert steps_of(rows, "steps", "step", healthy) == [0, 7]


def test_totals_count_the_steps_that_ran() -> None:
    ran = np.array([[True, True, True], [True, False, False]])
    numbers = np.arange(6.0)
    total = GradientSum(numbers, 10.0 - numbers, np.zeros((6, 0)), Cost(numbers, numbers, numbers))
    totals = Totals.start(2, now=5.0).after(total, ran, compute=1.0, wait=2.0)
    assert totals.steps.tolist() == [3.0, 1.0]
    assert totals.final_loss.tolist() == [8.0, 7.0]
    assert totals.best_loss.tolist() == [8.0, 7.0]
    assert totals.executions.tolist() == totals.shots.tolist() == totals.qpu_seconds.tolist() == [3.0, 3.0]
    assert (totals.seconds_compute.tolist(), totals.seconds_wait.tolist()) == ([1.0, 1.0], [2.0, 2.0])
    assert totals.started_at.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("mode", ["train", "probe"])
def test_rows_do_not_depend_on_how_many_are_gathered(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["base.mode=probe", "base.updates=[]"] if mode == "probe" else []
    pack = pack_of(NETWORK, "{seed: {range: 3}}", overrides=changes)
    together = rows_of(pack)
    monkeypatch.setattr("orchestrator.training.recorder._GATHER_BYTES", 1)
    one_by_one = rows_of(pack)
    assert all(bits_of(one_by_one, trial) == bits_of(together, trial) for trial in pack.ids)


def huge_rows(folder: Path) -> Path:
    """Ten rows, one of them so large that squares overflow."""
    path = folder / "huge.csv"
    rows = [f"{1e200 if i == 4 else i},{i}.5" for i in range(10)]
    path.write_text("\n".join(["x,y", *rows]))
    return path


def test_probe_ends_at_its_first_step_that_is_not_finite(tmp_path: Path) -> None:
    changes = [
        f"base.data={{source: file, path: {huge_rows(tmp_path)}, target: y, scale: none, test: 0.0}}",
        "base.model.output=linear",
        "base.loss=mse",
        "base.mode=probe",
        "base.updates=[]",
        "base.batch={size: 1}",
    ]
    pack = pack_of(NETWORK, "{seed: {range: 4}}", overrides=changes)
    rows = rows_of(pack)
    for trial in pack.ids:
        finite = steps_of(rows, "steps", "finite", trial)
        ended = steps_of(rows, "trials", "status", trial) == ["diverged"]
        assert finite == ([True] * (len(finite) - 1) + [False] if ended else [True] * 8)
        assert steps_of(rows, "trials", "steps", trial) == [len(finite)]
    assert set(rows["trials"]["status"].tolist()) == {"done", "diverged"}
    for trial in pack.ids:
        assert bits_of(rows_of(pack, [1] * 8), trial) == bits_of(rows, trial)


@given(good=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_until_first_false_includes_the_first_false(good: list[list[bool]]) -> None:
    expected = [[all(row[:count]) for count in range(3)] for row in good]
    assert until_first_false(np.array(good)).tolist() == expected


def weighted_file(path: Path, weights: Sequence[float], copies: Sequence[int] = ()) -> Path:
    """Writes a table of y = x² - x; row i has a weight and a number of copies."""
    counts = copies or [1] * len(weights)
    lines = [f"{i},{i * i - i}.0,{w}" for i, w in enumerate(weights) for _ in range(counts[i])]
    path.write_text("\n".join(["x,y,w", *lines]))
    return path


def fitted(path: Path, size: int, *more: str) -> list[str]:
    """Overrides that train a network on a weighted file."""
    return [
        f"base.data={{source: file, path: {path}, target: y, weights: w, scale: none, test: 0.0}}",
        "base.model={kind: mlp, hidden: [3], activation: tanh, output: linear}",
        "base.loss=mse",
        f"base.batch={{size: {size}, shards: 2}}",
        *more,
    ]


def test_weight_of_a_row_counts_like_copies_of_it(tmp_path: Path) -> None:
    weighted = weighted_file(tmp_path / "weighted.csv", [1.0, 2.0, 1.0, 3.0])
    copied = weighted_file(tmp_path / "copied.csv", [1.0] * 4, [1, 2, 1, 3])
    one, many = (
        rows_of(pack_of(NETWORK, overrides=fitted(path, size, "base.record={}")))
        for path, size in ((weighted, 4), (copied, 7))
    )
    for table, column in (("steps", "loss"), ("steps", "gradient_norm"), ("gradients", "l2")):
        # sums over the same terms in another order, through eight steps
        np.testing.assert_allclose(one[table][column], many[table][column], rtol=1e-12)


# What a mini-batch tells about the whole training part

PROBE = ("base.mode=probe", "base.updates=[]")
EQUAL, UNEQUAL = [1.0] * 8, [1.0, 2.0, 1.0, 3.0, 0.0, 2.5, 1.0, 7.0]


def of_file(folder: Path, weights: Sequence[float], size: int, *more: str) -> ColumnArrays:
    """The steps of a network on a weighted file, in order."""
    path = weighted_file(folder / "rows.csv", weights)
    return rows_of(pack_of(NETWORK, overrides=[*fitted(path, size), *more]))["steps"]


@pytest.mark.parametrize("mode", [PROBE, ()])
@pytest.mark.parametrize("weights", [EQUAL, UNEQUAL])
def test_signal_square_of_a_full_batch_is_the_gradients_square(
    tmp_path: Path, weights: Sequence[float], mode: Sequence[str]
) -> None:
    steps = of_file(tmp_path, weights, 8, *mode)
    # Two shards add the weights' squares in another order than the whole; noise_trace is of this size too.
    np.testing.assert_allclose(steps["signal_square"], steps["gradient_norm"] ** 2, rtol=1e-13)
    assert (steps["noise_trace"] > 0.1 * steps["signal_square"]).any()


def test_signal_square_of_mini_batches_has_the_full_gradients_square_as_its_mean(tmp_path: Path) -> None:
    """A probe draws the same parameters in a step for any mini-batch."""
    some, whole = (of_file(tmp_path, EQUAL, size, *PROBE, "base.steps=4000") for size in (3, 8))
    full, trace = whole["gradient_norm"] ** 2, whole["noise_trace"]
    relative = (some["signal_square"] - full) / (full + trace)  # of one size, whatever the parameters
    independent = relative - trace / 8 / (full + trace)  # what it would be without the part of 1/N

    def errors(values: np.ndarray) -> float:
        return float(abs(values.mean()) / values.std() * math.sqrt(len(values)))

    assert errors(relative) < 4 < errors(independent)


def test_signal_square_without_data_takes_off_the_noise_of_shots_alone() -> None:
    rows = rows_of(pack_of(SAMPLED))
    steps, groups = rows["steps"], rows["gradients"]
    noise = np.nansum((groups["shot_variance"] * groups["parameters"]).reshape(8, -1), axis=1)
    assert (noise > 0).all()
    np.testing.assert_allclose(steps["signal_square"], steps["gradient_norm"] ** 2 - noise, rtol=1e-13)
    assert np.isnan(steps["noise_trace"]).all()


ENGINES = ("{engine: adjoint}", "{engine: finite-difference}", "{engine: spsa, directions: 3}")


@pytest.mark.parametrize("engine", ENGINES)
def test_signal_square_is_null_only_for_an_engine_that_draws_directions(engine: str) -> None:
    steps = rows_of(pack_of(CIRCUIT, overrides=[f"base.gradient={engine}"]))["steps"]
    assert (np.isnan(steps["signal_square"]) == ("spsa" in engine)).all()
    assert not np.isnan(steps["noise_trace"]).any()


def test_loss_shot_variance_is_that_of_the_loss_and_null_where_exact() -> None:
    shots, exact = (
        rows_of(pack_of(SAMPLED, "{seed: {range: 400}}", overrides=[*PROBE, f"base.gradient={engine}"]))[
            "steps"
        ]
        for engine in ("{engine: parameter-shift, backend: {kind: batched, shots: 20}}", "{engine: adjoint}")
    )
    assert np.isnan(exact["loss_shot_variance"]).all()
    deviation = (shots["loss"] - exact["loss"]) ** 2 - shots["loss_shot_variance"]
    assert abs(deviation.mean()) < 4 * deviation.std() / math.sqrt(len(deviation))


@pytest.mark.parametrize("engine", ["{engine: parameter-shift}", "{engine: adjoint}"])
def test_shot_variance_is_null_where_exact(engine: str) -> None:
    assert np.isfinite(rows_of(pack_of(SAMPLED))["gradients"]["shot_variance"]).any()
    exact = rows_of(pack_of(SAMPLED, overrides=[f"base.gradient={engine}"]))["gradients"]
    assert np.isnan(exact["shot_variance"]).all()


def failing(folder: Path) -> Pack:
    """Trials whose engine raises at one of ten rows."""
    from sick_engines import Allergic  # after the sweep file's list of engines was built

    path = weighted_file(folder / "ten.csv", [1.0] * 10)
    pack = pack_of(NETWORK, "{seed: {range: 6}}", overrides=fitted(path, 2))
    return with_changes(pack, gradient=Allergic(engine="allergic", to=7.0))


def with_changes(pack: Pack, **changes: Any) -> Pack:
    """The pack with other values in all its trials, pinned anew."""
    trials = tuple(trial.model_copy(update=changes) for trial in pack.trials)
    return replace(pack, trials=trials, pinned=pin(trials[0]))


def brought_to_fail(pack: Pack, steps: int | None) -> tuple[list[RowArrays], int]:
    """The chunks of one trial until it raises or ends, and the step at which it stopped."""
    parts: list[RowArrays] = []
    rest: Pack | None = pack
    while rest is not None:
        pack = rest
        try:
            chunk = advance(InlineTeam(), pack, Limits(steps, math.inf))
        except ValueError as error:
            assert str(error) == "cannot stand 7"
            return parts, pack.step
        parts.append(chunk.rows)
        rest = chunk.pack
    return parts, pack.template.steps


@pytest.mark.parametrize("mode", ["train", "probe"])
def test_failing_trial_fails_at_the_same_step_in_any_chunks(tmp_path: Path, mode: str) -> None:
    pack = failing(tmp_path)
    if mode == "probe":
        pack = with_changes(pack, mode="probe", updates=())
    stopped = set()
    for row, trial in enumerate(pack.ids):
        ends = [brought_to_fail(pack.take([row]), steps) for steps in (None, 1, 3)]
        assert len({step for _, step in ends}) == 1
        assert len({repr(bits_of(join_rows(parts), trial)) for parts, _ in ends}) == 1
        assert mode == "probe" or len(ends[0][0]) <= 1  # the steps before the error come back in one chunk
        stopped.add(ends[0][1])
    assert len(stopped) > 2


class LosingTeam(InlineTeam):
    """Loses a helper in its third call."""

    def __init__(self) -> None:
        self.calls = 0

    def map(self, function: Any, shared: Any, items: Sequence[Any]) -> list[Any]:
        self.calls += 1
        if self.calls == 3:
            raise WorkerLost("killed")
        return super().map(function, shared, items)


def test_mini_batch_without_weight_is_a_step_without_gradient(tmp_path: Path) -> None:
    path = weighted_file(tmp_path / "gaps.csv", [0.0, 1.0])
    rows = rows_of(pack_of(NETWORK, overrides=[*fitted(path, 1), "base.batch={size: 1}"]))
    norms = rows["steps"]["gradient_norm"].tolist()
    assert [norm > 0 for norm in norms].count(True) == 4
    assert rows["trials"]["status"].tolist() == ["done"]


def test_lost_worker_ends_the_chunk_immediately() -> None:
    team = LosingTeam()
    with pytest.raises(WorkerLost):
        advance(team, pack_of(NETWORK), ALL)
    assert team.calls == 3


def dataset(rows: int, weights: Sequence[float] = ()) -> Dataset:
    """Rows whose only input is their index."""
    inputs = np.arange(rows, dtype=np.float64)[:, None]
    one = np.array(weights) if weights else np.ones(rows)
    return Dataset(inputs, inputs[:, 0], one, inputs[:0], inputs[:0, 0], classes=0)


@given(
    rows=st.integers(2, 40),
    size=st.integers(1, 40),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4),
)
def test_epoch_is_a_permutation_without_its_remainder(rows: int, size: int, seeds: list[int]) -> None:
    size = min(size, rows)
    per_epoch = rows // size
    batches = Batches(dataset(rows), Batch(size=size), EachRow(), np.array(seeds, np.uint64))
    seen = batches.indices(range(3 * per_epoch))
    assert seen.shape == (len(seeds), 3 * per_epoch, size)
    for epochs in seen.reshape(len(seeds), 3, per_epoch * size):
        for epoch in epochs:
            assert len(set(epoch.tolist())) == per_epoch * size
            assert set(epoch.tolist()) <= set(range(rows))


def test_epochs_and_trials_are_shuffled_differently() -> None:
    batches = Batches(dataset(20), Batch(size=20), EachRow(), np.array([1, 2], np.uint64))
    orders = batches.indices(range(3)).reshape(6, 20)
    assert len({tuple(order) for order in orders.tolist()}) == 6


def test_indices_do_not_depend_on_what_was_asked_before() -> None:
    batches = Batches(dataset(10), Batch(size=3), EachRow(), np.array([1, 2], np.uint64))
    forwards = batches.indices(range(12))
    for step in reversed(range(12)):
        assert batches.indices(range(step, step + 1))[:, 0].tolist() == forwards[:, step].tolist()


@given(size=st.integers(1, 12), data=st.data())
def test_shards_cut_the_mini_batch_into_even_pieces(size: int, data: st.DataObject) -> None:
    shards = data.draw(st.integers(1, size))
    weights = [1.0 + row % 3 for row in range(12)]
    batches = Batches(
        dataset(12, weights), Batch(size=size, shards=shards), EachRow(), np.array([1, 2], np.uint64)
    )
    pieces = batches.shards(range(2), axes=2)
    assert len(pieces) == shards
    lengths = [piece.inputs.shape[1] for piece in pieces]
    assert max(lengths) - min(lengths) <= 1
    chosen = np.concatenate([piece.targets for piece in pieces], axis=1).astype(int)
    assert chosen.tolist() == batches.indices(range(2)).reshape(4, size).tolist()
    share = np.concatenate([piece.weights for piece in pieces], axis=1)
    expected = np.array(weights)[chosen]
    np.testing.assert_allclose(share, expected / expected.sum(-1, keepdims=True), rtol=1e-15)
    assert {piece.axes.shape for piece in pieces} == {(4, 2)}


def test_trials_row_holds_the_whole_configuration() -> None:
    pack = pack_of(NETWORK, "{seed: [5]}")
    columns = rows_of(pack)["trials"]
    assert json.loads(columns["configuration"][0]) == pack.template.model_dump(mode="json")
    assert (columns["seed"][0], columns["parameters"][0], columns["parameters_dead"][0]) == (5, 13, 0)


def test_dead_parameters_are_counted() -> None:
    columns = rows_of(pack_of(CIRCUIT))["trials"]
    dead = problem(pack_of(CIRCUIT).template).model.dead
    assert columns["parameters_dead"].tolist() == [dead.sum()]
    assert dead.any()


@pytest.mark.parametrize(
    "gradient",
    [
        "{engine: finite-difference, step: 1e-300, backend: {kind: batched, shots: 20}}",
        "{engine: parameter-shift, backend: {kind: batched, shots: 20}}",
        "{engine: spsa, directions: 2}",
        "{engine: adjoint}",
    ],
)
def test_overflow_of_float64_raises_no_warning(gradient: str, tmp_path: Path) -> None:
    """Warnings are errors in tests, and an error would be a failed trial."""
    path = tmp_path / "a.yaml"
    path.write_text(f"""
name: a
base:
  data: {{source: moons, rows: 20, scale: angle}}
  model: {{kind: circuit, qubits: 2, layers: 1, observable: {{Z0: 1e308, Z1: 1e308}}}}
  loss: mse
  gradient: {gradient}
  updates: [{{optimizer: sgd, learning_rate: 1e308}}]
  batch: {{size: 4, shards: 2}}
  steps: 4
""")
    result = orchestrator.run(path, tmp_path / "run", where=orchestrator.Where(inline=True))
    assert result.failed == 0
