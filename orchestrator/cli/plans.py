"""What verbs say about a plan: what tells its structures apart, and what its author may not have meant."""

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
    """Prints what is legal and perhaps not meant."""
    from orchestrator.sweep.hints import hints

    found = hints(plan)
    for hint in found[:_MOST_HINTS]:
        click.echo(f"warning: {hint}", err=err)
    if len(found) > _MOST_HINTS:
        click.echo(f"… and {len(found) - _MOST_HINTS} more like this", err=err)


def sharing(found: Sequence[Sharing], packs: int, workers: int, worth_s: float) -> list[str]:
    """How many workers a step can use, where there are fewer packs than workers; each text once."""
    if packs >= workers:
        return []
    here = f"{show.count(packs, 'pack')} for {show.count(workers, 'worker')}"
    texts = dict.fromkeys(_shared(one, worth_s) for one in found)
    return [f"{here}, up to {found[0].share:,} for a step: {text}" for text in texts][:_MOST_HINTS]


def _shared(one: Sharing, worth_s: float) -> str:
    if one.used == one.share:
        return "it can use all"
    why = f"its mini-batch has {show.count(one.shards, 'shard')}"
    if one.used == 1 < one.shards:
        why = f"a shard takes less than the {worth_s:g} s of placement.shard_seconds"
    many = "all" if one.better == one.share else f"{one.better}"
    change = f"; batch.shards: {one.better} would use {many} (as new trials)" if one.better else ""
    return f"it can use {one.used:,}, since {why}{change}"


def telling(plan: Plan, rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """The swept keys in which structures differ whose rows look alike, and what each structure shows there.

    Args:
        rows: what a table shows of each structure of the plan.
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
    """What a structure has in each key column; nothing where the key varies inside of its packs."""
    free = {key.column for one in structure.combinations for axis in one.axes for key in axis.keys}
    return ["" if column in free else _values(structure, column) for column in range(len(plan.keys))]


def _values(structure: Structure, column: int) -> str:
    values = list(dict.fromkeys(combination.keys[column] for combination in structure.combinations))
    texts = ["–" if value is None else str(value) for value in values[:_MOST_VALUES]]
    return ", ".join(texts + ["…"] * (len(values) > _MOST_VALUES))
