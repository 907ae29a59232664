"""Losses: formulas, derivatives, and which heads and data each accepts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.models.losses import HEADS, LOSSES, accuracy, check, value_and_slope

SIGNED = ("tanh", "linear", "relu", "expectation")
LEGAL = (
    {("mse", head, 2) for head in HEADS}
    | {("mse", head, 0) for head in HEADS if head != "softmax"}
    | {("mse", "softmax", 3), ("cross-entropy", "softmax", 2), ("cross-entropy", "softmax", 3)}
    | {("binary-cross-entropy", head, 2) for head in ("sigmoid", "expectation")}
    | {("cross-entropy", "expectation", 2)}
    | {(loss, head, 2) for loss in ("hinge", "linear") for head in SIGNED}
    | {("expectation", "expectation", classes) for classes in (0, 2, 3)}
)
"""(loss, head, classes): every legal combination, for up to three classes."""


def outputs_of(head: str, classes: int) -> int:
    return classes if head == "softmax" else 1


def sample(head: str, classes: int, rows: int = 3, samples: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    prediction = rng.normal(size=(rows, samples, outputs_of(head, classes)))
    if head == "expectation":
        prediction = np.tanh(prediction)
    targets = rng.integers(0, classes, (rows, samples)) if classes else rng.normal(size=(rows, samples))
    return prediction, targets.astype(np.float64)


def one(
    loss: str, head: str, prediction: list[float], target: float, classes: int
) -> tuple[float, list[float]]:
    value, slope = value_and_slope(loss, head, np.array([[prediction]]), np.array([[target]]), classes)
    return float(value[0, 0]), slope[0, 0].tolist()


@pytest.mark.parametrize(("loss", "head", "classes"), [*itertools.product(LOSSES, HEADS, (0, 2, 3))])
def test_check_accepts_exactly_the_legal_combinations(loss: str, head: str, classes: int) -> None:
    if (loss, head, classes) in LEGAL:
        check(loss, head, outputs_of(head, classes), classes)
        return
    with pytest.raises(InputError) as caught:
        check(loss, head, outputs_of(head, classes), classes)
    assert [fault.path for fault in caught.value.faults] == ["loss"]


def test_check_names_the_legal_alternatives() -> None:
    with pytest.raises(InputError, match=r"needs two classes, the data have 3: use .* output: softmax"):
        check("binary-cross-entropy", "sigmoid", 1, 3)
    with pytest.raises(InputError, match="needs two classes, the data have none: use mse"):
        check("hinge", "linear", 1, 0)
    with pytest.raises(
        InputError, match="needs output: softmax or a circuit's expectation value; the model has"
    ):
        check("cross-entropy", "sigmoid", 1, 2)


def test_check_refuses_several_predictions_where_the_loss_takes_one() -> None:
    with pytest.raises(InputError, match="the model gives 2"):
        check("mse", "expectation", 2, 2)


@pytest.mark.parametrize(("loss", "head", "classes"), sorted(LEGAL))
def test_slope_is_the_derivative_of_the_value(loss: str, head: str, classes: int) -> None:
    prediction, targets = sample(head, classes)
    _, slope = value_and_slope(loss, head, prediction, targets, classes)
    step = 1e-5
    for k in range(prediction.shape[-1]):
        shift = step * np.eye(prediction.shape[-1])[k]
        above, _ = value_and_slope(loss, head, prediction + shift, targets, classes)
        below, _ = value_and_slope(loss, head, prediction - shift, targets, classes)
        # truncation h²/6 · l''' is near 1e-10, rounding eps/h near 1e-11; third derivatives here reach 100
        np.testing.assert_allclose(slope[..., k], (above - below) / (2 * step), rtol=1e-6, atol=1e-9)


def test_mse_encodes_two_classes_in_the_range_of_the_head() -> None:
    assert one("mse", "sigmoid", [0.0], 1, 2) == (0.25, [-0.25])  # (½ - 1)², 2(½ - 1)¼
    assert one("mse", "linear", [0.5], 0, 2) == (2.25, [3.0])  # (½ + 1)²
    assert one("mse", "expectation", [0.5], 1, 2) == (0.25, [-1.0])
    assert one("mse", "linear", [0.5], 3.0, 0) == (6.25, [-5.0])  # regression: the value itself
    value, _ = one("mse", "softmax", [0.0, 0.0], 1, 2)
    assert value == 0.25  # mean over both outputs of (½)²


def test_signed_losses_follow_their_formulas() -> None:
    assert one("hinge", "linear", [0.25], 1, 2) == (0.75, [-1.0])
    assert one("hinge", "linear", [0.25], 0, 2) == (1.25, [1.0])
    assert one("hinge", "linear", [1.5], 1, 2) == (0.0, [0.0])
    assert one("linear", "expectation", [0.25], 1, 2) == (0.375, [-0.5])
    assert one("linear", "expectation", [0.25], 0, 2) == (0.625, [0.5])
    assert one("expectation", "expectation", [-0.25], 0, 0) == (-0.25, [1.0])


def test_cross_entropy_of_an_expectation_value_is_infinite_only_at_the_wrong_extreme() -> None:
    assert one("binary-cross-entropy", "expectation", [0.0], 1, 2) == (np.log(2.0), [-1.0])
    assert one("cross-entropy", "expectation", [1.0], 1, 2) == (0.0, [-0.5])
    assert one("cross-entropy", "expectation", [-1.0], 1, 2) == (np.inf, [-np.inf])
    assert one("cross-entropy", "expectation", [-1.0 - 1e-15], 1, 2) == (np.inf, [-np.inf])


@pytest.mark.parametrize("logit", [-1e5, 1e5])
@pytest.mark.parametrize("target", [0, 1])
def test_cross_entropies_are_exact_for_huge_logits(logit: float, target: int) -> None:
    wrong = (logit > 0) != bool(target)
    direction = 1.0 - 2.0 * target
    assert one("binary-cross-entropy", "sigmoid", [logit], target, 2) == (1e5 * wrong, [direction * wrong])
    value, slope = one("cross-entropy", "softmax", [0.0, logit], target, 2)
    assert value == 1e5 * wrong
    assert slope == [-direction * wrong, direction * wrong]


def test_slopes_of_saturated_outputs_keep_their_relative_precision() -> None:
    tail = np.exp(-40.0)  # 1 + tail rounds to 1
    for target, sign in ((0, 1.0), (1, -1.0)):
        _, slope = one("binary-cross-entropy", "sigmoid", [-sign * 40.0], target, 2)
        np.testing.assert_allclose(slope, [sign * tail], rtol=1e-15)
        _, slope = one("linear", "tanh", [20.0], target, 2)
        np.testing.assert_allclose(slope, [sign * 0.5 * 4.0 * tail], rtol=1e-15)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(combination=st.sampled_from(sorted(LEGAL)), data=st.data())
def test_row_has_the_same_bits_alone_and_with_any_other_rows(
    combination: tuple[str, str, int], data: st.DataObject
) -> None:
    loss, head, classes = combination
    prediction, targets = sample(head, classes, rows=data.draw(st.integers(1, 20)), samples=7)
    wild = st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0])
    prediction[1:, 0] = data.draw(wild)
    alone = value_and_slope(loss, head, prediction[:1].copy(), targets[:1].copy(), classes)
    together = value_and_slope(loss, head, prediction, targets, classes)
    assert all(a.tobytes() == b[:1].tobytes() for a, b in zip(alone, together, strict=True))


def test_accuracy_counts_the_largest_logit_or_the_sign() -> None:
    logits = np.array([[[0.1, 0.9, 0.0], [2.0, 1.0, 0.0]]])
    assert accuracy("softmax", logits, np.array([[1.0, 1.0]])).tolist() == [0.5]
    values = np.array([[[0.3], [-0.3], [-0.1], [0.2]]])
    assert accuracy("expectation", values, np.array([[1.0, 0.0, 1.0, 1.0]])).tolist() == [0.75]
    zero = np.zeros((1, 2, 1))  # is not above 0, so of class 0
    assert accuracy("expectation", zero, np.array([[0.0, 1.0]])).tolist() == [0.5]
    assert accuracy("sigmoid", zero, np.array([[0.0, 0.0]])).tolist() == [1.0]
