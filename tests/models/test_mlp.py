"""The multilayer perceptron and its gradients by backpropagation."""

from __future__ import annotations

import pickle
import tracemalloc
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums import assert_close, assert_same_bits, rows_of
from threadpoolctl import threadpool_limits

from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.engines.backprop import Backprop
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Differentiator, Shard
from orchestrator.errors import InputError
from orchestrator.models.base import Model
from orchestrator.models.layered import Layered
from orchestrator.models.mlp import Mlp
from orchestrator.streams import Streams

ENGINE = Backprop(engine="backprop")
ACTIVATIONS = ["relu", "tanh", "sigmoid", "linear"]
LOSS_OF = [
    ("mse", "sigmoid", 2),
    ("mse", "softmax", 3),
    ("mse", "linear", 0),
    ("binary-cross-entropy", "sigmoid", 2),
    ("cross-entropy", "softmax", 3),
    ("hinge", "tanh", 2),
    ("hinge", "relu", 2),
    ("linear", "tanh", 2),
]
"""(loss, output, classes)"""


def network(features: int = 4, classes: int = 2, **options: object) -> Layered:
    return Mlp.parse({"kind": "mlp", **options}).build(features, classes)


def draw_shard(rows: int, samples: int, features: int, classes: int, seed: int = 0) -> Shard:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, (rows, samples)) if classes else rng.normal(size=(rows, samples))
    weights = rng.uniform(0.1, 1.0, (rows, samples))
    return Shard(
        inputs=rng.normal(size=(rows, samples, features)),
        targets=targets.astype(np.float64),
        weights=weights / weights.sum(-1, keepdims=True),
        axes=np.zeros((rows, 0), np.int8),
    )


def cut(shard: Shard, rows: slice, samples: slice = slice(None)) -> Shard:
    """A part of a shard, in memory of its own."""
    inputs, targets, weights = (a[rows, samples].copy() for a in (shard.inputs, shard.targets, shard.weights))
    return Shard(inputs, targets, weights, shard.axes[rows].copy())


def case(
    loss: str, output: str, classes: int, hidden: list[int], activation: str, samples: int = 6
) -> tuple[Differentiator, np.ndarray, Shard]:
    """A random network, parameters and shard."""
    model = network(4, classes, hidden=hidden, activation=activation, output=output)
    # a seed with which no output unit is off for the whole batch
    parameters = np.random.default_rng(4).normal(size=(3, model.parameters))
    return ENGINE.prepare(model, loss, classes), parameters, draw_shard(3, samples, 4, classes)


# --- the model


def test_mlp_and_backprop_are_found_by_their_tags() -> None:
    assert discover(Model)["kind=mlp"] is Mlp
    assert discover(Engine)["engine=backprop"] is Backprop


def test_mlp_reads_plain_lists_and_refuses_nonsense() -> None:
    assert Mlp.parse({"kind": "mlp", "hidden": [8, 4]}).hidden == (8, 4)
    assert Mlp.parse({"kind": "mlp", "hidden": []}).identity() == {"kind": "mlp", "hidden": []}
    for wrong in ({"hidden": [0]}, {"hidden": [2.5]}, {"activation": "gelu"}, {"width": 3}):
        with pytest.raises(ConfigError):
            Mlp.parse({"kind": "mlp", **wrong})


def test_network_groups_cover_the_parameters_in_order() -> None:
    model = network(8, hidden=[10, 5])
    assert [(g.name, g.start, g.stop, g.depth) for g in model.groups] == [
        ("layer0.weight", 0, 80, 0),
        ("layer0.bias", 80, 90, 0),
        ("layer1.weight", 90, 140, 1),
        ("layer1.bias", 140, 145, 1),
        ("layer2.weight", 145, 150, 2),
        ("layer2.bias", 150, 151, 2),
    ]
    assert [(g.name, g.start, g.stop, g.depth, g.kind) for g in model.signals] == [
        ("layer0.signal", 0, 10, 0, "signal"),
        ("layer1.signal", 10, 15, 1, "signal"),
        ("layer2.signal", 15, 16, 2, "signal"),
    ]
    assert (model.parameters, model.outputs, model.axes, model.dead.any()) == (151, 1, 0, False)


