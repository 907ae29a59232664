"""A fleet of long-lived Ray actors, all made by the driver.

An actor is lost with its process; its task is reported as lost and a new actor takes its place.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayError, RayTaskError

from orchestrator.errors import FleetError, WorkerLost
from orchestrator.fleet.contract import Outcome
from orchestrator.fleet.inline import Alone

START_TIMEOUT_S = 120.0
"""How long the first worker may take to come up."""
_POLL_S = 1.0
_MOST_DEAD_ON_ARRIVAL = 5
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
_LOST = (RayActorError, ObjectLostError)


@ray.remote(max_restarts=0, max_task_retries=0)
class Worker:
    """An actor that runs what it is handed."""

    def __init__(self, prepare: Callable[[], None]) -> None:
        prepare()

    def ready(self) -> int:
        """Answers with its process id once it is up."""
        return os.getpid()

    def run(self, function: Callable[..., Any], helpers: list[Any], arguments: tuple[Any, ...]) -> Any:
        """Runs a task with the helpers that were lent to it."""
        return function(RayTeam(helpers) if helpers else Alone(), *arguments)

    def call(self, function: Callable[[Any, Any], Any], shared: Any, item: Any) -> Any:
        """Helps another worker: one item of its ``map``."""
        return function(shared, item)


class RayTeam:
    """This worker and the helpers lent to it; see ``contract.Team``."""

    def __init__(self, helpers: list[Any]) -> None:
        self._helpers = helpers
        self.size = len(helpers) + 1

    def map(self, function: Callable[[Any, Any], Any], shared: Any, items: Sequence[Any]) -> list[Any]:
        """Item i goes to member i modulo size; member 0 is this process."""
        reference = ray.put(shared)
        away = {
            self._helpers[i % self.size - 1].call.remote(function, reference, item): i
            for i, item in enumerate(items)
            if i % self.size
        }
        results = {i: function(shared, item) for i, item in enumerate(items) if i % self.size == 0}
        while away:
            done, _ = ray.wait(list(away), timeout=_POLL_S)
            for one in done:
                results[away.pop(one)] = _fetch(one)
        return [results[i] for i in range(len(items))]


def _fetch(reference: Any) -> Any:
    try:
        return ray.get(reference, timeout=START_TIMEOUT_S)
    except _LOST as error:
        raise WorkerLost(_one_line(error)) from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


@dataclass
class _Running:
    lead: Any
    helpers: list[Any]
    ticket: int


class RayFleet:
    """Actors on the Ray cluster that this process has joined; see ``contract.Fleet``.

    Args:
        workers: how many actors.
        cpus: CPUs that each takes in the cluster.
        prepare: called once in every actor before its first task.

    Raises:
        FleetError: the cluster is too small, or its workers do not come up.
    """

    def __init__(self, workers: int, cpus: int, prepare: Callable[[], None]) -> None:
        _refuse_infeasible(workers, cpus)
        self.size = workers
        self._new = lambda: Worker.options(num_cpus=cpus).remote(prepare)
        self._starting: dict[Any, tuple[Any, bool]] = {}
        self._idle: list[Any] = []
        self._running: dict[Any, _Running] = {}
        self._tickets = 0
        self._dead_on_arrival = 0
        for _ in range(workers):
            self._start_one()
        self._await_first()

    def idle(self) -> int:
        """Workers that are up and have nothing to do."""
        self._welcome(0)
        return len(self._idle)

    def submit(self, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> int:
        """Starts a task on an idle worker; its helpers are idle ones too."""
        lead, lent = self._idle.pop(), [self._idle.pop() for _ in range(helpers)]
        self._tickets += 1
        reference = lead.run.remote(function, lent, arguments)
        self._running[reference] = _Running(lead, lent, self._tickets)
        return self._tickets

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Ended tasks; also notices workers that have come up."""
        pending = [*self._running, *self._starting]
        if not pending:
            return []
        done, _ = ray.wait(pending, timeout=timeout_s)
        if done:  # collect whatever else is there
            done, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        self._welcome(0)
        return [self._end(one, self._running.pop(one)) for one in done if one in self._running]

    def close(self) -> None:
        """Kills the actors."""
        members = [*self._idle, *(actor for actor, _ in self._starting.values())]
        for running in self._running.values():
            members += [running.lead, *running.helpers]
        for actor in members:
            ray.kill(actor)
        self._idle, self._starting, self._running = [], {}, {}

    def _start_one(self) -> None:
        actor = self._new()
        self._starting[actor.ready.remote()] = (actor, True)

    def _await_first(self) -> None:
        done, _ = ray.wait(list(self._starting), timeout=START_TIMEOUT_S)
        if not done:
            self.close()
            raise FleetError(
                f"no worker came up within {START_TIMEOUT_S:.0f} s; see `ray status` and the Ray logs"
            )
        self._welcome(0)

    def _welcome(self, timeout_s: float) -> None:
        """Moves workers that have come up to the idle ones; replaces those that died on the way."""
        if not self._starting:
            return
        done, _ = ray.wait(list(self._starting), num_returns=len(self._starting), timeout=timeout_s)
        for one in done:
            actor, new = self._starting.pop(one)
            try:
                ray.get(one, timeout=START_TIMEOUT_S)
                self._idle.append(actor)
                self._dead_on_arrival = 0
            except RayError as error:
                self._replace(error, new)

    def _replace(self, error: RayError, new: bool) -> None:
        self._dead_on_arrival += new
        if self._dead_on_arrival >= _MOST_DEAD_ON_ARRIVAL:
            self.close()
            raise FleetError(f"workers die before they are up; the last one said: {_one_line(error)}")
        self._start_one()

    def _end(self, reference: Any, running: _Running) -> Outcome:
        members = [running.lead, *running.helpers]
        try:
            value = ray.get(reference, timeout=START_TIMEOUT_S)
        except _LOST as error:
            self._take_back(members)
            return Outcome(running.ticket, error=WorkerLost(_one_line(error)))
        except RayTaskError as error:
            self._take_back(members)
            cause = error.cause if isinstance(error.cause, BaseException) else error
            return Outcome(running.ticket, error=cause, trace=str(error))
        except (RayError, GetTimeoutError) as error:  # out of memory, an answer that cannot be fetched
            self._take_back(members)
            return Outcome(running.ticket, error=WorkerLost(_one_line(error)), trace=traceback.format_exc())
        self._idle += members
        return Outcome(running.ticket, value)

    def _take_back(self, members: list[Any]) -> None:
        """After a failure: whoever still answers becomes idle again, the others are replaced."""
        for actor in members:
            self._starting[actor.ready.remote()] = (actor, False)


