"""Optimisers on the natural gradient: closed forms, comparison with Adam and Keras, and real sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chains import apply, parsed
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from random_circuits import circuit, program_of, shard
from sweeps import read

import orchestrator
from orchestrator.config.base import ConfigError
from orchestrator.engines.adjoint import Adjoint
from orchestrator.engines.metric import Metric
from orchestrator.errors import InputError
from orchestrator.groups import Group
from orchestrator.models.circuits.ansatz import Drawing
from orchestrator.models.circuits.observable import Operator
from orchestrator.models.circuits.program import Program
from orchestrator.streams import Streams
from orchestrator.training.loop import shard_gradient
from orchestrator.trial.problem import problem, shard_bytes
from orchestrator.updates.chain import Chain
from orchestrator.updates.natural import metric_blocks
from orchestrator.updates.optimizers import Adam

Groups = tuple[Group, ...]


def groups_of(*cuts: int) -> Groups:
    """Adjacent groups with these bounds."""
    return tuple(Group(f"layer{d}", a, b, d) for d, (a, b) in enumerate(pairwise(cuts)))


GROUPS = groups_of(0, 2, 5)
FORMS = ("block-diagonal", "full", "diagonal")
QNG = {"optimizer": "qng", "learning_rate": 0.1}
QUANTUM_ADAM = {"optimizer": "quantum-adam", "learning_rate": 0.1}


def chain(*plain: dict[str, Any], groups: Groups = GROUPS) -> Chain:
    """A pack with one trial for each optimiser."""
    return Chain.of([parsed(one) for one in plain], groups)


def flat(metric: Any, groups: Groups, form: str) -> np.ndarray:
    """The blocks of a metric [P, P] as an engine returns them, [1, W]."""
    matrix = np.asarray(metric, float)
    blocks = metric_blocks(form, groups)  # type: ignore[arg-type]
    return np.concatenate([matrix[a:b, a:b].ravel() for a, b in blocks])[None]


def natural(
    metric: Any,
    gradient: Sequence[float],
    groups: Groups = GROUPS,
    form: str = "block-diagonal",
    cutoff: float = 1e-6,
) -> list[float]:
    """g⁺∇L: a step of qng with a learning rate of 1."""
    qng = chain({**QNG, "learning_rate": 1.0, "metric": form, "cutoff": cutoff}, groups=groups)
    blocks = flat(metric, groups, form)
    vector = np.array([gradient], float)
    return apply(qng, vector, qng.init(len(gradient)), blocks).update[0].tolist()  # type: ignore[no-any-return]


def random_metric(seed: int, size: int = 5) -> np.ndarray:
    half = np.random.default_rng(seed).normal(size=(size, size + 3))
    return half @ half.T / 4


# Steps, against closed forms.


def test_step_solves_for_an_off_diagonal_metric() -> None:
    """The inverse of [[2, 1], [1, 1]]/4 is 4[[1, -1], [-1, 2]]."""
    found = natural(np.array([[2.0, 1.0], [1.0, 1.0]]) / 4, [0.5, 0.25], groups_of(0, 2))
    assert found == pytest.approx([1.0, 0.0], abs=1e-14)


def sheared() -> Program:
    """RY(θ0) on one qubit, RY(θ0 + θ1) on the other; <Z0> = cos θ0, metric [[2, 1], [1, 1]]/4."""
    theta, drawn = ParameterVector("θ", 2), QuantumCircuit(2)
    drawn.ry(theta[0], 0)
    drawn.ry(theta[0] + theta[1], 1)
    return program_of(Drawing(drawn, (Operator(SparsePauliOp("IZ")),), (), (tuple(theta),), 0))


def test_step_of_a_circuit_has_the_closed_form() -> None:
    """∇<Z0> = (-sin θ0, 0), so g⁻¹∇ = -4 sin θ0 (1, -1): <Z0> does not depend on θ0 + θ1, which stays."""
    program = sheared()
    parameters, part = shard(program, 1, 1)
    gradient = (
        Adjoint(engine="adjoint").prepare(program, "expectation", 0).gradient(parameters, part).gradient
    )
    one = chain(QNG, groups=groups_of(0, 2))
    step = apply(one, gradient, one.init(2), Metric(program, ((0, 2),)).weighted_sum(parameters, part)).update
    slope = -4.0 * math.sin(parameters[0, 0])
    np.testing.assert_allclose(step, [[0.1 * slope, -0.1 * slope]], rtol=1e-12)


def test_step_in_a_first_layer_of_ry_is_four_gradients() -> None:
    program = circuit(4, 1, ansatz="real-amplitudes", observable="ZZZZ")
    parameters, part = shard(program, 1, 1)
    gradient = (
        Adjoint(engine="adjoint").prepare(program, "expectation", 0).gradient(parameters, part).gradient
    )
    one = chain(QNG, groups=program.groups)
    metric = Metric(program, metric_blocks("block-diagonal", program.groups)).weighted_sum(parameters, part)
    step = apply(one, gradient, one.init(8), metric).update
    np.testing.assert_allclose(step[0, :4], 0.4 * gradient[0, :4], rtol=1e-11)


def test_eigenvalues_are_cut_off_not_raised() -> None:
    """The pseudo-inverse of [[1, 1], [1, 1]] is a quarter of it; + λ would keep a component along (1, -1)."""
    assert natural([[1.0, 1.0], [1.0, 1.0]], [1.0, 0.0], groups_of(0, 2)) == pytest.approx([0.25, 0.25])


def test_cutoff_is_relative_to_the_largest_eigenvalue_of_the_block() -> None:
    diagonal = np.diag([1e-9, 1e-16, 1.0, 1e-5, 1e-7])
    gradient = [1e-9, 1e-16, 1.0, 1e-5, 1e-7]
    assert natural(diagonal, gradient) == pytest.approx([1.0, 0.0, 1.0, 1.0, 0.0])
    assert natural(diagonal, gradient, form="diagonal") == pytest.approx([1.0, 0.0, 1.0, 1.0, 0.0])
    assert natural(diagonal, gradient, form="full") == pytest.approx([0.0, 0.0, 1.0, 1.0, 0.0])
    assert natural(diagonal, gradient, cutoff=1e-4) == pytest.approx([1.0, 0.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize("form", FORMS)
def test_form_selects_the_entries_of_the_metric(form: str) -> None:
    metric, gradient = random_metric(1), [1.0, -2.0, 0.5, 3.0, -1.0]
    blocks = metric_blocks(form, GROUPS)  # type: ignore[arg-type]
    kept = np.zeros((5, 5))
    for start, stop in blocks:
        kept[start:stop, start:stop] = metric[start:stop, start:stop]
    # condition numbers are below 100
    assert natural(metric, gradient, form=form) == pytest.approx(np.linalg.solve(kept, gradient), rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_step_is_zero_for_a_metric_of_zeros(form: str) -> None:
    assert natural(np.zeros((5, 5)), [1.0] * 5, form=form) == [0.0] * 5


def test_groups_may_be_empty() -> None:
    assert metric_blocks("block-diagonal", groups_of(0, 2, 2, 3)) == ((0, 2), (2, 3))
    assert metric_blocks("full", ()) == metric_blocks("diagonal", ()) == ()


def test_momentum_accumulates_the_natural_gradient() -> None:
    """Momentum-QNG: θ' = θ + ρ(θ - θ_before) - η g⁺∇L."""
    one = chain({**QNG, "momentum": 0.5}, groups=groups_of(0, 1))
    state, found = one.init(1), []
    for gradient in (1.0, 1.0, -2.0):
        applied = apply(one, np.array([[gradient]]), state, np.array([[0.25]]))
        state, found = applied.state, [*found, applied.update[0, 0]]
    assert found == pytest.approx([0.4, 0.6, -0.5])


