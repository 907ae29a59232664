"""The losses of a step's mini-batch at the points that an update asks for."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from orchestrator.engines.gradient import GradientSum, LossSum, Shard
from orchestrator.groups import Array
from orchestrator.training.loop import Loop
from orchestrator.training.recorder import Seconds
from orchestrator.trial.pinned import Pinned, made_ready


@np.errstate(all="ignore")  # as for gradients
def shard_losses(shared: tuple[Pinned, Array, int], shard: Shard) -> tuple[LossSum, float]:
    """Losses of one shard at ``shared`` = (structure, points [R, S, P], first), and the seconds they took.

    The first point is the ``first``-th that is asked for in the step, counted from 1: it tells apart the
    shots.
    """
    pinned, points, first = shared
    differentiator = made_ready(pinned).differentiator
    started = time.perf_counter()
    sums = [
        differentiator.loss_at(
            np.ascontiguousarray(points[:, s]), replace(shard, streams=shard.streams.again(first + s))
        )
        for s in range(points.shape[1])
    ]
    total = LossSum(np.stack([one.loss for one in sums], axis=1), reduce(add, (one.cost for one in sums)))
    return total, time.perf_counter() - started


class StepLosses:
    """What ``updates.given.Given`` has as ``losses`` in one step of a pack.

    Attributes:
        total: of the step, with the cost of all that was asked for.
        seconds: of the step, likewise.
    """

    def __init__(self, loop: Loop, shards: list[Shard], total: GradientSum, seconds: Seconds) -> None:
        self.total, self.seconds = total, seconds
        self._loop, self._shards, self._first = loop, shards, 1

    def __call__(self, points: Array) -> Array:
        """The losses [R, S] at points [R, S, P], summed over the shards in their order."""
        shared = (self._loop.pack.pinned, points, self._first)
        found, seconds = self._loop.sum_shards(shard_losses, shared, self._shards)
        self._first += points.shape[1]
        self.total = replace(self.total, cost=self.total.cost + found.cost)
        self.seconds += seconds
        return found.loss
