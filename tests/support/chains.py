"""Chains of updates from plain data, and how to apply them."""

from __future__ import annotations

from typing import Any

import numpy as np

from orchestrator.config.families import discover
from orchestrator.groups import Array
from orchestrator.updates.base import Update
from orchestrator.updates.chain import Applied, Chain, ChainState


def parsed(*plain: dict[str, object]) -> list[Update]:
    """Parses updates as in a sweep file."""
    members = discover(Update)
    return [
        members[next(f"{tag}={item[tag]}" for tag in Update.tags if tag in item)].parse(item)
        for item in plain
    ]


def apply(
    chain: Chain, gradient: Array, state: ChainState, metric: Array | None = None, **others: Any
) -> Applied:
    """Applies a chain, with parameters and losses of 0 unless ``others`` has them."""
    given = {"parameters": np.zeros(gradient.shape), "loss": np.zeros(len(gradient)), **others}
    return chain.apply(gradient, state, metric=metric, **given)
