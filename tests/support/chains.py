"""Chains of updates from plain data, and one pass through them."""

from __future__ import annotations

from typing import Any

import numpy as np

from orchestrator.config.families import discover
from orchestrator.groups import Array
from orchestrator.updates.base import Update
from orchestrator.updates.chain import Applied, Chain, ChainState


def parsed(*plain: dict[str, object]) -> list[Update]:
    """A chain from what stands in a sweep file."""
    members = discover(Update)
    return [
        members[next(f"{tag}={item[tag]}" for tag in Update.tags if tag in item)].parse(item)
        for item in plain
    ]


def apply(
    chain: Chain, gradient: Array, state: ChainState, metric: Array | None = None, **others: Any
) -> Applied:
    """A pass through a chain, at parameters and a loss of 0 unless ``others`` name some."""
    given = {"parameters": np.zeros(gradient.shape), "loss": np.zeros(len(gradient)), **others}
    return chain.apply(gradient, state, metric=metric, **given)
