"""Loss functions of one sample, on the logits of a network or on expectation values.

The *head* of a model is what turns its predictions into the output o. With ``sigmoid``, ``softmax``,
``tanh``, ``linear`` or ``relu``, predictions are logits, and the head is applied to them. With
``expectation``, predictions are values E in [-1, 1], and o = E. In the formulas s = +1 for class 1 and -1
for class 0, and y is the value to predict in a regression.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from orchestrator.errors import InputError
from orchestrator.groups import Array
from orchestrator.models.activations import ACTIVATIONS, Activation, sigmoid

Pair = tuple[Array, Array]
"""Value and derivative."""

LOSSES: tuple[str, ...] = ("mse", "binary-cross-entropy", "cross-entropy", "hinge", "linear", "expectation")
HEADS: tuple[str, ...] = ("sigmoid", "softmax", "tanh", "linear", "relu", "expectation")

_SIGNED = ("tanh", "linear", "relu", "expectation")
_HEADS_OF = {
    "mse": HEADS,
    "binary-cross-entropy": ("sigmoid", "expectation"),
    "cross-entropy": ("softmax", "expectation"),
    "hinge": _SIGNED,
    "linear": _SIGNED,
    "expectation": ("expectation",),
}


def check(loss: str, head: str, outputs: int, classes: int) -> None:
    """Checks that a loss is defined for a model's head and the data.

    Args:
        loss: one of ``LOSSES``.
        head: one of ``HEADS``.
        outputs: predictions per sample (K).
        classes: classes of the data; 0 for regression or no data.

    Raises:
        InputError: at ``loss``, with the legal alternatives.
    """
    reason = _refusal(loss, head, outputs, classes)
    if reason:
        raise InputError.at("loss", f"{loss} {reason}")


def _refusal(loss: str, head: str, outputs: int, classes: int) -> str | None:
    """Returns why the combination is refused, or None."""
    if head not in _HEADS_OF[loss]:
        legal = _alternatives([name for name in LOSSES if head in _HEADS_OF[name]])
        return f"needs {_heads(_HEADS_OF[loss])}; the model has {_heads((head,))}, which takes {legal}"
    expected = classes if head == "softmax" else 1
    if outputs != expected or expected == 0:
        return f"with {_heads((head,))} needs a prediction per class ({expected}), the model gives {outputs}"
    if loss == "expectation" or head == "softmax" or classes == 2 or (loss, classes) == ("mse", 0):
        return None
    if classes == 0:
        return "needs two classes, the data have none: use " + (
            "mse or expectation" if head == "expectation" else "mse"
        )
    legal = f"mse or cross-entropy with {'readout' if head == 'expectation' else 'output'}: softmax"
    return f"with {_heads((head,))} needs two classes, the data have {classes}: use {legal}"


def _heads(heads: tuple[str, ...]) -> str:
    """Returns heads as the sweep file names them: ``output: sigmoid``, or a circuit's expectation value."""
    outputs = [head for head in heads if head != "expectation"]
    parts = [f"output: {_alternatives(outputs)}"] if outputs else []
    return " or ".join([*parts, "a circuit's expectation value"] if "expectation" in heads else parts)


def _alternatives(names: list[str]) -> str:
    """Returns names for a message: ``a, b or c``."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def value_and_slope(loss: str, head: str, prediction: Array, targets: Array, classes: int) -> Pair:
    """Returns the loss of each sample and its derivative with respect to the prediction.

    ================= ===================== =========================================================
    loss              head                  formula
    ================= ===================== =========================================================
    mse               sigmoid               (o - c)², c the class, 0 or 1; regression: (o - y)²
    mse               softmax               Σ_k (o_k - [k = c])² / K: a mean over classes, no sum
    mse               any other             (o - s)²; regression: (o - y)²
    (binary-)cross-   sigmoid, softmax      -log o_c, fused with the head: finite for every logit
    entropy           expectation           -log ((1 + s E) / 2); infinite at s E = -1
    hinge             tanh, linear, relu,   max(0, 1 - s o)
                      expectation
    linear            tanh, linear, relu,   (1 - s o) / 2
                      expectation
    expectation       expectation           E; targets are ignored
    ================= ===================== =========================================================

    Args:
        loss: one of ``LOSSES``.
        head: one of ``HEADS``; a combination that ``check`` accepts.
        prediction: [R, B, K] logits, or expectation values with K = 1.
        targets: [R, B] class index, or the value to predict when ``classes`` is 0.
        classes: number of classes, 0 for regression.

    Returns:
        l [R, B] and dl/dprediction [R, B, K]. Non-finite where the formula is; no warning is raised.

    Example:
        >>> value, slope = value_and_slope("mse", "linear", np.array([[[3.0]]]), np.array([[1.0]]), 0)
        >>> value.tolist(), slope.tolist()
        ([[4.0]], [[[4.0]]])
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if head == "softmax":
            return _SOFTMAX[loss](prediction, targets)
        code = targets if classes == 0 else _coded(loss, head, targets)
        value, slope = _SINGLE[loss](head, np.ascontiguousarray(prediction[..., 0]), code)
        return value, slope[..., None]


