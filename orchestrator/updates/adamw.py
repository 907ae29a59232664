"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Literal

from orchestrator.config.base import Field
from orchestrator.groups import Array
from orchestrator.updates.base import State
from orchestrator.updates.context import Needs, StepContext
from orchestrator.updates.optimizers import Adam


class AdamW(Adam):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101): Δ = Adam's + η λ θ.

    The decay does not enter Adam's moments. λ is defined as in PyTorch; the paper's λ is η λ here.
    """

    optimizer: Literal["adamw"]  # type: ignore[assignment]
    weight_decay: float = Field(default=0.01, ge=0.0, description="λ")

    @property
    def needs(self) -> Needs:
        """The parameters, for the decay term."""
        return Needs(parameters=True)

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Returns Adam's step + η λ θ."""
        step, state = super().update(vector, state, context)
        decay = context.numbers["learning_rate"] * context.numbers["weight_decay"]
        return step + decay * context.parameters, state
