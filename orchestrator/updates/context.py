"""Inputs of an update in addition to its vector and state, and how an update declares that it needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.groups import Array, Group

MetricForm = Literal["block-diagonal", "full", "diagonal"]
"""Entries of the metric that are used: those within a group, all, or the diagonal."""

Losses = Callable[[Array], Array]
"""Returns the losses [R, S] at points [R, S, P] of parameter space."""


@dataclass(frozen=True)
class Needs:
    """Further inputs that an update needs; most need none.

    A probe provides the metric only, because its steps are independent of one another.

    Attributes:
        parameters: the current parameters.
        step: the index of the step.
        losses: losses of the mini-batch at points that the update chooses.
        metric: the Fubini–Study metric of the circuit's state, in this form.
    """

    parameters: bool = False
    step: bool = False
    losses: bool = False
    metric: MetricForm | None = None


NO_NEEDS = Needs()


def no_losses(points: Array) -> Array:  # noqa: ARG001 - a ``Losses``
    """Raises LookupError: the default of ``StepContext.losses``."""
    raise LookupError(
        "losses exist in training only; an update that uses them must declare Needs(losses=True)"
    )


class StepContext(NamedTuple):
    """Inputs of an update in one step. A NamedTuple, because one is created per update and step.

    Attributes:
        numbers: the update's hyper-parameters by name, [R, 1] each; NaN for None.
        groups: the model's groups of parameters: their bounds and units.
        parameters: [R, P] before the step.
        loss: [R] loss of the mini-batch at the parameters.
        step: index of the step, from 0.
        steps: number of steps of the trial.
        metric: [R, W] metric of the circuit's state, the blocks of ``natural.metric_blocks`` concatenated;
            None if no update of the chain needs it.
        losses: returns the losses [R, S] of the mini-batch at points [R, S, P], for an update that needs
            them. It may be called repeatedly within a step, at points that depend on earlier results. With
            shots, every point gets new shots. The number of points must not depend on a trial's
            hyper-parameters: the cost of each point is charged to every trial of the pack.
    """

    numbers: Mapping[str, Array]
    groups: tuple[Group, ...]
    parameters: Array
    loss: Array
    step: int = 0
    steps: int = 1
    metric: Array | None = None
    losses: Losses = no_losses
