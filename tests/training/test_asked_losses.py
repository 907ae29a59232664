"""Losses that an update requests in a step: their values and their cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from advancing import CIRCUIT, NETWORK, SAMPLED, bits_of, chunks, pack_of, rows_of
from fleets import nothing, run_on

from orchestrator.fleet.inline import InlineTeam
from orchestrator.groups import Array
from orchestrator.training.advance import Limits, advance
from orchestrator.training.batches import Batches
from orchestrator.training.pack import Pack
from orchestrator.training.state import PackState
from orchestrator.trial.problem import problem
from orchestrator.updates.base import Optimizer
from orchestrator.updates.chain import Chain

# what writes a trial's configuration was made before there were these updates
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

HYBRID = """\
name: trained
base:
  data: {source: moons, rows: 40, noise: 0.1, scale: angle}
  model:
    kind: hybrid
    layers:
      - {kind: dense, units: 2}
      - {kind: circuit, qubits: 2, layers: 1}
      - {kind: dense, activation: sigmoid}
  loss: mse
  gradient: {engine: adjoint}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 5, shards: 2}
  steps: 8
"""
DRAWN_AXES = "base.model={kind: circuit, qubits: 2, layers: 2, ansatz: random-pauli}"
SHOTS = "base.gradient={engine: parameter-shift, backend: {kind: batched, shots: 20}}"
WORKS = {
    "network": (NETWORK, ()),
    "adjoint": (CIRCUIT, ()),
    "adjoint on aer": (CIRCUIT, ("base.gradient={engine: adjoint, backend: {kind: aer}}",)),
    "drawn axes": (CIRCUIT, (DRAWN_AXES,)),
    "parameter-shift": (CIRCUIT, ("base.gradient={engine: parameter-shift}",)),
    "finite-difference": (CIRCUIT, ("base.gradient={engine: finite-difference}",)),
    "spsa": (CIRCUIT, ("base.gradient={engine: spsa}",)),
    "hybrid": (HYBRID, ()),
    "hybrid by shifts": (HYBRID, ("base.gradient={engine: parameter-shift}",)),
    "hybrid by spsa": (HYBRID, ("base.gradient={engine: spsa}",)),
}
EXACT = ("base.gradient={engine: adjoint}",)
TWO_STRINGS = (CIRCUIT, (SHOTS, "base.model.observable={Z0: 0.5, X1: 0.5}"))
SAMPLED_WORKS = {
    "shots": (CIRCUIT, (SHOTS,)),
    "shots of spsa": (CIRCUIT, ("base.gradient={engine: spsa, backend: {kind: aer, shots: 20}}",)),
}


def asking(kind: str, pack: Pack) -> Pack:
    """The pack with this optimiser of ``asking_updates`` instead of sgd."""
    import asking_updates  # after the sweep file's list of updates was built

    member: Callable[..., Optimizer] = getattr(asking_updates, kind.capitalize())
    trials = [
        trial.model_copy(
            update={"updates": (member(optimizer=kind, learning_rate=trial.updates[0].learning_rate),)}
        )
        for trial in pack.trials
    ]
    return replace(pack, trials=tuple(trials))


def searching(work: str, *items: str) -> Pack:
    text, overrides = {**WORKS, **SAMPLED_WORKS}[work]
    return asking("search", pack_of(text, *items, overrides=overrides))


def state_of(pack: Pack) -> PackState:
    """The state of a pack after some steps."""
    assert pack.vectors is not None
    chain = Chain.of([trial.updates for trial in pack.trials])
    return PackState.restore(pack.vectors, chain, problem(pack.template).model.parameters)


def direct(pack: Pack, point: Array) -> Array:
    """The loss [R] of the pack's next mini-batch at a point [R, P], as computed with its gradient."""
    ready, template = problem(pack.template), pack.template
    seeds = np.array([trial.seed for trial in pack.trials], np.uint64)
    shards = Batches(ready.data, template.batch, ready.model.samples, seeds).shards(
        range(pack.step, pack.step + 1), ready.model.axes
    )
    return reduce(add, (ready.differentiator.gradient(point, shard).loss for shard in shards))


@pytest.mark.parametrize("work", WORKS)
def test_losses_are_those_of_the_mini_batch_at_the_points(work: str) -> None:
    pack = searching(work, "seed: {range: 3}")
    for chunk in chunks(pack, [1, 1, 1]):
        if chunk.pack is None:
            break
        asked = state_of(chunk.pack).chain.states[0]
        for s in range(3):
            expected = direct(pack, np.ascontiguousarray(asked["points"][:, s]))
            # the same sums; a pass without derivatives may round E in another way
            np.testing.assert_allclose(asked["losses"][:, s], expected, rtol=1e-13, atol=1e-15)
        best = asked["points"][np.arange(3), asked["losses"].argmin(-1)]
        # the chain hands on the difference, which is subtracted again
        np.testing.assert_allclose(state_of(chunk.pack).parameters, best, rtol=0, atol=1e-14)
        pack = chunk.pack
    assert pack.step == 3


def test_points_of_a_network_are_computed_as_its_gradient_is_to_the_last_bit() -> None:
    pack = searching("network", "seed: {range: 3}")
    rest = advance(InlineTeam(), pack, Limits(1, math.inf)).pack
    assert rest is not None
    asked = state_of(rest).chain.states[0]
    for s in range(3):
        point = np.ascontiguousarray(asked["points"][:, s])
        assert direct(pack, point).tobytes() == asked["losses"][:, s].tobytes()


