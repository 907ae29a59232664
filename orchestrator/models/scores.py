"""How well parameters do on the test part of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array
from orchestrator.models import losses

Scores = tuple[Array, Array]
"""Loss and accuracy of R rows, [R] each; NaN where there is none."""

Predict = Callable[[Array], Array]
"""What the loss is computed from, [R, n, K], for n samples [n, …] that are the same for all R rows."""


class Examples(Protocol):
    """The two parts of the data, as ``data.base.Dataset`` has them."""

    @property
    def inputs(self) -> NDArray[np.float64]: ...
    @property
    def targets(self) -> NDArray[np.float64]: ...
    @property
    def test_inputs(self) -> NDArray[np.float64]: ...
    @property
    def test_targets(self) -> NDArray[np.float64]: ...
    @property
    def classes(self) -> int: ...


def from_predictions(predict: Predict, head: str, loss: str, data: Examples) -> Scores:
    """The mean loss of the test rows, and the share that is classified correctly.

    Args:
        predict: of the trained parameters of R rows.
        head: what the predictions are to the loss.
        loss: one of ``losses.LOSSES``.
        data: with at least one test row.
    """
    prediction = predict(data.test_inputs)
    targets = np.ascontiguousarray(np.broadcast_to(data.test_targets, prediction.shape[:2]))
    value, _ = losses.value_and_slope(loss, head, prediction, targets, data.classes)
    none = np.full(len(prediction), np.nan)
    accuracy = losses.accuracy(head, prediction, targets) if data.classes else none
    return value.sum(-1) / value.shape[1], accuracy
