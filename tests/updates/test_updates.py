"""Clips, optimisers, and chains of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from chains import apply, parsed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.updates.adamw import AdamW
from orchestrator.updates.base import Update
from orchestrator.updates.chain import Chain, ChainState
from orchestrator.updates.clips import ClipNorm, ClipValue, euclidean_norm
from orchestrator.updates.natural import Qng, QuantumAdam
from orchestrator.updates.optimizers import Adam, Momentum, Sgd

FIXED = settings(deadline=None, derandomize=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ANY = st.floats(allow_nan=True, allow_infinity=True)


def steps(chain: Chain, gradients: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The updates of a chain in consecutive steps; the parameters are set to the gradient."""
    state, updates = chain.init(gradients[0].shape[1]), []
    for gradient in gradients:
        applied = apply(chain, gradient, state, parameters=gradient)
        state = applied.state
        updates.append(applied.update)
    return updates


def single(*plain: dict[str, object]) -> Chain:
    return Chain.of([parsed(*plain)])


# --- configurations


def test_updates_are_found_by_their_tags() -> None:
    assert discover(Update) == {
        "clip=value": ClipValue,
        "clip=norm": ClipNorm,
        "optimizer=sgd": Sgd,
        "optimizer=momentum": Momentum,
        "optimizer=adam": Adam,
        "optimizer=adamw": AdamW,
        "optimizer=qng": Qng,
        "optimizer=quantum-adam": QuantumAdam,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": "norm", "limit": 0.0},
        {"clip": "value", "limit": -1.0},
        {"clip": "norm", "limit": math.inf},
        {"optimizer": "sgd", "learning_rate": -0.1},
        {"optimizer": "qng", "learning_rate": -0.1},
        {"optimizer": "quantum-adam", "learning_rate": -0.1},
        {"optimizer": "momentum", "learning_rate": 0.1, "momentum": 1.0},
        {"optimizer": "adam", "learning_rate": 0.1, "beta1": -0.1},
        {"optimizer": "adam", "learning_rate": 0.1, "beta2": 1.0},
        {"optimizer": "adam", "learning_rate": 0.1, "epsilon": 0.0},
        {"optimizer": "adamw", "learning_rate": 0.1, "weight_decay": -0.1},
    ],
)
def test_hyperparameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        parsed(wrong)


def test_defaults_are_those_of_the_papers() -> None:
    (adam,) = parsed({"optimizer": "adam", "learning_rate": 0.1})
    assert adam == Adam(optimizer="adam", learning_rate=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8)
    assert adam.number_names() == ("learning_rate", "beta1", "beta2", "epsilon")


# --- clips


@FIXED
@given(vector=arrays(np.float64, (3, 4), elements=FINITE), limit=st.floats(1e-300, 1e300))
def test_value_clip_bounds_each_component_and_leaves_the_rest(vector: np.ndarray, limit: float) -> None:
    chain = Chain.of([parsed({"clip": "value", "limit": limit})] * 3)
    clipped = apply(chain, vector, ChainState(({},))).update
    assert np.abs(clipped).max() <= limit
    inside = np.abs(vector) <= limit
    assert np.array_equal(clipped[inside], vector[inside])


@FIXED
@given(vector=arrays(np.float64, (3, 4), elements=FINITE), limit=st.floats(1e-150, 1e150))
def test_norm_clip_bounds_the_norm_and_keeps_the_direction(vector: np.ndarray, limit: float) -> None:
    chain = Chain.of([parsed({"clip": "norm", "limit": limit})] * 3)
    clipped = apply(chain, vector, ChainState(({},))).update
    norm, after = euclidean_norm(vector), euclidean_norm(clipped)
    # each of the two norms is rounded by at most 3 · 1.1e-16, the quotient and the product by 1.1e-16
    assert (after <= limit * (1 + 1e-15)).all()
    inside = (norm <= limit)[:, 0]
    assert np.array_equal(clipped[inside], vector[inside])
    assert (np.sign(clipped) * np.sign(vector) >= 0).all()


def test_norm_clip_scales_the_whole_vector_of_each_trial() -> None:
    chain = Chain.of([parsed({"clip": "norm", "limit": limit}) for limit in (1.0, 10.0, 1.0)])
    gradient = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    clipped = apply(chain, gradient, chain.init(2)).update
    np.testing.assert_allclose(clipped, [[0.6, 0.8], [3.0, 4.0], [0.0, 0.0]], rtol=1e-15)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_norm_clip_does_not_change_a_vector_without_a_finite_norm(bad: float) -> None:
    chain = single({"clip": "norm", "limit": 1.0})
    gradient = np.array([[5.0, bad]])
    assert apply(chain, gradient, chain.init(2)).update.tobytes() == gradient.tobytes()