def _refuse_infeasible(workers: int, cpus: int) -> None:
    total = ray.cluster_resources().get("CPU", 0.0)
    if workers * cpus > total:
        raise FleetError(
            f"{workers} workers of {cpus} CPU want {workers * cpus} CPUs, the cluster has {total:g}; "
            "use fewer --workers or a larger cluster"
        )


@contextmanager
def joined(address: str | None, workers: int | None, cpus: int) -> Iterator[tuple[str, int]]:
    """Joins the running Ray cluster if there is one, else starts a local one, for the time of ``with``.

    Args:
        address: of the cluster; None: whichever runs here; ``local``: always a new one.
        workers: how many are wanted; None: as many as there are CPUs for.
        cpus: CPUs of a worker.

    Yields:
        A sentence saying where it is, and the number of workers.

    Raises:
        FleetError: no cluster at ``address``, or it refuses us.
    """
    connected_before = ray.is_initialized()
    where = "on the Ray cluster that this process is connected to"
    if not connected_before:
        where = _connect(address, workers, cpus)
    try:
        total = int(ray.cluster_resources().get("CPU", 0.0))
        yield where, workers or max(1, total // cpus)
    finally:
        if not connected_before:
            ray.shutdown()


def _connect(address: str | None, workers: int | None, cpus: int) -> str:
    if address != "local":
        if address or os.environ.get("RAY_ADDRESS"):
            _send_token()
        try:
            context = ray.init(address=address or "auto", **_QUIET)
            return f"on the Ray cluster at {context.address_info['gcs_address']}"
        except ConnectionError as error:
            if address or os.environ.get("RAY_ADDRESS"):
                raise FleetError(
                    f"no Ray cluster at {address or os.environ['RAY_ADDRESS']}: {_one_line(error)}"
                ) from None
        except (RuntimeError, ValueError, RayError) as error:
            raise FleetError(f"cannot join the Ray cluster: {_explain(error)}") from None
    cpu_count = max(os.cpu_count() or 1, (workers or 0) * cpus)
    ray.init(address="local", num_cpus=cpu_count, include_dashboard=False, **_QUIET)
    return f"on a local Ray with {cpu_count} CPUs"


def _send_token() -> None:
    """Ray sends its token to an explicit address only if told to."""
    places = (os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place and Path(place).is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _explain(error: Exception) -> str:
    text = _one_line(error)
    if any(word in text.lower() for word in ("unauthenticated", "token", "401", "403")):
        return (
            f"{text} (it wants a token: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, and RAY_AUTH_MODE=token)"
        )
    return text


def running_cluster() -> str | None:
    """What a running cluster that `run` would join has to offer; None if there is none."""
    if ray.is_initialized():
        return _resources()
    _send_token()
    try:
        ray.init(address=os.environ.get("RAY_ADDRESS") or "auto", **_QUIET)
    except (ConnectionError, RuntimeError, ValueError, RayError):
        return None
    try:
        return _resources()
    finally:
        ray.shutdown()


def _resources() -> str:
    found = ray.cluster_resources()
    return f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs, {len(ray.nodes())} nodes"