def test_network_without_hidden_layers_is_one_layer() -> None:
    model = network(4, 3, hidden=[], output="softmax")
    assert (model.parameters, model.outputs, len(model.signals)) == (15, 3, 1)


def test_network_is_pickled_and_compared_by_value() -> None:
    model = network(4, hidden=[3])
    assert model.parameters == 19
    assert pickle.loads(pickle.dumps(model)) == model == network(4, hidden=[3])


def test_mlp_refuses_missing_data_and_classes() -> None:
    with pytest.raises(InputError, match=r"model\.kind: mlp needs data"):
        network(0, 0)
    with pytest.raises(InputError, match=r"model\.output: softmax needs classes"):
        network(4, 0, output="softmax")


@pytest.mark.parametrize(
    ("init", "limit", "deviation"),
    [
        ("uniform", 0.1, 0.1 / np.sqrt(3)),
        ("glorot", np.sqrt(6 / 150), np.sqrt(2 / 150)),
        ("he", np.inf, np.sqrt(2 / 100)),
        ("normal", np.inf, 0.1),
        ("zeros", 0.0, 0.0),
    ],
)
def test_initial_weights_follow_their_distribution(init: str, limit: float, deviation: float) -> None:
    model = network(100, hidden=[50], init=init)
    parameters = model.initial(Streams(np.arange(40), 0))
    weights, biases = (parameters[:, group.start : group.stop] for group in model.groups[:2])
    assert parameters.shape == (40, model.parameters)
    assert np.abs(weights).max() <= limit
    assert not biases.any()
    # 200,000 draws: the standard error of the deviation is below 0.2 %, of the mean deviation/447
    np.testing.assert_allclose(weights.std(), deviation, rtol=0.01)
    assert abs(weights.mean()) <= 5 * deviation / 447


def test_layers_start_with_distinct_numbers() -> None:
    model = network(6, hidden=[6, 6])
    start = model.initial(Streams([0], 0))[0]
    one, other = (start[group.start : group.stop] for group in (model.groups[0], model.groups[2]))
    assert len(np.unique([one, other])) == 2 * 36


def test_initial_parameters_do_not_depend_on_other_rows() -> None:
    model = network(5, hidden=[7], init="he")
    together = model.initial(Streams([3, 1, 2], 0))
    assert together[1:2].tobytes() == model.initial(Streams([1], 0)).tobytes()
    assert not np.array_equal(together[0], together[1])


# --- gradients


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output", "classes"), LOSS_OF)
@pytest.mark.parametrize("hidden", [[], [3], [4, 3]])
def test_gradient_agrees_with_central_differences(
    loss: str, output: str, classes: int, hidden: list[int], activation: str
) -> None:
    engine, parameters, shard = case(loss, output, classes, hidden, activation)
    total = engine.gradient(parameters, shard)
    step = 1e-5
    estimate = np.empty_like(parameters)
    for k in range(parameters.shape[1]):
        shift = step * np.eye(parameters.shape[1])[k]
        above, below = (engine.gradient(parameters + sign * shift, shard).loss for sign in (1.0, -1.0))
        estimate[:, k] = (above - below) / (2 * step)
    scale = np.abs(total.gradient).max()
    assert scale > 0
    # truncation is of order step² = 1e-10, rounding of order eps/step = 2e-11, both times the loss's scale
    np.testing.assert_allclose(total.gradient / scale, estimate / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("loss", "output", "classes"), LOSS_OF)