@FIXED
@given(
    arrays(np.float64, (2, 5), elements=st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100))
)
def test_norm_has_the_bits_of_the_plain_formula_where_that_is_safe(vector: np.ndarray) -> None:
    assert np.array_equal(euclidean_norm(vector), np.sqrt((vector * vector).sum(-1, keepdims=True)))


def test_norm_neither_overflows_nor_underflows() -> None:
    norms = euclidean_norm(np.array([[3e200, 4e200], [3e-200, 4e-200], [0.0, 5e-324]]))
    np.testing.assert_allclose(norms, [[5e200], [5e-200], [5e-324]], rtol=1e-15)


# --- optimisers, against their formulas


def test_sgd_steps_along_the_gradient() -> None:
    chain = Chain.of([parsed({"optimizer": "sgd", "learning_rate": rate}) for rate in (0.5, 2.0)])
    assert steps(chain, [np.array([[1.0, -2.0], [1.0, -2.0]])])[0].tolist() == [[0.5, -1.0], [2.0, -4.0]]


def test_momentum_accumulates_gradients() -> None:
    chain = single({"optimizer": "momentum", "learning_rate": 0.1, "momentum": 0.5})
    found = steps(chain, [np.array([[1.0]]), np.array([[1.0]]), np.array([[-2.0]])])
    # v = 1, then 1.5, then -1.25
    np.testing.assert_allclose(np.ravel(found), [0.1, 0.15, -0.125], rtol=1e-15)


def test_adam_follows_algorithm_1() -> None:
    rate, beta1, beta2, epsilon = 0.1, 0.9, 0.999, 1e-8
    gradients = [1.0, -3.0, 0.5, 0.0]
    found = np.ravel(
        steps(single({"optimizer": "adam", "learning_rate": rate}), [np.array([[g]]) for g in gradients])
    )
    mean = square = 0.0
    for t, (g, step) in enumerate(zip(gradients, found, strict=True), 1):
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g * g
        expected = rate * (mean / (1 - beta1**t)) / (math.sqrt(square / (1 - beta2**t)) + epsilon)
        assert math.isclose(
            step, expected, rel_tol=1e-14
        )  # 1 - beta2 is 1e-3, so its rounding counts 1000-fold


def test_first_step_of_adam_has_the_length_of_the_learning_rate() -> None:
    found = steps(single({"optimizer": "adam", "learning_rate": 0.1}), [np.array([[5.0, -1e-3, 0.0]])])[0]
    np.testing.assert_allclose(found, [[0.1, -0.1, 0.0]], rtol=1e-4)  # epsilon is 1e-5 of the third gradient


def test_adamw_takes_ten_steps_of_algorithm_2() -> None:
    """Algorithm 2 of the paper (its α is η, its λ is η times ours), on a quadratic, in plain Python."""
    rate, beta1, beta2, epsilon, decay = 0.1, 0.8, 0.99, 1e-6, 0.3
    plain = {"learning_rate": rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "weight_decay": decay}
    chain = single({"optimizer": "adamw", **plain})
    start, scale = [1.5, -2.0, 0.25], [1.0, 4.0, 100.0]

    found, state = np.array([start]), chain.init(3)
    for _ in range(10):
        applied = apply(chain, np.array([scale]) * found, state, parameters=found)
        found, state = found - applied.update, applied.state

    for k, curvature in enumerate(scale):
        theta, mean, square = start[k], 0.0, 0.0
        for t in range(1, 11):
            gradient = curvature * theta
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * gradient**2
            adam = (mean / (1 - beta1**t)) / (math.sqrt(square / (1 - beta2**t)) + epsilon)
            theta -= rate * adam + rate * decay * theta
        # ten steps of a dozen roundings of 1e-16 each, 1 - beta2 being 1e-2: its rounding counts 100-fold
        assert math.isclose(found[0, k], theta, rel_tol=1e-12)


def test_adamw_without_decay_is_adam_to_the_last_bit() -> None:
    gradients = np.random.default_rng(3).normal(size=(5, 2, 4))
    plain = {"learning_rate": 0.1, "epsilon": 1e-6}
    adam, adamw = (
        Chain.of([parsed({"optimizer": name, **plain, **decay})] * 2)
        for name, decay in (("adam", {}), ("adamw", {"weight_decay": 0.0}))
    )
    assert np.array_equal(steps(adam, gradients), steps(adamw, gradients))


# --- chains


def test_chain_returns_the_clipped_gradient_and_the_update() -> None:
    chain = single(
        {"clip": "value", "limit": 1.0},
        {"optimizer": "sgd", "learning_rate": 10.0},
        {"clip": "norm", "limit": 2.0},
    )
    applied = apply(chain, np.array([[3.0, 0.0]]), chain.init(2))
    assert applied.clipped.tolist() == [[1.0, 0.0]]
    assert applied.update.tolist() == [[2.0, 0.0]]
    assert chain.learning_rate.tolist() == [10.0]