# QuantumAdam.


@pytest.mark.parametrize("form", FORMS)
def test_quantum_adam_with_the_identity_as_metric_is_adam_to_the_last_bit(form: str) -> None:
    adam = Chain.of([parsed({"optimizer": "adam", "learning_rate": 0.1})] * 3)
    quantum = chain(*[{**QUANTUM_ADAM, "metric": form}] * 3)
    metric = np.repeat(flat(np.eye(5), GROUPS, form), 3, 0)
    states = adam.init(5), quantum.init(5)
    for gradient in np.random.default_rng(2).normal(size=(20, 3, 5)):
        one, other = apply(adam, gradient, states[0]), apply(quantum, gradient, states[1], metric)
        assert one.update.tobytes() == other.update.tobytes()
        states = one.state, other.state
    assert adam.flatten(states[0]).tobytes() == quantum.flatten(states[1]).tobytes()


def adam_after(direction: Any) -> list[float]:
    """Adam's state after one step along ``direction``: 0.1 · direction, then 0.001 · direction², then 1."""
    values = np.asarray(direction)
    return [*(0.1 * values), *(0.001 * values**2)]


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ({}, [3.0, 4.0, 0.0, 0.0, 12.0]),
        ({"clipnorm": 10.0}, [3.0, 4.0, 0.0, 0.0, 10.0]),  # norms of the groups are 5 and 12
        ({"clipnorm": 1.0}, [0.6, 0.8, 0.0, 0.0, 1.0]),
        ({"global_clipnorm": 6.5}, [1.5, 2.0, 0.0, 0.0, 6.0]),  # the norm is 13
        ({"global_clipnorm": 20.0}, [3.0, 4.0, 0.0, 0.0, 12.0]),
    ],
)
def test_natural_gradient_is_clipped_before_adam(clip: dict[str, float], expected: list[float]) -> None:
    one = chain({**QUANTUM_ADAM, **clip})
    state = apply(
        one, np.array([[0.75, 1.0, 0.0, 0.0, 3.0]]), one.init(5), flat(np.eye(5) / 4, GROUPS, FORMS[0])
    )
    found = state.state.states[0]
    assert [*found["mean"][0], *found["square"][0]] == pytest.approx(adam_after(expected))


