"""A fleet of long-lived Ray actors, all started by the driver.

When an actor's process dies, the calls of its task are reported as lost and a new actor is started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import ray

from orchestrator.errors import FleetError
from orchestrator.fleet.actor import ACTOR, fetch
from orchestrator.fleet.calls import Call, CallOutcome, check_task
from orchestrator.fleet.cluster import capacity
from orchestrator.fleet.presence import Presence

PATIENCE_S = 300.0
"""How long a fleet waits without any worker, at its start or after losing all of them."""

_LOOK_S = 5.0
"""Interval at which a growing fleet compares its size with the cluster's capacity."""

_MOST_START_FAILURES = 5


@dataclass(frozen=True)
class _Task:
    """A running task.

    Attributes:
        tickets: tickets of its calls.
        workers: the worker that runs it, then its helpers.
    """

    tickets: list[int]
    workers: list[Any]


class RayFleet:
    """Actors on the Ray cluster that this process has joined; a ``driver.driver.Fleet``.

    They start in the background. ``idle`` and ``wait`` raise FleetError if none starts, and ClusterLost if
    the cluster is gone.

    Args:
        workers: number of actors.
        cpus: CPUs per actor.
        prepare: called once in every actor before its first task.
        gpus: GPUs per actor; it sees no others.
        patience_s: how long to wait without any worker.
        memory: memory that Ray reserves per actor, in bytes.
        grows: whether the fleet follows the cluster: it starts workers on nodes that join, and does not
            replace those of nodes that leave.

    Raises:
        FleetError: the cluster is too small.
    """

    def __init__(
        self,
        workers: int,
        cpus: int,
        prepare: Callable[[], None],
        gpus: int = 0,
        patience_s: float = PATIENCE_S,
        memory: int = 0,
        grows: bool = False,
    ) -> None:
        self._needs, self._prepare, self._grows = (cpus, gpus, memory), ray.put(prepare), grows
        _refuse_infeasible(workers, *self._needs)
        self._patience_s = patience_s
        self._last_worker_seen_at = self._looked_at = time.monotonic()
        self._starting: dict[Any, Any] = {}
        self._returning: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._tasks: dict[Any, _Task] = {}
        self._tickets, self._start_failures = count(1), 0
        self._presence = Presence()
        for _ in range(workers):
            self._start_one()

    @property
    def size(self) -> int:
        """Number of workers: busy, idle or starting."""
        return len(self._idle) + len(self._starting) + len(self._returning) + len(self._busy())

    def idle(self) -> int:
        """Returns the number of workers that are up and have no task."""
        with self._presence.explained():
            self._admit()
        return len(self._idle)

    def submit(self, calls: Sequence[Call], helpers: int = 0) -> list[int]:
        """Starts a task on an idle worker, with other idle workers as helpers."""
        check_task(calls, helpers, len(self._idle))
        lead, *lent = workers = [self._idle.pop() for _ in range(1 + helpers)]
        tickets = [next(self._tickets) for _ in calls]
        with self._presence.explained():
            reference = lead.run.remote(tickets, calls, lent)
        self._tasks[reference] = _Task(tickets, workers)
        return tickets

    def _busy(self) -> list[Any]:
        return [worker for task in self._tasks.values() for worker in task.workers]

    def wait(self, timeout_s: float) -> list[CallOutcome]:
        """Returns the calls that ended; returns early, perhaps without one, when a worker has started."""
        self._presence.check()
        with self._presence.explained():
            return self._ended(timeout_s)

    def _ended(self, timeout_s: float) -> list[CallOutcome]:
        pending = [*self._tasks, *self._starting, *self._returning]
        done, _ = ray.wait(pending, timeout=timeout_s) if pending else ([], [])
        if done:  # collect all others that are ready
            done, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        self._admit()
        ended = sorted((ref for ref in done if ref in self._tasks), key=lambda ref: self._tasks[ref].tickets)
        return [outcome for ref in ended for outcome in self._end(ref, self._tasks.pop(ref))]

    def close(self) -> None:
        """Kills the actors, unless the cluster is lost."""
        if self._presence.lost:
            return
        for actor in (*self._idle, *self._starting.values(), *self._returning.values(), *self._busy()):
            ray.kill(actor)
        self._idle, self._starting, self._returning, self._tasks = [], {}, {}, {}

    def _start_one(self) -> None:
        cpus, gpus, memory = self._needs
        options = {"num_cpus": cpus, "num_gpus": gpus, "memory": memory or None}
        actor = ACTOR.options(**options).remote(self._prepare)
        self._starting[actor.ready.remote()] = actor

    def _end(self, reference: Any, task: _Task) -> list[CallOutcome]:
        outcomes = fetch(reference, *task.tickets)
        if all(outcome.error is None for outcome in outcomes):
            self._idle += task.workers
        else:  # the workers that still answer become idle again
            self._returning |= {worker.ready.remote(): worker for worker in task.workers}
        return outcomes

    def _admit(self) -> None:
        """Adds workers that are ready to the idle ones; replaces those that failed."""
        for waiting in (self._starting, self._returning):
            done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if waiting else ([], [])
            for reference in done:
                actor = waiting.pop(reference)
                (outcome,) = fetch(reference, 0)
                if outcome.error is None:
                    self._idle.append(actor)
                    self._start_failures = 0
                else:
                    ray.kill(actor)
                    self._replace_failed(outcome.error, at_start=waiting is self._starting)
        self._follow_the_cluster()
        self._refuse_endless_wait()

    def _follow_the_cluster(self) -> None:
        """Starts workers on nodes that have joined; kills starting ones for which no node is left."""
        if not self._grows or time.monotonic() - self._looked_at < _LOOK_S or self._presence.silent():
            return
        self._looked_at = time.monotonic()
        missing = max(1, capacity(*self._needs)) - self.size
        for _ in range(missing):
            self._start_one()
        for reference in list(self._starting)[: max(0, -missing)]:
            ray.kill(self._starting.pop(reference))

    def _replace_failed(self, error: BaseException, at_start: bool) -> None:
        self._start_failures += at_start
        if self._start_failures < _MOST_START_FAILURES:
            if not self._grows or self.size < max(1, capacity(*self._needs)):
                self._start_one()
        elif not self.size:
            raise FleetError(f"workers fail at their start; the last error: {error}")

    def _refuse_endless_wait(self) -> None:
        if self._idle or self._tasks:
            self._last_worker_seen_at = time.monotonic()
        elif time.monotonic() - self._last_worker_seen_at > self._patience_s:
            raise FleetError(
                f"no worker has started for {self._patience_s:.0f} s; `ray status` shows what is taken"
            )


def _refuse_infeasible(workers: int, cpus: int, gpus: int, memory: int) -> None:
    room, total = capacity(cpus, gpus, memory), ray.cluster_resources()
    if workers <= room:
        return
    needs, resources = [f"{cpus} CPU"], [f"{total.get('CPU', 0.0):g} CPUs"]
    if gpus:
        needs, resources = [*needs, f"{gpus} GPU"], [*resources, f"{total.get('GPU', 0.0):g} GPUs"]
    if memory:
        needs, resources = [*needs, _gib(memory)], [*resources, _gib(total.get("memory", 0.0))]
    way_out = "ask for fewer --workers, for fewer placement.threads"
    way_out += ", for less placement.memory" if memory else ""
    way_out += ", or enlarge the cluster"
    if gpus and not capacity(0, gpus):
        way_out = "add a node with a GPU, or run trials that need none"
    raise FleetError(
        f"{workers} workers with {' and '.join(needs)} each do not fit: "
        f"the cluster has {' and '.join(resources)}, room for {room}; {way_out}"
    )


def _gib(count: float) -> str:
    return f"{count / 2**30:.3g} GiB"