def test_chain_without_optimizer_ends_with_the_clipped_gradient() -> None:
    chain = Chain.of([parsed({"clip": "value", "limit": limit}) for limit in (1.0, 2.0)])
    applied = apply(chain, np.full((2, 1), 3.0), chain.init(1))
    assert applied.clipped.tolist() == applied.update.tolist() == [[1.0], [2.0]]
    assert np.isnan(chain.learning_rate).all()


def test_empty_chain_passes_the_gradient() -> None:
    chain = Chain.of([[], [], []])
    gradient = np.arange(6.0).reshape(3, 2)
    applied = apply(chain, gradient, chain.init(2))
    assert applied.clipped is None
    assert np.array_equal(applied.update, gradient)
    assert chain.flatten(applied.state).shape == (3, 0)
    assert chain.unflatten(np.empty((3, 0)), 2) == applied.state


def test_chains_of_different_kinds_cannot_be_stacked() -> None:
    sgd, adam = ({"optimizer": name, "learning_rate": 0.1} for name in ("sgd", "adam"))
    with pytest.raises(ValueError, match="equal kinds"):
        Chain.of([parsed(sgd), parsed(adam)])
    with pytest.raises(ValueError, match="equal kinds"):
        Chain.of([parsed(sgd), parsed({"clip": "norm", "limit": 1.0}, sgd)])


CHAINS = [
    [{"clip": "norm", "limit": 0.7}, {"optimizer": "adam", "learning_rate": 0.1, "beta2": 0.99}],
    [{"clip": "value", "limit": 0.3}, {"optimizer": "momentum", "learning_rate": 0.2}],
    [{"optimizer": "adamw", "learning_rate": 0.1, "weight_decay": 0.2}],
    [{"optimizer": "sgd", "learning_rate": 0.3}, {"clip": "norm", "limit": 1e-3}],
]


@FIXED
@given(
    plain=st.sampled_from(CHAINS),
    rows=st.integers(1, 9),
    parameters=st.integers(1, 19),
    neighbour=ANY,
    seed=st.integers(0, 2**32 - 1),
)
def test_row_has_the_same_bits_alone_and_with_any_other_rows(
    plain: list[dict[str, object]], rows: int, parameters: int, neighbour: float, seed: int
) -> None:
    gradients = np.random.default_rng(seed).normal(size=(4, rows, parameters))
    gradients[2, 1:, 0] = neighbour
    together = Chain.of([parsed(*plain)] * rows)
    alone = together.take(np.array([0]))
    in_pack = steps(together, gradients)
    for one, many in zip(steps(alone, gradients[:, :1].copy()), in_pack, strict=True):
        assert one.tobytes() == many[:1].tobytes()


def test_memory_layout_does_not_change_a_bit() -> None:
    gradient = np.random.default_rng(0).normal(size=(64, 200))
    chain = Chain.of([parsed({"clip": "norm", "limit": 1.0})] * 64)
    plain, turned = (
        apply(chain, value, chain.init(200)).update for value in (gradient, np.asfortranarray(gradient))
    )
    assert np.array_equal(plain, turned)


@pytest.mark.parametrize("plain", CHAINS)
def test_state_survives_flattening_and_taking_rows(plain: list[dict[str, object]]) -> None:
    rng = np.random.default_rng(1)
    chain = Chain.of([parsed(*plain)] * 5)
    state = apply(chain, rng.normal(size=(5, 3)), chain.init(3)).state
    rows = np.array([3, 1])
    some, gradient = chain.take(rows), rng.normal(size=(5, 3))
    matrix = chain.flatten(state)
    restored = some.unflatten(matrix[rows], 3)
    expected = apply(chain, gradient, state).update[rows]
    assert np.array_equal(matrix[rows], some.flatten(state.take(rows)))
    assert np.array_equal(apply(some, gradient[rows], restored).update, expected)
    assert np.array_equal(apply(some, gradient[rows], state.take(rows)).update, expected)


def test_rows_that_are_taken_keep_their_hyperparameters() -> None:
    chain = Chain.of([parsed({"clip": "value", "limit": limit}) for limit in (1.0, 2.0, 3.0)])
    some = chain.take(np.array([2, 0]))
    assert apply(some, np.full((2, 1), 9.0), some.init(1)).update.tolist() == [[3.0], [1.0]]


def test_state_of_the_wrong_width_is_refused() -> None:
    chain = single({"optimizer": "adam", "learning_rate": 0.1})
    assert chain.flatten(chain.init(3)).shape == (1, 7)  # mean, square, count
    with pytest.raises(ValueError, match=r"\(1, 6\), must be \(1, 7\)"):
        chain.unflatten(np.zeros((1, 6)), 3)


def test_chain_never_writes_to_the_gradient() -> None:
    gradient = np.array([[3.0, 4.0]])
    gradient.flags.writeable = False
    for plain in CHAINS:
        chain = single(*plain)
        apply(chain, gradient, chain.init(2))
    assert gradient.tolist() == [[3.0, 4.0]]
