"""Estimates how long a sweep takes: its work is counted, and a unit of work is timed in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from orchestrator.backends.batched.threads import use_threads
from orchestrator.driver.estimate import Estimate
from orchestrator.driver.sharing import Sharing, sharing
from orchestrator.engines.base import Engine
from orchestrator.engines.circuit import CircuitEngine
from orchestrator.models.circuits.circuit import Circuit
from orchestrator.process import notice_if_slow
from orchestrator.sweep.file import Placement
from orchestrator.training.batches import Batches, row_streams
from orchestrator.training.loop import shard_gradient
from orchestrator.trial.pinned import Pinned, load_problem, pin
from orchestrator.trial.trial import Trial

_MEASURE_S = 2.0
"""Time limit of all measurements, without loading the kernel."""

_ROWS, _CALLS = 8, 3
"""Trials in a measured call, and number of such calls."""
_QUBITS, _WIDE = 10, 19
"""Qubits of the measured circuit, and from how many on a state is larger than a processor's cache."""

# Seconds, as measured on the sweeps in ``jobs/`` on a machine whose ``_slowdown`` is 1.
_LIBRARIES_S = 2.0
"""Loading Aer, the compiled kernel and Arrow."""
_RAY_S = 8.0
"""Starting a local Ray."""
_STEP_S = 0.8e-3
"""A step of a pack, beside its gradients: mini-batch, update chain, rows."""
_ROW_S = 6e-6
"""The statistics in a row of ``gradients``."""
_FINISHED_ROW_S = 6e-6
"""Committing, sorting and rewriting a row of ``gradients``, in the driver."""
_CERTIFIED_GATE_S = 0.6e-3
"""Certifying a gate of a circuit, once per structure and process."""


@dataclass(frozen=True)
class Duration:
    """Seconds that a sweep takes on this kind of machine.

    Attributes:
        inline: in one process, without Ray.
        on_ray: on workers of a Ray cluster, or of a local Ray including its start.
        start: the part of ``on_ray`` before the first pack begins.
        sharing: how a step of each structure uses the workers, sorted by ``Estimate.work``.
    """

    inline: float
    on_ray: float
    start: float
    sharing: tuple[Sharing, ...]


def duration(
    estimates: Sequence[Estimate], workers: int, placement: Placement, spent_s: float, joins: bool = False
) -> Duration:
    """Estimates how long a sweep takes, counted from the start of the command.

    Args:
        estimates: of what is to be run; not empty.
        workers: W.
        placement: threads of a worker, set in this process as well; and when a shard is worth a worker.
        spent_s: seconds that reading and checking the sweep took here; a run spends them again.
        joins: whether a Ray cluster is running that the sweep would join; otherwise it starts a local Ray.
    """
    if any(estimate.qubits for estimate in estimates):
        use_threads(placement.threads)
    slowdown, deadline = _slowdown(), time.monotonic() + _MEASURE_S
    with notice_if_slow("loading the gradient engines"):
        by_work = sorted(estimates, key=lambda estimate: estimate.work)
        timed = [(estimate, _gradient_s(estimate, deadline)) for estimate in by_work]
    packs, worth_s = sum(estimate.packs for estimate in estimates), placement.shard_seconds
    shared = tuple(sharing(estimate, seconds, packs, workers, worth_s) for estimate, seconds in timed)
    serial_s = sum(_packs_s(estimate, seconds, slowdown) for estimate, seconds in timed)
    shared_s = sum(
        _packs_s(estimate, seconds / step.used, slowdown)
        for (estimate, seconds), step in zip(timed, shared, strict=True)
    )
    certify_s = slowdown * sum(estimate.certified for estimate in estimates) * _CERTIFIED_GATE_S
    finish_s = slowdown * sum(estimate.gradient_rows for estimate in estimates) * _FINISHED_ROW_S
    load_s = spent_s + _LIBRARIES_S * slowdown
    start_s = load_s + ((0.0 if joins else _RAY_S) + _LIBRARIES_S) * slowdown  # workers load them, too
    return Duration(
        inline=load_s + certify_s + serial_s + finish_s,
        on_ray=start_s + certify_s + shared_s / min(workers, packs) + finish_s,
        start=start_s,
        sharing=shared,
    )


def _packs_s(estimate: Estimate, gradient_s: float, slowdown: float) -> float:
    """Returns the seconds for all packs of a structure in sequence; ``gradient_s`` is for one trial."""
    template = estimate.structure.template
    steps_of_packs = estimate.packs * estimate.steps / estimate.trials
    calls = steps_of_packs if template.mode == "train" else estimate.packs
    return estimate.steps * gradient_s + slowdown * (calls * _STEP_S + estimate.gradient_rows * _ROW_S)


def _gradient_s(estimate: Estimate, deadline: float) -> float:
    """Seconds for one trial's gradient of a mini-batch: measured if time is left, else from its work."""
    template = estimate.structure.template
    expected = estimate.work * _rate(template.gradient, estimate.qubits >= _WIDE)
    rows = 1 if estimate.qubits >= _WIDE else _ROWS
    if time.monotonic() + 2 * _CALLS * rows * expected > deadline:
        return expected
    return _measured(estimate.structure.pinned, rows)


def _measured(pinned: Pinned, rows: int) -> float:
    """Seconds for one trial's gradient of a mini-batch, measured on calls of ``rows`` trials."""
    ready, seeds = load_problem(pinned), np.arange(rows, dtype=np.uint64)
    batches = Batches(ready.data, pinned.template.batch, ready.model.samples, seeds)
    shards = batches.shards(range(1), ready.model.axes)
    shared = pinned, ready.model.initial(row_streams(seeds, range(1)))
    shard_gradient(shared, shards[0])  # warm-up
    calls = (sum(shard_gradient(shared, shard)[1] for shard in shards) for _ in range(_CALLS))
    return statistics.median(calls) / rows


@cache
def _rate(engine: Engine, wide: bool) -> float:
    """Seconds per unit of work of an engine, measured once per process."""
    standard = pin(_standard_trial(engine, wide))
    work = standard.template.batch.size * engine.work(load_problem(standard).model)
    return _measured(standard, 1 if wide else _ROWS) / work


def _standard_trial(engine: Engine, wide: bool) -> Trial:
    """Returns a small trial for an engine."""
    fields: dict[str, Any] = {"mode": "probe", "steps": 1, "gradient": engine}
    if isinstance(engine, CircuitEngine):
        matrices = engine.backend.amplitudes(_QUBITS) > 2**_QUBITS  # as a state of twice the qubits
        qubits = _QUBITS // 2 if matrices else _WIDE if wide else _QUBITS
        circuit = Circuit(kind="circuit", qubits=qubits, layers=1)
        return Trial.parse({**fields, "model": circuit, "loss": "expectation"})
    network = {"kind": "mlp", "hidden": [100], "output": "linear"}
    data, batch = {"source": "sine"}, {"size": 32}
    return Trial.parse({**fields, "model": network, "data": data, "loss": "mse", "batch": batch})


@cache
def _slowdown() -> float:
    """Time of a loop on this machine, relative to the 0.2 s on the machine of the constants."""
    started = time.perf_counter()
    sum(number * number for number in range(3_000_000))
    return (time.perf_counter() - started) / 0.2
