"""Notes on a plan: warnings, workers per step, and the swept keys that distinguish its structures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from orchestrator.cli import show

if TYPE_CHECKING:
    from orchestrator.driver.sharing import Sharing
    from orchestrator.sweep.plan import Plan, Structure

_MOST_HINTS = 5
_MOST_VALUES = 3


def warn(plan: Plan, err: bool = True) -> None:
    """Prints a warning for settings that are legal but perhaps not intended."""
    from orchestrator.sweep.hints import hints

    texts = hints(plan)
    for text in texts[:_MOST_HINTS]:
        click.echo(f"warning: {text}", err=err)
    if len(texts) > _MOST_HINTS:
        click.echo(f"… and {len(texts) - _MOST_HINTS} more like this", err=err)


def sharing_lines(sharings: Sequence[Sharing], packs: int, workers: int, worth_s: float) -> list[str]:
    """Returns lines on how many workers a step can use; none unless there are fewer packs than workers.

    Args:
        sharings: one per structure; equal texts are printed once.
        packs: number of packs of the sweep.
        workers: number of workers.
        worth_s: ``placement.shard_seconds``.
    """
    if packs >= workers:
        return []
    available = f"{show.count(packs, 'pack')} for {show.count(workers, 'worker')}"
    texts = dict.fromkeys(_step_usage(sharing, worth_s) for sharing in sharings)
    return [f"{available}, up to {sharings[0].share:,} for each step: {text}" for text in texts][:_MOST_HINTS]


def _step_usage(sharing: Sharing, worth_s: float) -> str:
    if sharing.used == sharing.share:
        return "a step can use all of them"
    reason = f"its mini-batch has {show.count(sharing.shards, 'shard')}"
    if sharing.used == 1 < sharing.shards:
        reason = f"a shard takes less than the {worth_s:g} s of placement.shard_seconds"
    many = "all" if sharing.better == sharing.share else f"{sharing.better}"
    change = f"; batch.shards: {sharing.better} would use {many} (as new trials)" if sharing.better else ""
    return f"a step can use {sharing.used:,}, since {reason}{change}"


def distinguishing_keys(plan: Plan, rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """Returns the swept keys in which structures with equal rows differ, each with its text per structure.

    Args:
        rows: the cells that a table has for each structure of the plan.
    """
    labels = [_labels(plan, structure) for structure in plan.structures]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    alike = [list(group) for _, group in groupby(order, key=rows.__getitem__)]
    columns = [
        column
        for column in range(len(plan.keys))
        if any(len({labels[index][column] for index in group}) > 1 for group in alike)
    ]
    return {plan.keys[column]: [cells[column] for cells in labels] for column in columns}


def _labels(plan: Plan, structure: Structure) -> list[str]:
    """Returns a structure's text per key column; empty where the key varies inside its packs."""
    varying = {
        key.column for combination in structure.combinations for axis in combination.axes for key in axis.keys
    }
    return ["" if column in varying else _values(structure, column) for column in range(len(plan.keys))]


def _values(structure: Structure, column: int) -> str:
    values = list(dict.fromkeys(combination.keys[column] for combination in structure.combinations))
    texts = ["–" if value is None else str(value) for value in values[:_MOST_VALUES]]
    return ", ".join(texts + ["…"] * (len(values) > _MOST_VALUES))
