"""Classical backpropagation over a pack, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Array, GradientSum, Shard
from orchestrator.errors import InputError
from orchestrator.models import losses
from orchestrator.models.base import Built
from orchestrator.models.differentiable import Differentiable
from orchestrator.process import keep_freed_memory, one_blas_thread


class Backprop(Engine):
    """Exact gradients of a network, with second moments over samples."""

    engine: Literal["backprop"]

    def differentiates(self, model: Built) -> bool:
        """True for networks."""
        return isinstance(model, Differentiable)

    def prepare(self, model: Built, loss: str, classes: int) -> Backpropagation:
        """Makes ready for one model and loss.

        Raises:
            InputError: the model is no network, or the loss does not go with it.
        """
        if not isinstance(model, Differentiable):
            raise InputError.at("gradient.engine", "backprop differentiates networks only, not circuits")
        losses.check(loss, model.head, model.outputs, classes)
        keep_freed_memory()
        return Backpropagation(model, model.head, loss, classes)

    def shard_bytes(self, model: Built, rows: int, samples: int) -> int:
        """Working memory of one gradient beside the shard itself, in bytes.

        Args:
            model: a network.
            rows: R.
            samples: B.
        """
        if not isinstance(model, Differentiable):
            raise InputError.at("gradient.engine", "backprop differentiates networks only, not circuits")
        loss = 8 * samples * model.outputs
        noise = 2 * model.parameters
        return 8 * rows * (model.working_floats(samples) + loss + noise)


@dataclass(frozen=True)
class Backpropagation:
    """The Differentiator of one network and loss."""

    model: Differentiable[Any]
    head: str
    loss: str
    classes: int

    def gradient(self, parameters: Array, shard: Shard) -> GradientSum:
        """Gradient of each row's weighted loss.

        Args:
            parameters: [R, P]
            shard: its axes are ignored.
        """
        parameters, p = np.ascontiguousarray(parameters), np.ascontiguousarray(shard.weights)
        with one_blas_thread(), np.errstate(all="ignore"):
            prediction, tape = self.model.forward(parameters, shard.inputs)
            value, slope = losses.value_and_slope(
                self.loss, self.head, prediction, shard.targets, self.classes
            )
            moments = self.model.backward(parameters, tape, slope, p)
            loss = (p * value).sum(-1)
        none = np.zeros(len(p))
        return GradientSum(
            weight=p.sum(-1),
            weight_square=(p * p).sum(-1),
            loss=loss,
            gradient=moments.gradient,
            square=moments.square,
            noise=np.zeros_like(parameters),
            noise_first=np.zeros_like(parameters),
            signal=moments.signal,
            signal_square=moments.signal_square,
            metric=np.zeros((len(p), 0)),
            executions=none,
            shots=none,
            qpu_seconds=none,
        )

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:  # noqa: ARG002
        """Logits [R, B, K] for ``inputs`` [R, B, F]."""
        with one_blas_thread(), np.errstate(all="ignore"):
            return self.model.forward(np.ascontiguousarray(parameters), inputs)[0]
