"""What an update is given beside its vector and its state, and what it may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.groups import Array, Group

MetricForm = Literal["block-diagonal", "full", "diagonal"]
"""Which entries of the metric count: those inside a group, all, or those of single parameters."""

Losses = Callable[[Array], Array]
"""From points [R, S, P] to [R, S], the losses there."""


@dataclass(frozen=True)
class Needs:
    """What an update asks for; most ask for nothing.

    A probe gives none but the metric, as its steps stand alone.

    Attributes:
        parameters: where the trial stands.
        step: which step it is.
        losses: of the mini-batch, at points that the update chooses.
        metric: which entries of the metric of a circuit's state.
    """

    parameters: bool = False
    step: bool = False
    losses: bool = False
    metric: MetricForm | None = None


NO_NEEDS = Needs()


def no_losses(points: Array) -> Array:  # noqa: ARG001 - as of ``Losses``
    """What stands for losses where there are none to be had; raises LookupError."""
    raise LookupError("only training has losses to give; an update that asks for them says so in `needs`")


class StepContext(NamedTuple):
    """What an update is context. A NamedTuple, as one is made for every update in every step.

    Attributes:
        numbers: [R, 1] each of its hyper-parameters, one per trial; NaN for None.
        groups: where the model's groups of parameters start and stop, and their units.
        parameters: [R, P], before the step.
        loss: [R] of the mini-batch, at the parameters.
        step: index of the step, from 0.
        steps: how many the trial has.
        metric: [R, W] of a circuit's state, the blocks of ``natural.metric_blocks`` one after another; for an
            update that needs it.
        losses: [R, S] of the mini-batch at points [R, S, P], for an update that needs them. It may be called
            many times in one step, at points that follow from the answers before. With shots, every point is
            measured anew. How many points are asked for must not depend on the numbers of a trial, as each is
            booked for every trial of the pack.
    """

    numbers: Mapping[str, Array]
    groups: tuple[Group, ...]
    parameters: Array
    loss: Array
    step: int = 0
    steps: int = 1
    metric: Array | None = None
    losses: Losses = no_losses