def test_second_moments_agree_with_a_loop_over_samples(
    loss: str, output: str, classes: int, activation: str
) -> None:
    engine, parameters, shard = case(loss, output, classes, [4, 3], activation)
    total = engine.gradient(parameters, shard)
    p = shard.weights
    singles = [
        engine.gradient(parameters, Shard(part.inputs, part.targets, np.ones((3, 1)), part.axes))
        for part in (cut(shard, slice(None), slice(i, i + 1)) for i in range(p.shape[1]))
    ]
    gradients = np.stack([single.gradient for single in singles], axis=1)
    biases = [group for group in engine.model.groups if group.name.endswith("bias")]
    deltas = np.concatenate([gradients[..., group.start : group.stop] for group in biases], axis=-1)
    for found, expected in [
        (total.gradient, (p[..., None] * gradients).sum(1)),
        (total.moments.square, (p[..., None] * gradients**2).sum(1)),
        (
            total.signals.signal,
            (p[..., None] * deltas).sum(1),
        ),  # dl/da of a sample is its gradient of the bias
        (total.signals.square, (p[..., None] * deltas**2).sum(1)),
        (total.loss, sum(p[:, i] * single.loss for i, single in enumerate(singles))),
        (total.weight, p.sum(1)),
        (total.moments.weight_square, (p**2).sum(1)),
    ]:
        # a sum of six terms in another order
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_exact_gradients_report_no_noise_and_no_executions() -> None:
    engine, parameters, shard = case("mse", "sigmoid", 2, [3], "tanh")
    total = engine.gradient(parameters, shard)
    assert total.noise is None
    for cost in vars(total.cost).values():
        np.testing.assert_array_equal(cost, np.zeros(3), strict=True)


def test_shards_add_up_to_the_mini_batch() -> None:
    engine, parameters, shard = case("cross-entropy", "softmax", 3, [5], "relu", samples=10)
    whole = engine.gradient(parameters, shard)
    cuts = [slice(0, 3), slice(3, 4), slice(4, 10)]
    parts = [engine.gradient(parameters, cut(shard, slice(None), samples)) for samples in cuts]
    # ten terms in another order
    assert_close(reduce(add, parts), whole, relative=1e-13, absolute=1e-15)