def test_trials_with_and_without_a_clip_share_a_pack() -> None:
    plain = [{**QUANTUM_ADAM, **clip} for clip in ({}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1})]
    metric, gradient = flat(random_metric(3), GROUPS, FORMS[0]), np.arange(1.0, 6.0)[None]
    together = chain(*plain)
    found = apply(together, np.repeat(gradient, 3, 0), together.init(5), np.repeat(metric, 3, 0))
    for row, one in enumerate(plain):
        alone = chain(one)
        expected = apply(alone, gradient, alone.init(5), metric)
        assert expected.state.states[0]["mean"].tobytes() == found.state.states[0]["mean"][[row]].tobytes()
    assert len({row.tobytes() for row in found.state.states[0]["mean"]}) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"clipnorm": 1.0, "global_clipnorm": 1.0},
        {"clipnorm": 0.0},
        {"global_clipnorm": -1.0},
        {"cutoff": 1.0},
        {"cutoff": -1e-9},
        {"metric": "identity"},
    ],
)
def test_hyperparameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parsed({**QUANTUM_ADAM, **wrong})


def test_defaults_are_those_of_adam() -> None:
    (quantum,) = parsed(QUANTUM_ADAM)
    (adam,) = parsed({**QUANTUM_ADAM, "optimizer": "adam"})
    assert isinstance(quantum, Adam)
    assert {name: getattr(quantum, name) for name in adam.number_names()} == {
        name: getattr(adam, name) for name in adam.number_names()
    }
    assert set(quantum.number_names()) - set(adam.number_names()) == {"cutoff", "clipnorm", "global_clipnorm"}
    assert adam.needs.metric is None
    assert quantum.needs.metric == "block-diagonal"


# Bits that do not depend on other rows.


CHAINS = [{**kind, "metric": form} for kind in (QNG, QUANTUM_ADAM) for form in FORMS]


@given(plain=st.sampled_from(CHAINS), rows=st.integers(1, 9), bad=st.sampled_from([0.0, math.nan, math.inf]))
def test_row_has_the_same_bits_alone_and_with_any_other_rows(
    plain: dict[str, Any], rows: int, bad: float
) -> None:
    """Also with rows that are not finite, which raise nothing and do not affect other rows."""
    together = chain(*[{**plain, "clipnorm": 2.0} if plain["optimizer"] == "quantum-adam" else plain] * rows)
    alone = together.take(np.array([0]))
    gradients = np.random.default_rng(rows).normal(size=(4, rows, 5))
    gradients[2, 1:, 0] += bad
    metric = np.concatenate([flat(random_metric(row), GROUPS, plain["metric"]) for row in range(rows)])
    metric[1:2, -1] += bad
    states = together.init(5), alone.init(5)
    for gradient in gradients:
        many, one = (
            apply(together, gradient, states[0], metric),
            apply(alone, gradient[:1], states[1], metric[:1]),
        )
        assert one.update.tobytes() == many.update[:1].tobytes()
        states = many.state, one.state
    assert np.isfinite(one.update).all()
    if rows > 1 and bad:
        assert not np.isfinite(many.update[1]).all()


