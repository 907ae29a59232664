"""The family of updates (items of the key ``updates`` of a trial): clips and optimisers.

Every update is a pair of pure functions, init and update, over a pack of R trials. The trials of a pack
have updates of the same kinds. The hyper-parameters (float fields) may differ per trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from orchestrator.config.base import Config, Field
from orchestrator.groups import Array
from orchestrator.updates.context import NO_NEEDS, Needs, StepContext

State = Mapping[str, Array]
"""What an update keeps from step to step, by name: float64 [R, …]."""


class Update(Config):
    """A clip (key ``clip``) or an optimiser (key ``optimizer``)."""

    tags: ClassVar[tuple[str, ...]] = ("clip", "optimizer")

    @classmethod
    def number_names(cls) -> tuple[str, ...]:
        """Returns the names of the hyper-parameters that may differ within a pack.

        These are the fields of type ``float`` or ``float | None``.
        """
        fields = cls.model_fields.items()
        return tuple(name for name, field in fields if field.annotation in (float, float | None))

    @property
    def needs(self) -> Needs:
        """Further inputs that the update needs; none by default."""
        return NO_NEEDS

    @property
    def stateful(self) -> bool:
        """Whether the update keeps a state."""
        return bool(self.init(1, 1))

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002 - most keep no state
        """Returns the state before the first step, for ``rows`` trials of ``parameters`` parameters."""
        return {}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Transforms the output of the previous update in the chain.

        Args:
            vector: [R, P] output of the previous update; the gradient for the first one. Never written to.
            state: from ``init`` or from the last call.
            context: hyper-parameters and further inputs.

        Returns:
            The new vector [R, P] and the new state. The last vector of the chain is subtracted from
            the parameters.
        """
        raise NotImplementedError


class Clip(Update):
    """An update that bounds the vector; tag ``clip``."""


class Optimizer(Update):
    """An update that turns a gradient into a step; tag ``optimizer``."""

    learning_rate: float = Field(ge=0.0, description="η")
