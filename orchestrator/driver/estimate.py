"""What a plan would cost: counted where it can be, measured where it must."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.driver.packs import Packer, pack_size
from orchestrator.sweep.file import Sweep
from orchestrator.sweep.plan import Plan, Structure
from orchestrator.sweep.problem import problem, shard_bytes
from orchestrator.training.advance import Limits, advance
from orchestrator.training.walk import Team

_STEP_ROW_BYTES = 70
_GRADIENT_ROW_BYTES = 130
_HISTOGRAM_BYTES = 40
_PARAMETER_ROW_BYTES = 10
"""Compressed size of a row, as measured on the sweeps in ``jobs/``."""

_MEASURED_SECONDS = 2.0
_ROUND_TRIP_SECONDS = 0.002


@dataclass(frozen=True)
class Estimate:
    """The cost of one structure.

    Attributes:
        packs: how many, of ``pack_size`` trials at most.
        evaluations: gradients of single samples.
        shard_bytes: memory of the engine on one shard of a whole pack.
        trace_bytes: size of the finished tables.
    """

    structure: Structure
    packs: int
    pack_size: int
    parameters: int
    parameters_dead: int
    evaluations: int
    shard_bytes: int
    trace_bytes: int


def estimate(sweep: Sweep, structure: Structure, workers: int) -> Estimate:
    """Counts; runs nothing."""
    template = structure.template
    ready = problem(template)
    size = pack_size(sweep, structure, workers, sweep.plan.count)
    return Estimate(
        structure=structure,
        packs=-(-structure.count // size),
        pack_size=size,
        parameters=ready.model.parameters,
        parameters_dead=int(ready.model.dead.sum()),
        evaluations=structure.count * template.steps * template.batch.size,
        shard_bytes=shard_bytes(template, ready, size),
        trace_bytes=structure.count * _trace_bytes(structure),
    )


def _trace_bytes(structure: Structure) -> int:
    template = structure.template
    ready, record = problem(template), template.record
    recorded = -(-template.steps // record.every)
    groups = len(ready.groups(record.components)) + len(ready.model.signals)
    a_group = _GRADIENT_ROW_BYTES + _HISTOGRAM_BYTES * record.histogram
    kept = ready.model.parameters if record.parameters == "final" else 0
    return recorded * (_STEP_ROW_BYTES + groups * a_group) + kept * _PARAMETER_ROW_BYTES


def estimate_seconds(plan: Plan, estimates: Sequence[Estimate], team: Team, workers: int) -> float:
    """Time that the sweep takes on ``workers`` of this machine's kind.

    Runs a few steps of as many structures as fit into two seconds and takes the others to cost as
    much per evaluation.
    """
    started = time.monotonic()
    seconds = evaluations = 0.0
    for one in sorted(estimates, key=lambda e: -e.evaluations):
        if evaluations and time.monotonic() - started > _MEASURED_SECONDS:
            break
        seconds += _measured(plan, one, team)
        evaluations += one.evaluations
    total = sum(one.evaluations for one in estimates)
    busy = min(workers, sum(one.packs for one in estimates))
    return seconds * total / evaluations / busy


def _measured(plan: Plan, one: Estimate, team: Team) -> float:
    """Seconds that one worker needs for a structure, from a few steps of its first pack."""
    alone = Plan(plan.keys, plan.key_types, (one.structure,))
    pack = next(Packer(alone, lambda _: one.pack_size).packs()).pack
    steps = min(5, pack.template.steps)
    advance(team, pack, Limits(1, 0.0))  # compiles, loads the data, certifies
    started = time.perf_counter()
    advance(team, pack, Limits(steps, 60.0))
    a_step = (time.perf_counter() - started) / steps
    return (a_step * pack.template.steps + _ROUND_TRIP_SECONDS) * one.packs
