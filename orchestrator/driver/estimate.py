"""What a plan would cost, counted; ``duration`` turns it into time."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.driver.packs import pack_size
from orchestrator.sweep.file import Sweep
from orchestrator.sweep.plan import Structure
from orchestrator.trial.pinned import load_problem
from orchestrator.trial.problem import Problem, shard_bytes
from orchestrator.trial.trial import Trial

_STEP_ROW_BYTES = 70
_GRADIENT_ROW_BYTES = 130
_HISTOGRAM_BYTES = 40
_PARAMETER_ROW_BYTES = 10
"""Compressed size of a row, as measured on the sweeps in ``jobs/``."""


@dataclass(frozen=True)
class Estimate:
    """The cost of one structure.

    Attributes:
        packs: how many, of ``pack_size`` trials at most.
        samples: of a mini-batch.
        evaluations: gradients of single samples.
        shard_bytes: memory of the engine on one shard of a whole pack.
        trace_bytes: size of the finished tables.
        gradient_rows: of the table ``gradients``.
        work: what the gradient of a mini-batch of one trial costs, in units of the engine.
        qubits: of its widest circuit; 0 if there is none.
        certified: gates that are certified in each process.
    """

    structure: Structure
    packs: int
    pack_size: int
    parameters: int
    parameters_dead: int
    samples: int
    evaluations: int
    shard_bytes: int
    trace_bytes: int
    gradient_rows: int
    work: float
    qubits: int
    certified: int


def estimate(sweep: Sweep, structure: Structure, workers: int) -> Estimate:
    """Counts; runs nothing."""
    template, facts = structure.template, structure.pinned.facts
    ready = load_problem(structure.pinned)
    size = pack_size(sweep, structure, workers, sweep.plan.count)
    rows, samples = _gradient_rows(template, ready), ready.samples(template.batch)
    return Estimate(
        structure=structure,
        packs=-(-structure.count // size),
        pack_size=size,
        parameters=facts.parameters,
        parameters_dead=facts.dead,
        samples=samples,
        evaluations=structure.count * template.steps * samples,
        shard_bytes=shard_bytes(template, ready, size),
        trace_bytes=structure.count * _trace_bytes(template, ready, rows),
        gradient_rows=structure.count * rows,
        work=samples * ready.engine.work(ready.model),
        qubits=max((program.qubits for program in ready.model.circuits), default=0),
        certified=ready.engine.certified_gates(ready.model),
    )


def _recorded(template: Trial) -> int:
    """Steps of a trial that are recorded: every k-th from the first one on, and the last one."""
    regular, last = -(-template.steps // template.record.every), template.steps - 1
    return regular + (last % template.record.every > 0)


def _gradient_rows(template: Trial, ready: Problem) -> int:
    """Of one trial."""
    groups = len(ready.groups(template.record.components)) + len(ready.model.signals)
    return _recorded(template) * groups


def _trace_bytes(template: Trial, ready: Problem, gradient_rows: int) -> int:
    """Of one trial."""
    a_group = _GRADIENT_ROW_BYTES + _HISTOGRAM_BYTES * template.record.histogram
    kept = ready.model.parameters if template.record.parameters == "final" else 0
    return _recorded(template) * _STEP_ROW_BYTES + gradient_rows * a_group + kept * _PARAMETER_ROW_BYTES
