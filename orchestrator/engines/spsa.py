"""Circuit gradients by simultaneous perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.config.base import Field, ValidationInfo, field_validator
from orchestrator.engines.circuit import CircuitEngine
from orchestrator.engines.gradient import Differentiator, Factor, GradientSum, LossSum, Shard
from orchestrator.engines.measured.loss import MeasuredLoss
from orchestrator.engines.measured.meter import Measurer, Meter
from orchestrator.engines.measured.sums import gradient_sum, loss_sum
from orchestrator.groups import Array
from orchestrator.models.base import Built
from orchestrator.models.circuits.program import Program
from orchestrator.models.layered import Layered
from orchestrator.streams import Purpose


class Spsa(CircuitEngine):
    """Two evaluations per random direction, whatever the number of parameters, and one for the loss.

    Along a direction Δ of random signs, ∂l ≈ (l(θ + cΔ) - l(θ - cΔ)) / 2c · Δ (Spall 1992), averaged over
    directions. A trial draws new directions in every step, the same for all samples of the mini-batch. The
    mean of this estimate is the gradient up to terms of order c². Its spread over directions is not counted
    as noise of shots.

    Attributes:
        step: c, radians.
        directions: number of directions that are averaged.
    """

    engine: Literal["spsa"]
    step: float = Field(default=0.1, gt=0.0, validate_default=True)
    directions: int = Field(default=1, ge=1)

    @field_validator("step")
    @classmethod
    def _check_step(cls, step: float, info: ValidationInfo) -> float:
        if (backend := info.data.get("backend")) is not None:
            backend.check_step(step)
        return step

    @property
    def settings(self) -> int:
        """Number of settings of the parameters at which a model is evaluated."""
        return 1 + 2 * self.directions

    @property
    def randomised(self) -> bool:
        """True: directions are random. With P parameters, E|ĝ|² is |∇L|² (1 + (P - 1)/directions)."""
        return True

    def passes(self, model: Built) -> float:  # noqa: ARG002
        """One per setting."""
        return float(self.settings)

    def prepare_circuit(self, program: Program, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a circuit."""
        meter = Meter.of(self.backend, program, self.settings)
        live = self.live_parameters(program)
        measured_loss = MeasuredLoss(loss, program.head, classes)
        return SpsaDifferentiator(meter, measured_loss, live, self.step, self.directions)

    def circuit_bytes(self, program: Program, rows: int, samples: int) -> int:
        """Working memory of one gradient of a circuit, in bytes."""
        from orchestrator.engines.measured.sums import working_bytes

        return working_bytes(program, self.backend, 1, rows, samples)

    def prepare_layers(self, model: Layered, loss: str, classes: int) -> Differentiator:
        """Prepares the Differentiator of a layered model, which is evaluated as a whole."""
        from orchestrator.engines.measured.forward import forward_meter

        meter, live = forward_meter(model, self.backend), self.live_parameters(model)
        measured_loss = MeasuredLoss(loss, model.head, classes)
        return SpsaDifferentiator(meter, measured_loss, live, self.step, self.directions)

    def layers_bytes(self, model: Layered, rows: int, samples: int) -> int:
        """Working memory of one gradient of a layered model, in bytes."""
        from orchestrator.engines.measured.forward import working_bytes

        return working_bytes(model, self.backend, 1, rows, samples)


@dataclass(frozen=True, eq=False)
class SpsaDifferentiator:
    """The Differentiator of one model and loss.

    Attributes:
        live: indices of the live parameters; the others are not perturbed.
        step: c, radians.
    """

    meter: Measurer
    loss: MeasuredLoss
    live: NDArray[np.int64]
    step: float
    directions: int

    def gradient(self, parameters: Array, shard: Shard, factor: Factor | None = None) -> GradientSum:
        """Gradient of each row's weighted loss, ``parameters`` float64 [R, P]."""
        here = self.meter.measure(parameters[None], shard, 0)
        derivative, cost = np.zeros((parameters.shape[1], *shard.weights.shape)), here.cost
        noise: list[Array] = []
        for index in range(self.directions):
            direction = self._direction(parameters, shard, index)
            up = self.meter.measure((parameters + self.step * direction)[None], shard, 1 + 2 * index)
            down = self.meter.measure((parameters - self.step * direction)[None], shard, 2 + 2 * index)
            above, below = self.loss.estimate(up, shard.targets), self.loss.estimate(down, shard.targets)
            derivative += direction.T[..., None] * (above.value - below.value)
            if above.value_variance is not None and below.value_variance is not None:
                noise.append(above.value_variance + below.value_variance)
            cost = cost + up.cost + down.cost
        divisor = 2.0 * self.step * self.directions
        variance = self._variance(noise, divisor, derivative.shape)
        loss = self.loss.estimate(here, shard.targets)
        return gradient_sum(shard, loss, derivative / divisor, variance, cost, factor)

    def loss_at(self, parameters: Array, shard: Shard) -> LossSum:
        """Each row's weighted loss, ``parameters`` float64 [R, P]."""
        return loss_sum(parameters, shard, self.loss, self.meter)

    def _variance(self, noise: list[Array], divisor: float, shape: tuple[int, ...]) -> Array | None:
        """Variance of the derivatives [P, R, B], from that of each difference [R, B]; None when exact."""
        if not noise:
            return None
        variance = np.zeros(shape)
        variance[self.live] = sum(noise) / divisor**2  # each sign squared is 1
        return variance

    def _direction(self, parameters: Array, shard: Shard, index: int) -> Array:
        """Random signs [R, P]; 0 for dead parameters."""
        bits = shard.streams.bits(Purpose.DIRECTIONS, len(self.live), index)
        direction = np.zeros_like(parameters)
        direction[:, self.live] = np.where(bits >> np.uint64(63), 1.0, -1.0)
        return direction

    def predict(self, parameters: Array, inputs: Array, axes: NDArray[np.int8]) -> Array:
        """Predictions [R, B, K] for ``inputs`` [R, B, F], without the noise of shots."""
        return self.meter.expectation(parameters, inputs, axes)