def test_predictions_are_logits() -> None:
    engine, parameters, shard = case("mse", "sigmoid", 2, [], "relu")
    logits = engine.predict(parameters, shard.inputs, shard.axes)
    expected = np.einsum("rbf,rf->rb", shard.inputs, parameters[:, :4]) + parameters[:, 4:]
    np.testing.assert_allclose(logits[..., 0], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_non_finite_gradients_stay_in_their_row_and_raise_nothing(value: float) -> None:
    engine, parameters, shard = case("mse", "linear", 0, [4], "tanh")
    finite = engine.gradient(parameters, shard)
    parameters[1] = value
    total = engine.gradient(parameters, shard)
    assert not np.isfinite(total.loss[1])
    assert_same_bits(rows_of(finite, slice(1)), rows_of(total, slice(1)))


def test_prepare_refuses_a_loss_that_does_not_fit_the_head() -> None:
    with pytest.raises(InputError, match="loss: hinge needs output: tanh, linear or relu"):
        ENGINE.prepare(network(4), "hinge", 2)


# --- same bits


@settings(deadline=None, derandomize=True, max_examples=60)
@given(data=st.data())
def test_trial_has_the_same_bits_alone_and_in_any_pack(data: st.DataObject) -> None:
    size = st.sampled_from([1, 2, 3, 8, 10, 17])
    features, samples = data.draw(size), data.draw(st.sampled_from([1, 2, 7, 32, 65]))
    hidden, rows = data.draw(st.lists(size, max_size=3)), data.draw(st.integers(1, 64))
    loss, output, classes = data.draw(st.sampled_from(LOSS_OF))
    model = network(
        features, classes, hidden=hidden, activation=data.draw(st.sampled_from(ACTIVATIONS)), output=output
    )
    engine, shard = ENGINE.prepare(model, loss, classes), draw_shard(rows, samples, features, classes)
    parameters = model.initial(Streams(np.arange(rows), 0))
    row = data.draw(st.integers(0, rows - 1))
    only = slice(row, row + 1)
    alone, own = cut(shard, only), parameters[only].copy()
    together = engine.gradient(parameters, shard)
    assert_same_bits(engine.gradient(own, alone), rows_of(together, only))
    predicted = engine.predict(parameters, shard.inputs, shard.axes)[only]
    assert predicted.tobytes() == engine.predict(own, alone.inputs, alone.axes).tobytes()


def test_memory_layout_does_not_change_a_bit() -> None:
    engine, parameters, shard = case("mse", "sigmoid", 2, [9, 5], "tanh", samples=33)
    arrays = (shard.inputs, shard.targets, shard.weights, shard.axes)
    turned = Shard(*map(np.asfortranarray, arrays))
    assert_same_bits(
        engine.gradient(parameters, shard), engine.gradient(np.asfortranarray(parameters), turned)
    )


def test_number_of_threads_does_not_change_a_bit() -> None:
    model = network(100, hidden=[100], activation="tanh")
    engine, shard = ENGINE.prepare(model, "mse", 2), draw_shard(1, 2000, 100, 2)
    parameters = model.initial(Streams([0], 0))
    with threadpool_limits(1, user_api="blas"):
        single = engine.gradient(parameters, shard)
    with threadpool_limits(4, user_api="blas"):
        assert_same_bits(single, engine.gradient(parameters, shard))


# --- memory


@pytest.mark.parametrize("hidden", [[10], [100, 100], [2, 2, 2, 2, 2, 2]])
def test_shard_bytes_is_an_upper_bound_within_a_factor_of_two(hidden: list[int]) -> None:
    model = network(8, hidden=hidden, activation="tanh")
    engine, shard = ENGINE.prepare(model, "mse", 2), draw_shard(16, 64, 8, 2)
    parameters = model.initial(Streams(np.arange(16), 0))
    engine.gradient(parameters, shard)
    tracemalloc.start()
    engine.gradient(parameters, shard)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= ENGINE.shard_bytes(model, 16, 64) <= 2 * peak


# --- known results about deep networks


@pytest.mark.parametrize(("init", "ratio"), [("uniform", 1 / 3), ("glorot", 1.0)])
@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_signals_fall_by_a_third_per_layer_under_uniform_and_stay_level_under_glorot(
    init: str, ratio: float, activation: str
) -> None:
    """Glorot and Bengio 2010, equations 5 to 12; tanh in its linear range."""
    width, trials = 100, 48
    model = network(width, 0, hidden=[width] * 6, activation=activation, output="linear", init=init)
    shard = draw_shard(trials, 4, width, 0)
    small = Shard(0.003 * shard.inputs, shard.targets, shard.weights, shard.axes)
    total = ENGINE.prepare(model, "mse", 0).gradient(model.initial(Streams(np.arange(trials), 0)), small)
    power = np.stack([total.signals.square[:, g.start : g.stop].sum(-1) for g in model.signals[:-1]], axis=1)
    ratios = power[:, :-1] / power[:, 1:]
    # each ratio is |W u|²/|u|² for a fresh W, so all are independent; five standard errors, plus the
    # slope 1 - a² of tanh, which is within 1e-4 of 1
    sem = ratios.std() / np.sqrt(ratios.size)
    assert abs(ratios.mean() - ratio) < 5 * sem + 1e-4
    assert sem < 0.02 * ratio


def test_weight_gradients_do_not_vanish_where_signals_do() -> None:
    """Glorot and Bengio 2010: with uniform init, forward and backward trends cancel in weight gradients."""
    width, trials = 60, 48
    model = network(width, 0, hidden=[width] * 6, activation="linear", output="linear", init="uniform")
    shard = draw_shard(trials, 8, width, 0)
    total = ENGINE.prepare(model, "mse", 0).gradient(model.initial(Streams(np.arange(trials), 0)), shard)
    weights = [group for group in model.groups[:-2] if group.name.endswith("weight")]
    power = np.array([(total.gradient[:, g.start : g.stop] ** 2).mean() for g in weights])
    signals = np.array([(total.signals.square[:, g.start : g.stop]).mean() for g in model.signals[:-1]])
    assert signals[-1] / signals[0] > 100  # 3^5 = 243 over five layers
    assert power.max() / power.min() < 2