def test_losses_are_summed_over_any_number_of_shards() -> None:
    text, _ = WORKS["network"]
    found = []
    for shards in (1, 5):
        pack = asking("search", pack_of(text, overrides=[f"base.batch.shards={shards}"]))
        rest = advance(InlineTeam(), pack, Limits(1, math.inf)).pack
        assert rest is not None
        found.append(state_of(rest).chain.states[0]["losses"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-14)  # five numbers, added in another order


# Bits.


@pytest.mark.parametrize("work", ["network", "drawn axes", "hybrid", "hybrid by spsa", *SAMPLED_WORKS])
def test_bits_do_not_depend_on_company_nor_on_being_interrupted(work: str) -> None:
    """Bits of trials that diverge, and of the others in their pack."""
    pack = searching(work, "{seed: {range: 3}}", "{updates.0.learning_rate: [0.1, 1e308]}")
    whole = rows_of(pack)
    for some, cuts in (([4, 1, 0], [1, 3]), ([2], [5]), ([5], [])):
        part = rows_of(pack.take(some), cuts)
        for trial in pack.take(some).ids:
            assert bits_of(part, trial) == bits_of(whole, trial)


def test_bits_do_not_depend_on_who_computes_the_shards(cluster: str) -> None:  # noqa: ARG001 - Ray must run
    from orchestrator.fleet.ray import RayFleet

    fleet = RayFleet(2, 1, nothing)
    try:
        for work in ("network", "shots", "hybrid"):
            pack = searching(work, "seed: {range: 2}")
            outcome = run_on(fleet, advance, pack, Limits(None, math.inf), helpers=1)
            assert outcome.error is None, outcome.trace
            here = rows_of(pack)
            for trial in pack.ids:
                assert bits_of(outcome.value.rows, trial) == bits_of(here, trial)
    finally:
        fleet.close()


# Their cost.


@pytest.mark.parametrize(
    ("work", "executions", "shots"),
    [
        ("network", 0, 0),
        ("adjoint", 1, 0),
        ("parameter-shift", 1, 0),
        ("hybrid", 1, 0),
        ("hybrid by shifts", 1, 0),
        ("hybrid by spsa", 1, 0),
        ("shots", 1, 20),
        ("shots of spsa", 1, 20),
        ("two strings", 2, 40),
    ],
)
def test_each_point_is_booked_in_its_step_and_in_the_trial(work: str, executions: int, shots: int) -> None:
    """Per point, for each of the five samples, besides the cost of the gradient."""
    text, overrides = {**WORKS, **SAMPLED_WORKS, "two strings": TWO_STRINGS}[work]
    plain = pack_of(text, "seed: {range: 2}", overrides=overrides)
    without, beside = rows_of(plain), rows_of(asking("search", plain))
    for column, count in (("executions", executions), ("shots", shots)):
        more = beside["steps"][column] - without["steps"][column]
        assert more.tolist() == [3 * 5 * count] * 16
        assert beside["trials"][column].tolist() == beside["steps"][column].reshape(8, 2).sum(0).tolist()


class Timed:
    """A team whose calls take a second each, and a second of a quantum processor per row."""

    size = 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        found = [function(shared, item)[0] for item in items]
        return [(replace(total, cost=replace(total.cost, qpu_seconds=np.ones(2))), 1.0) for total in found]


def test_seconds_of_the_losses_are_booked_in_their_step_and_in_the_trial() -> None:
    """Two shards; the gradient and two calls for losses."""
    chunk = advance(Timed(), searching("network", "seed: {range: 2}"), Limits(None, math.inf))
    steps, trials = chunk.rows["steps"], chunk.rows["trials"]
    assert steps["qpu_seconds"].tolist() == [6.0] * 16
    assert steps["seconds_compute"].tolist() == [3.0] * 16  # shared between two trials
    assert (trials["qpu_seconds"].tolist(), trials["seconds_compute"].tolist()) == ([48.0] * 2, [24.0] * 2)
    assert chunk.shard_seconds == 1.0


# Shots.


def test_every_point_has_shots_of_its_own_that_scatter_about_its_loss() -> None:
    rows, seeds = 400, "{seed: {range: 400}}"
    pack = asking("repeat", pack_of(SAMPLED, seeds))
    chunk = advance(InlineTeam(), pack, Limits(1, math.inf))
    assert chunk.pack is not None
    parameters, answers = state_of(chunk.pack).parameters, state_of(chunk.pack).chain.states[0]["losses"]
    exact = direct(
        asking("repeat", pack_of(SAMPLED, f"{{seed: {{range: {rows}}}}}", overrides=EXACT)), parameters
    )
    measured = np.concatenate([chunk.rows["steps"]["loss"][:, None], answers], axis=1)
    off = measured - exact[:, None]
    # 20 shots of a sign: variance (1 - E²)/20 each
    expected = ((1.0 - exact**2) / 20).mean()
    assert (np.abs(off.mean(0)) < 4 * np.sqrt(expected / rows)).all()
    # four standard errors of a variance of about normal numbers, and of a correlation
    assert (np.abs(off.var(0) / expected - 1.0) < 4 * math.sqrt(2 / rows)).all()
    correlation = np.corrcoef(off.T)[np.triu_indices(4, 1)]
    assert (np.abs(correlation) < 4 / math.sqrt(rows)).all()


def test_points_of_another_step_have_other_shots() -> None:
    pack = asking("repeat", pack_of(SAMPLED, "{seed: {range: 50}}"))
    first, second = (
        state_of(chunk.pack).chain.states[0]["losses"] for chunk in chunks(pack, [1, 1]) if chunk.pack
    )
    assert (first != second).mean() > 0.5
