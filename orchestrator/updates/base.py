"""The family of updates (items of the key ``updates`` of a trial): clips and optimisers.

Every update is a pair of pure functions over a pack of R trials, init and update. The pack shares
the configuration's kind; numbers (its float fields) are given per trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from orchestrator.config.base import Config
from orchestrator.groups import Array
from orchestrator.updates.context import NO_NEEDS, Needs, StepContext

State = Mapping[str, Array]
"""What an update remembers, by name: float64 [R, …]."""


class Update(Config):
    """A clip (key ``clip``) or an optimiser (key ``optimizer``)."""

    tags: ClassVar[tuple[str, ...]] = ("clip", "optimizer")

    @classmethod
    def number_names(cls) -> tuple[str, ...]:
        """Names of the hyper-parameters that may differ inside a pack: the fields that are float, or None."""
        fields = cls.model_fields.items()
        return tuple(name for name, field in fields if field.annotation in (float, float | None))

    @property
    def needs(self) -> Needs:
        """What it asks for; nothing for most."""
        return NO_NEEDS

    @property
    def stateful(self) -> bool:
        """Whether it remembers earlier steps."""
        return bool(self.init(1, 1))

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002 - most remember nothing
        """The state before the first step, for ``rows`` trials of ``parameters`` parameters."""
        return {}

    def update(self, vector: Array, state: State, context: StepContext) -> tuple[Array, State]:
        """Transforms the vector that the update before it left.

        Args:
            vector: [R, P] the gradient, or what the chain has made of it. Never written to.
            state: as ``init`` or the last call returned it.
            context: its numbers, and what else it may look at.

        Returns:
            The new vector [R, P] and the new state. The end of the chain is subtracted from the parameters.
        """
        raise NotImplementedError


class Clip(Update):
    """An update that bounds its vector; tag ``clip``."""


class Optimizer(Update):
    """An update that turns a gradient into a step; tag ``optimizer``."""

    learning_rate: float
