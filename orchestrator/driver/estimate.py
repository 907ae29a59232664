"""Counts what a plan would cost; ``duration`` turns the counts into time."""

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
        packs: number of packs, each of at most ``pack_size`` trials.
        samples: number of samples in a mini-batch.
        evaluations: number of gradients of single samples.
        shard_bytes: working memory of the engine on one shard of a full pack.
        trace_bytes: size of the finished tables.
        gradient_rows: number of rows of the table ``gradients``.
        work: cost of one trial's gradient of a mini-batch, in units of the engine.
        qubits: number of qubits of the widest circuit; 0 if there is none.
        certified: number of gates that each process certifies.
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
    """Counts the cost of a structure; runs nothing."""
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


def _recorded_steps(template: Trial) -> int:
    """Number of recorded steps of a trial: every k-th, starting with the first, and the last."""
    regular, last = -(-template.steps // template.record.every), template.steps - 1
    return regular + (last % template.record.every > 0)


def _gradient_rows(template: Trial, ready: Problem) -> int:
    """Number of rows of ``gradients`` of one trial."""
    groups = len(ready.groups(template.record.components)) + len(ready.model.signals)
    return _recorded_steps(template) * groups


def _trace_bytes(template: Trial, ready: Problem, gradient_rows: int) -> int:
    """Size of the finished tables of one trial."""
    row_bytes = _GRADIENT_ROW_BYTES + _HISTOGRAM_BYTES * template.record.histogram
    parameters = ready.model.parameters if template.record.parameters == "final" else 0
    step_bytes = _recorded_steps(template) * _STEP_ROW_BYTES
    return step_bytes + gradient_rows * row_bytes + parameters * _PARAMETER_ROW_BYTES
