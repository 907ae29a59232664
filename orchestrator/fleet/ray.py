"""A fleet of long-lived Ray actors, all made by the driver.

An actor is lost with its process; the calls of its task are reported as lost and a new actor takes its place.
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
"""How long a fleet waits while it has no worker at all: at its start, or after it has lost them."""

_LOOK_S = 5.0
"""How often a fleet that grows looks for room."""

_MOST_START_FAILURES = 5


@dataclass(frozen=True)
class _Task:
    """A task on its way.

    Attributes:
        tickets: of its calls.
        workers: the one that runs it, and its helpers.
    """

    tickets: list[int]
    workers: list[Any]


class RayFleet:
    """Actors on the Ray cluster that this process has joined; see ``driver.driver.Fleet``.

    They start in the background. ``idle`` and ``wait`` raise FleetError when none comes up, and ClusterLost
    when the cluster is gone.

    Args:
        workers: how many actors.
        cpus: CPUs that each takes in the cluster.
        prepare: called once in every actor before its first task.
        gpus: GPUs that each takes; it sees no others.
        patience_s: how long to wait while there is no worker at all.
        memory: that Ray sets aside for each, in bytes.
        grows: whether to follow the cluster: workers for nodes that join, none in place of those that left.

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
        """Number of workers, busy, idle or on their way."""
        return len(self._idle) + len(self._starting) + len(self._returning) + len(self._busy())

    def idle(self) -> int:
        """Workers that are up and have nothing to do."""
        with self._presence.explained():
            self._admit()
        return len(self._idle)

    def submit(self, calls: Sequence[Call], helpers: int = 0) -> list[int]:
        """Starts a task on an idle worker; its helpers are idle ones too."""
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
        """Calls that ended; returns early, perhaps with none, when a worker has come up."""
        self._presence.check()
        with self._presence.explained():
            return self._ended(timeout_s)

    def _ended(self, timeout_s: float) -> list[CallOutcome]:
        pending = [*self._tasks, *self._starting, *self._returning]
        done, _ = ray.wait(pending, timeout=timeout_s) if pending else ([], [])
        if done:  # collect whatever else is there
            done, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        self._admit()
        ended = sorted((one for one in done if one in self._tasks), key=lambda one: self._tasks[one].tickets)
        return [outcome for one in ended for outcome in self._end(one, self._tasks.pop(one))]

    def close(self) -> None:
        """Kills the actors, where there is still a cluster."""
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
        else:  # whoever still answers becomes idle again
            self._returning |= {worker.ready.remote(): worker for worker in task.workers}
        return outcomes

    def _admit(self) -> None:
        """Moves workers that have come up to the idle ones; replaces those that did not."""
        for waiting in (self._starting, self._returning):
            done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if waiting else ([], [])
            for one in done:
                actor = waiting.pop(one)
                (outcome,) = fetch(one, 0)
                if outcome.error is None:
                    self._idle.append(actor)
                    self._start_failures = 0
                else:
                    ray.kill(actor)
                    self._replace(outcome.error, at_start=waiting is self._starting)
        self._follow_the_cluster()
        self._refuse_to_wait_for_ever()

    def _follow_the_cluster(self) -> None:
        """Starts workers on nodes that have joined; gives up those that wait for a node that has left."""
        if not self._grows or time.monotonic() - self._looked_at < _LOOK_S or self._presence.silent():
            return
        self._looked_at = time.monotonic()
        missing = max(1, capacity(*self._needs)) - self.size
        for _ in range(missing):
            self._start_one()
        for reference in list(self._starting)[: max(0, -missing)]:
            ray.kill(self._starting.pop(reference))

    def _replace(self, error: BaseException, at_start: bool) -> None:
        self._start_failures += at_start
        if self._start_failures < _MOST_START_FAILURES:
            if not self._grows or self.size < max(1, capacity(*self._needs)):
                self._start_one()
        elif not self.size:
            raise FleetError(f"workers die before they are up; the last one said: {error}")

    def _refuse_to_wait_for_ever(self) -> None:
        if self._idle or self._tasks:
            self._last_worker_seen_at = time.monotonic()
        elif time.monotonic() - self._last_worker_seen_at > self._patience_s:
            raise FleetError(
                f"no worker has come up for {self._patience_s:.0f} s; `ray status` says what is taken"
            )


def _refuse_infeasible(workers: int, cpus: int, gpus: int, memory: int) -> None:
    places, found = capacity(cpus, gpus, memory), ray.cluster_resources()
    if workers <= places:
        return
    wanted, there = [f"{cpus} CPU"], [f"{found.get('CPU', 0.0):g} CPUs"]
    if gpus:
        wanted, there = [*wanted, f"{gpus} GPU"], [*there, f"{found.get('GPU', 0.0):g} GPUs"]
    if memory:
        wanted, there = [*wanted, _gib(memory)], [*there, _gib(found.get("memory", 0.0))]
    way_out = "ask for fewer --workers, for fewer placement.threads"
    way_out += ", for less placement.memory" if memory else ""
    way_out += ", or enlarge the cluster"
    if gpus and not capacity(0, gpus):
        way_out = "add a node with a GPU, or take trials that need none"
    raise FleetError(
        f"{workers} workers with {' and '.join(wanted)} each do not fit: "
        f"the cluster has {' and '.join(there)}, room for {places}; {way_out}"
    )


def _gib(count: float) -> str:
    return f"{count / 2**30:.3g} GiB"
