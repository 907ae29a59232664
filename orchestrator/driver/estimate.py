"""Counts what a plan would cost; ``duration`` turns the counts into time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.driver.counts import Left, all_left
from orchestrator.driver.packs import pack_size
from orchestrator.process import track
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
    """The cost of what is to be run of one structure.

    Attributes:
        trials: number of trials.
        steps: number of trial-steps.
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
    trials: int
    steps: int
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


def estimates(sweep: Sweep, workers: int, left: Sequence[Left] | None = None) -> Iterator[Estimate]:
    """Counts the cost of each structure of which something is left to be run; runs nothing.

    Args:
        left: what is left of each structure; None: everything.
    """
    left = all_left(sweep.plan) if left is None else left
    total = sum(one.trials for one in left)
    structures = [pair for pair in zip(sweep.plan.structures, left, strict=True) if pair[1].trials]
    for structure, rest in track(structures, len(structures), "estimating the cost of the structures"):
        yield _estimate(structure, rest, pack_size(sweep, structure, workers, total))


def _estimate(structure: Structure, left: Left, size: int) -> Estimate:
    """Counts the cost of what is left of a structure in packs of ``size`` trials."""
    template, facts = structure.template, structure.pinned.facts
    ready = load_problem(structure.pinned)
    rows, samples = _gradient_rows(template, ready), ready.samples(template.batch)
    return Estimate(
        structure=structure,
        trials=left.trials,
        steps=left.steps,
        packs=-(-left.trials // size),
        pack_size=size,
        parameters=facts.parameters,
        parameters_dead=facts.dead,
        samples=samples,
        evaluations=left.steps * samples,
        shard_bytes=shard_bytes(template, ready, size),
        trace_bytes=left.steps * _trace_bytes(template, ready, rows) // template.steps,
        gradient_rows=left.steps * rows // template.steps,
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
