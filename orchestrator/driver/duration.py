"""How long a sweep takes: its work is counted, and costs what something small costs in this process."""

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

MEASURED_S = 2.0
"""At most so long is measured, beside what loads the kernel."""

_ROWS, _CALLS = 8, 3
"""Trials in a call that is measured, and how many such calls."""
_QUBITS, _WIDE = 10, 19
"""Qubits of the circuit that is measured; where the state is larger than a processor's cache."""

# Seconds, as measured on the sweeps in ``jobs/`` on a machine whose ``_speed`` is 1.
_LIBRARIES = 2.0
"""Until Aer, the compiled kernel and Arrow are loaded."""
_RAY = 8.0
"""Until a local Ray is there, and its workers are."""
_STEP = 0.8e-3
"""A step of a pack, whatever is in it: its batch, its chain of updates, its rows."""
_ROW = 6e-6
"""A row of ``gradients``: its statistics."""
_FINISHED_ROW = 6e-6
"""A row of ``gradients``: committed, sorted and written once more by the driver."""
_CERTIFIED_GATE = 0.6e-3
"""A gate of a circuit that is certified, once per structure and process."""


@dataclass(frozen=True)
class Duration:
    """Seconds that a sweep takes on this kind of machine.

    Attributes:
        inline: in one process, without Ray.
        on_ray: on workers, with a local Ray to be started.
        start: of ``on_ray``, until the first pack begins.
        sharing: what a step makes of the workers, for each structure; in order of its work.
    """

    inline: float
    on_ray: float
    start: float
    sharing: tuple[Sharing, ...]


def duration(estimates: Sequence[Estimate], workers: int, placement: Placement, spent_s: float) -> Duration:
    """How long a sweep takes, from the start of the command on.

    Args:
        estimates: of all structures.
        workers: W.
        placement: threads of a worker (in this process, too, from now on), and when a shard is worth one.
        spent_s: seconds that reading and checking the sweep has taken here, which a run does, too.
    """
    if any(one.qubits for one in estimates):
        use_threads(placement.threads)
    speed, until = _speed(), time.monotonic() + MEASURED_S
    with notice_if_slow("loading what computes gradients"):
        timed = [(one, _gradient_s(one, until)) for one in sorted(estimates, key=lambda one: one.work)]
    packs, worth_s = sum(one.packs for one in estimates), placement.shard_seconds
    shared = tuple(sharing(one, seconds, packs, workers, worth_s) for one, seconds in timed)
    alone = sum(_computing(one, seconds, speed) for one, seconds in timed)
    together = sum(
        _computing(one, seconds / step.used, speed)
        for (one, seconds), step in zip(timed, shared, strict=True)
    )
    certifying = speed * sum(one.certified for one in estimates) * _CERTIFIED_GATE
    finishing = speed * sum(one.gradient_rows for one in estimates) * _FINISHED_ROW
    loading = spent_s + _LIBRARIES * speed
    start = loading + (_RAY + _LIBRARIES) * speed
    return Duration(
        inline=loading + certifying + alone + finishing,
        on_ray=start + certifying + together / min(workers, packs) + finishing,
        start=start,
        sharing=shared,
    )


def _computing(one: Estimate, gradient_s: float, speed: float) -> float:
    """Seconds for all packs of a structure, one after another, from those for a gradient of one trial."""
    template = one.structure.template
    calls = one.packs * template.steps if template.mode == "train" else one.packs
    gradients = one.structure.count * template.steps * gradient_s
    return gradients + speed * (calls * _STEP + one.gradient_rows * _ROW)


def _gradient_s(one: Estimate, until: float) -> float:
    """Seconds for the gradient of a mini-batch of one trial: measured if that is quick, else by its work."""
    template = one.structure.template
    expected = one.work * _rate(template.gradient, one.qubits >= _WIDE)
    rows = 1 if one.qubits >= _WIDE else _ROWS
    if time.monotonic() + 2 * _CALLS * rows * expected > until:
        return expected
    return _measured(one.structure.pinned, rows)


def _measured(pinned: Pinned, rows: int) -> float:
    """Seconds for the gradient of one mini-batch of one trial, of ``rows`` in one call."""
    ready, seeds = load_problem(pinned), np.arange(rows, dtype=np.uint64)
    batches = Batches(ready.data, pinned.template.batch, ready.model.samples, seeds)
    shards = batches.shards(range(1), ready.model.axes)
    shared = pinned, ready.model.initial(row_streams(seeds, range(1)))
    shard_gradient(shared, shards[0])  # makes ready
    calls = (sum(shard_gradient(shared, shard)[1] for shard in shards) for _ in range(_CALLS))
    return statistics.median(calls) / rows


@cache
def _rate(engine: Engine, wide: bool) -> float:
    """Seconds for a unit of work of an engine, measured once in a process."""
    standard = pin(_standard(engine, wide))
    work = standard.template.batch.size * engine.work(load_problem(standard).model)
    return _measured(standard, 1 if wide else _ROWS) / work


def _standard(engine: Engine, wide: bool) -> Trial:
    """A small trial for an engine."""
    fields: dict[str, Any] = {"mode": "probe", "steps": 1, "gradient": engine}
    if isinstance(engine, CircuitEngine):
        matrices = engine.backend.amplitudes(_QUBITS) > 2**_QUBITS  # as large as states of twice the qubits
        qubits = _QUBITS // 2 if matrices else _WIDE if wide else _QUBITS
        circuit = Circuit(kind="circuit", qubits=qubits, layers=1)
        return Trial.parse({**fields, "model": circuit, "loss": "expectation"})
    network = {"kind": "mlp", "hidden": [100], "output": "linear"}
    data, batch = {"source": "sine"}, {"size": 32}
    return Trial.parse({**fields, "model": network, "data": data, "loss": "mse", "batch": batch})


@cache
def _speed() -> float:
    """How long Python takes here for what took 0.2 s on the machine where the constants were measured."""
    started = time.perf_counter()
    sum(number * number for number in range(3_000_000))
    return (time.perf_counter() - started) / 0.2