def accuracy(head: str, prediction: Array, targets: Array) -> Array:
    """Returns the share of samples classified correctly, [R].

    With softmax, the predicted class is that of the largest logit (the first one of equals). Otherwise it is
    1 where the prediction is above 0, else 0.

    Args:
        head: one of ``HEADS``.
        prediction: [R, B, K], B at least 1, as for ``value_and_slope``.
        targets: [R, B] class index.
    """
    predicted = prediction.argmax(-1) if head == "softmax" else prediction[..., 0] > 0.0
    return np.asarray(predicted == targets, np.float64).mean(-1)


def _coded(loss: str, head: str, classes: Array) -> Array:
    """Returns two classes as the loss encodes them: 0 and 1 for mse after a sigmoid, else -1 and +1."""
    return classes if (loss, head) == ("mse", "sigmoid") else 2.0 * classes - 1.0


def _output(head: str) -> Activation:
    return ACTIVATIONS["linear" if head == "expectation" else head]


def _mse(head: str, z: Array, target: Array) -> Pair:
    output = _output(head)
    error = output.value(z) - target
    return np.square(error), 2.0 * error * output.slope(z)


def _binary_cross_entropy(head: str, z: Array, sign: Array) -> Pair:
    if head == "expectation":
        agreement = np.maximum(sign * z, -1.0)  # a rounding error below -1 must not become log of a negative
        return -np.log1p(0.5 * (agreement - 1.0)), -sign / (1.0 + agreement)
    margin = sign * z
    return np.maximum(-margin, 0.0) + np.log1p(np.exp(-np.abs(z))), -sign * sigmoid(-margin)


def _hinge(head: str, z: Array, sign: Array) -> Pair:
    output = _output(head)
    excess = 1.0 - sign * output.value(z)
    return np.maximum(excess, 0.0), np.where(excess <= 0.0, 0.0, -sign * output.slope(z))


def _linear(head: str, z: Array, sign: Array) -> Pair:
    output = _output(head)
    return 0.5 * (1.0 - sign * output.value(z)), -0.5 * sign * output.slope(z)


def _expectation(head: str, z: Array, target: Array) -> Pair:  # noqa: ARG001 - one signature for all
    return z, np.ones_like(z)


def _softmax(z: Array) -> tuple[Array, Array]:
    """Returns the softmax over the last axis, and its logarithm."""
    shifted = z - z.max(-1, keepdims=True)
    power = np.exp(shifted)
    total = power.sum(-1, keepdims=True)
    return power / total, shifted - np.log(total)


def _one_hot(targets: Array, outputs: int) -> Array:
    return np.asarray(targets[..., None] == np.arange(outputs), np.float64)


def _softmax_mse(z: Array, targets: Array) -> Pair:
    output, _ = _softmax(z)
    error = output - _one_hot(targets, z.shape[-1])
    slope = 2.0 / z.shape[-1] * error
    return np.square(error).mean(-1), output * (slope - (output * slope).sum(-1, keepdims=True))


def _softmax_cross_entropy(z: Array, targets: Array) -> Pair:
    output, log_output = _softmax(z)
    index = targets.astype(np.int64)[..., None]
    return -np.take_along_axis(log_output, index, -1)[..., 0], output - _one_hot(targets, z.shape[-1])


_SOFTMAX: dict[str, Callable[[Array, Array], Pair]] = {
    "mse": _softmax_mse,
    "cross-entropy": _softmax_cross_entropy,
}
_SINGLE: dict[str, Callable[[str, Array, Array], Pair]] = {
    "mse": _mse,
    "binary-cross-entropy": _binary_cross_entropy,
    "cross-entropy": _binary_cross_entropy,
    "hinge": _hinge,
    "linear": _linear,
    "expectation": _expectation,
}