def test_matrix_without_eigenvalues_makes_only_its_own_row_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    three, eigh = chain(*[QNG] * 3), np.linalg.eigh
    metric = np.concatenate([flat(random_metric(row), GROUPS, FORMS[0]) for row in range(3)])
    expected = apply(three, np.ones((3, 5)), three.init(5), metric).update

    def failing_eigh(matrices: np.ndarray) -> Any:
        if (matrices[..., 0, 0] == metric[1, 0]).any():
            raise np.linalg.LinAlgError("Eigenvalues did not converge")
        return eigh(matrices)

    monkeypatch.setattr(np.linalg, "eigh", failing_eigh)
    found = apply(three, np.ones((3, 5)), three.init(5), metric).update
    assert np.isnan(found[1, :2]).all()
    assert np.array_equal(np.delete(found, 1, 0), np.delete(expected, 1, 0))


@pytest.mark.parametrize("plain", CHAINS)
def test_state_survives_flattening_and_taking_rows(plain: dict[str, Any]) -> None:
    random, five = np.random.default_rng(1), chain(*[plain] * 5)
    metric = np.repeat(flat(random_metric(0), GROUPS, plain["metric"]), 5, 0)
    state = apply(five, random.normal(size=(5, 5)), five.init(5), metric).state
    rows = np.array([3, 1])
    some, gradient = five.take(rows), random.normal(size=(5, 5))
    restored = some.unflatten(five.flatten(state)[rows], 5)
    expected = apply(five, gradient, state, metric).update[rows]
    assert np.array_equal(apply(some, gradient[rows], restored, metric[rows]).update, expected)


# Sweeps.

SWEEP = """\
name: natural
base:
  data: {source: moons, rows: 40, noise: 0.1, scale: angle}
  model: {kind: circuit, qubits: 2, layers: 2}
  loss: mse
  gradient: {engine: adjoint}
  updates: [null, {optimizer: sgd, learning_rate: 0.05}]
  batch: {size: 8, shards: 2}
  steps: 30
sweep:
  - updates.1.optimizer: [sgd, qng]
  - seed: {range: 6}
"""


def test_sweep_compares_the_natural_gradient_with_the_plain_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SWEEP)
    result = orchestrator.run(tmp_path / "a.yaml", tmp_path / "out", where=orchestrator.Where(inline=True))
    assert result.finished
    assert result.failed == 0
    trials = pd.read_parquet(tmp_path / "out" / "trials")
    assert set(trials.status) == {"done"}
    loss = trials.groupby("updates.1.optimizer").test_loss.mean()
    assert loss["qng"] < loss["sgd"]


def test_metric_is_computed_only_if_an_update_needs_it() -> None:
    plan = read(SWEEP).plan
    metrics = []
    for structure in plan.structures:
        ready = problem(structure.template)
        parameters, part = shard(ready.model, 1, 4)  # type: ignore[arg-type]
        metrics.append(shard_gradient((structure.pinned, parameters), part)[0].metric)
    of_sgd, of_qng = metrics
    assert of_sgd is None
    assert of_qng is not None
    assert of_qng.shape == (1, 2 * 4 * 4)


@pytest.mark.parametrize(
    "gradient",
    ["{engine: spsa}", "{engine: parameter-shift, backend: {kind: aer, shots: 10}}", "{engine: adjoint}"],
)
def test_metric_does_not_depend_on_the_engine(gradient: str) -> None:
    (structure,) = read(
        SWEEP, f"base.gradient={gradient}", "sweep=[]", "base.updates.1.optimizer=qng"
    ).plan.structures
    ready = problem(structure.template)
    assert isinstance(ready.model, Program)
    parameters, part = shard(ready.model, 1, 4)
    total, _ = shard_gradient((structure.pinned, parameters), replace(part, streams=Streams([0], 0)))
    expected = Metric(ready.model, metric_blocks("block-diagonal", ready.model.groups)).weighted_sum(
        parameters, part
    )
    np.testing.assert_array_equal(total.metric, expected)


def test_natural_gradient_of_a_network_is_refused_with_alternatives() -> None:
    network = [
        "base.model={kind: mlp, hidden: [2]}",
        "base.loss=binary-cross-entropy",
        "base.gradient={engine: backprop}",
        "sweep=[]",
        "base.updates.1.optimizer=qng",
    ]
    with pytest.raises(
        InputError, match=r"updates.1: needs the metric of a circuit.*take sgd, momentum or adam"
    ):
        read(SWEEP, *network)


def test_memory_of_the_metric_is_counted() -> None:
    sgd, qng = (structure.template for structure in read(SWEEP).plan.structures)
    assert shard_bytes(qng, problem(qng), 1) > shard_bytes(sgd, problem(sgd), 1)
    with pytest.raises(InputError, match="or an optimizer without a metric"):
        read(SWEEP, "base.model.qubits=40", "sweep=[]", "base.updates.1.optimizer=qng")
