"""The family of updates (items of the key ``updates`` of a trial): clips and optimisers.

Every update is a pair of pure functions over a pack of R trials, init and update. The pack shares
the configuration's kind; numbers (its float fields) are given per trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from orchestrator.config import Config
from orchestrator.groups import Array

State = Mapping[str, Array]
"""What an update remembers, by name: float64 [R, …]."""
Spans = tuple[tuple[int, int], ...]
"""Slices [start, stop) of the parameter vector."""

Form = Literal["block-diagonal", "full", "diagonal"]
"""Which entries of the metric count: those inside a group, all, or those of single parameters."""


class Update(Config):
    """A clip (key ``clip``) or an optimiser (key ``optimizer``)."""

    tags: ClassVar[tuple[str, ...]] = ("clip", "optimizer")

    @classmethod
    def number_names(cls) -> tuple[str, ...]:
        """Names of the hyper-parameters that may differ inside a pack: the fields that are float, or None."""
        fields = cls.model_fields.items()
        return tuple(name for name, field in fields if field.annotation in (float, float | None))

    @property
    def needs_metric(self) -> Form | None:
        """Which entries of the metric of a circuit's state ``direction`` is to be given; None for most."""
        return None

    def direction(self, vector: Array, metric: Array, groups: Spans, numbers: Mapping[str, Array]) -> Array:  # noqa: ARG002
        """What ``update`` is given in place of the vector; the vector itself for most."""
        return vector

    def init(self, rows: int, parameters: int) -> State:  # noqa: ARG002 - most remember nothing
        """The state before the first step, for ``rows`` trials of ``parameters`` parameters."""
        return {}

    def update(self, vector: Array, state: State, numbers: Mapping[str, Array]) -> tuple[Array, State]:
        """Transforms the vector that the update before it left.

        Args:
            vector: [R, P] the gradient, or what the chain has made of it. Never written to.
            state: as ``init`` or the last call returned it.
            numbers: [R, 1] each hyper-parameter, one per trial; NaN for None.

        Returns:
            The new vector [R, P] and the new state. The end of the chain is subtracted from the parameters.
        """
        raise NotImplementedError


class Clip(Update):
    """An update that bounds what it is given; tag ``clip``."""

    stateful: ClassVar[bool] = False
    """Whether it remembers earlier steps; such a clip has no meaning in a probe."""


class Optimizer(Update):
    """An update that turns a gradient into a step; tag ``optimizer``."""

    learning_rate: float
