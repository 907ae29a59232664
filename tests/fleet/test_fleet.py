"""One contract for both fleets, and the failures that only Ray's can have."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleets import call, end_of, nothing, run_on, run_together
from paths import ROOT, SUPPORT
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
)
from waiting import WITHIN_S, end, until

from orchestrator.driver.driver import Fleet
from orchestrator.errors import Fault, FleetError, InputError, WorkerCrashed, WorkerLost, WorkerOutOfMemory
from orchestrator.fleet.calls import CallOutcome
from orchestrator.fleet.inline import InlineFleet
from orchestrator.training.loop import Team

PREEMPTED = NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED


class OwnExit(BaseException):
    """An exception that is not an ``Exception``."""


class UnpicklableError(Exception):
    """Holds a function that cannot be pickled."""

    def __init__(self, message: str, call: Callable[[], None]) -> None:
        super().__init__(message)
        self.call = call


def double(_: Team, value: int) -> int:
    return 2 * value


def fail(_: Team, error: type[BaseException], *arguments: Any) -> None:
    raise error(*arguments)


def fail_unpicklable(_: Team) -> None:
    raise UnpicklableError("cannot be sent", lambda: None)


def unsendable(_: Team) -> Any:
    return threading.Lock()


def mapped(team: Team, items: list[int]) -> list[tuple[int, int]]:
    return team.map(times, 10, items)


def times(shared: int, item: int) -> tuple[int, int]:
    return shared * item, os.getpid()


def map_failing(team: Team, size: int) -> list[Any]:
    return team.map(fail_in_helper, os.getpid(), range(size))


def fail_in_helper(lead: int, item: int) -> None:
    if os.getpid() != lead:
        raise ValueError(f"helper of {lead} got {item}")


def die(_: Team) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def map_killing(team: Team, size: int) -> list[Any]:
    return team.map(die_in_helper, os.getpid(), range(size))


def die_in_helper(lead: int, _: int) -> None:
    if os.getpid() != lead:
        os.kill(os.getpid(), signal.SIGKILL)


def note(_: Team, done: list[int], number: int) -> tuple[int, int]:
    """Returns how many calls of the task were done before, and the process id."""
    done.append(number)
    return len(done) - 1, os.getpid()


def process(_: Team) -> int:
    return os.getpid()


@pytest.fixture(scope="module")
def ray_fleet(cluster: str) -> Iterator[Any]:  # noqa: ARG001 - Ray must run
    from orchestrator.fleet.ray import RayFleet

    fleet = RayFleet(3, 1, nothing)
    yield fleet
    fleet.close()


@pytest.fixture(params=["inline", "ray"])
def fleet(request: pytest.FixtureRequest) -> Any:
    return InlineFleet(nothing) if request.param == "inline" else request.getfixturevalue("ray_fleet")


def test_outcome_carries_the_value(fleet: Fleet) -> None:
    until(fleet.idle)
    (ticket,) = fleet.submit([call(double, 21)])
    assert end_of(fleet, ticket) == CallOutcome(ticket, 42)


def test_ticket_is_new_every_time(fleet: Fleet) -> None:
    first, second = (run_on(fleet, double, value).ticket for value in (1, 2))
    assert first != second


def test_submitted_task_takes_a_worker_until_it_ends(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    (ticket,) = fleet.submit([call(double, 1)])
    assert fleet.idle() == fleet.size - 1
    end_of(fleet, ticket)
    assert fleet.idle() == fleet.size


def test_calls_of_a_task_are_done_in_order_by_one_worker(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    done: list[int] = []
    outcomes = run_together(fleet, *(call(note, done, number) for number in range(3)))
    assert [before for before, _ in (outcome.value for outcome in outcomes)] == [0, 1, 2]
    assert len({worker for _, worker in (outcome.value for outcome in outcomes)}) == 1
    assert fleet.idle() == fleet.size


def test_worker_is_busy_until_the_last_call_of_its_task_has_ended(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    tickets = fleet.submit([call(double, 1), call(double, 2)])
    while tickets:
        assert fleet.idle() == fleet.size - 1
        for outcome in fleet.wait(1.0):
            tickets.remove(outcome.ticket)
    assert fleet.idle() == fleet.size


def test_call_that_raises_does_not_affect_the_others_of_its_task(fleet: Fleet) -> None:
    before, raised, after = run_together(
        fleet, call(double, 1), call(fail, ValueError, "too small"), call(double, 3)
    )
    assert (before.value, before.error, after.value, after.error) == (2, None, 6, None)
    assert isinstance(raised.error, ValueError)
    assert "ValueError: too small" in raised.trace
    until(lambda: fleet.idle() == fleet.size)


def test_helpers_are_refused_to_a_task_of_several_calls(ray_fleet: Fleet) -> None:
    until(lambda: ray_fleet.idle() == 3)
    with pytest.raises(ValueError, match="helpers are lent to a task of one call, not of 2"):
        ray_fleet.submit([call(double, 1), call(double, 2)], helpers=1)
    assert ray_fleet.idle() == 3


def test_submit_refuses_more_workers_than_are_idle(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    with pytest.raises(ValueError, match=f"the task needs {fleet.size + 1} workers, {fleet.size} are idle"):
        fleet.submit([call(double, 1)], helpers=fleet.size)


def test_wait_without_a_running_task_returns_nothing(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    assert fleet.wait(0.01) == []


def test_map_keeps_the_order_of_items(fleet: Fleet) -> None:
    for helpers in range(fleet.size):
        for count in (0, 1, 5):
            results = run_on(fleet, mapped, list(range(count)), helpers=helpers).value
            assert [value for value, _ in results] == [10 * item for item in range(count)]
            assert len({pid for _, pid in results}) == min(count, 1 + helpers)


def test_error_comes_back_with_its_traceback(fleet: Fleet) -> None:
    outcome = run_on(fleet, fail, ValueError, "too small")
    assert isinstance(outcome.error, ValueError)
    assert "in fail\n    raise error(*arguments)\nValueError: too small" in outcome.trace
    assert run_on(fleet, double, 1).value == 2


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, OwnExit])
def test_exit_is_an_error_of_the_task_not_the_end_of_the_worker(
    fleet: Fleet, error: type[BaseException]
) -> None:
    worker = run_on(fleet, process).value
    outcome = run_on(fleet, fail, error, 3)
    assert not isinstance(outcome.error, WorkerLost)
    assert f"{error.__name__}: 3" in outcome.trace
    until(lambda: fleet.idle() == fleet.size)
    assert worker in {pid for _, pid in run_on(fleet, mapped, [0, 1, 2], helpers=fleet.size - 1).value}


def test_error_that_does_not_pickle_is_reported(fleet: Fleet) -> None:
    outcome = run_on(fleet, fail_unpicklable)
    assert not isinstance(outcome.error, WorkerLost)
    assert "cannot be sent" in str(outcome.error)
    assert "UnpicklableError: cannot be sent" in outcome.trace


def test_faults_come_back_one_by_one(fleet: Fleet) -> None:
    faults = [Fault("data.path", "is not there"), Fault("steps", "is 0", "a.yaml", 3)]
    outcome = run_on(fleet, fail, InputError, faults)
    assert isinstance(outcome.error, InputError)
    assert outcome.error.faults == tuple(faults)


def test_interrupt_of_the_process_is_not_swallowed() -> None:
    fleet = InlineFleet(nothing)
    fleet.submit([call(fail, KeyboardInterrupt)])
    with pytest.raises(KeyboardInterrupt):
        fleet.wait(1.0)


def test_value_that_does_not_pickle_is_an_error_of_the_task(ray_fleet: Fleet) -> None:
    outcome = run_on(ray_fleet, unsendable)
    assert not isinstance(outcome.error, WorkerLost)
    assert "cannot pickle '_thread.lock' object" in str(outcome.error)


def test_value_that_does_not_pickle_makes_the_other_calls_retryable(ray_fleet: Fleet) -> None:
    for outcome in run_together(ray_fleet, call(double, 1), call(unsendable)):
        assert type(outcome.error) is WorkerLost
        assert "cannot pickle '_thread.lock' object" in str(outcome.error)
    assert run_on(ray_fleet, double, 1).value == 2


def test_error_in_a_helper_comes_back_with_its_traceback(ray_fleet: Fleet) -> None:
    outcome = run_on(ray_fleet, map_failing, 3, helpers=2)
    assert isinstance(outcome.error, ValueError)
    assert "in map_failing" in outcome.trace
    assert "in fail_in_helper" in outcome.trace


def test_killed_worker_is_lost_and_replaced(ray_fleet: Fleet) -> None:
    until(lambda: ray_fleet.idle() == 3)
    outcome = run_on(ray_fleet, die)
    assert isinstance(outcome.error, WorkerLost)
    assert "\n" not in str(outcome.error)
    assert ray_fleet.size == 3
    until(lambda: ray_fleet.idle() == 3)
    assert run_on(ray_fleet, double, 4).value == 8


def test_worker_that_dies_loses_its_whole_task_and_single_calls_succeed(ray_fleet: Fleet) -> None:
    until(lambda: ray_fleet.idle() == 3)
    calls = [call(double, 1), call(die), call(double, 3)]
    assert all(isinstance(outcome.error, WorkerLost) for outcome in run_together(ray_fleet, *calls))
    until(lambda: ray_fleet.idle() == 3)
    first, second, third = (run_together(ray_fleet, alone)[0] for alone in calls)
    assert (first.value, third.value) == (2, 6)
    assert isinstance(second.error, WorkerLost)
    until(lambda: ray_fleet.idle() == 3)


def test_killed_worker_has_crashed_once_ray_detects_it(ray_fleet: Fleet) -> None:
    """On a busy machine Ray may first report the worker as unavailable."""
    until(lambda: isinstance(run_on(ray_fleet, die).error, WorkerCrashed))


def died(message: str, reason: int) -> RayError:
    """Ray's error for a dead actor whose node was drained for this reason, or was not (0)."""
    node = NodeDeathInfo(reason=reason)
    return ActorDiedError(
        ActorDiedErrorContext(actor_id=bytes(16), error_message=message, node_death_info=node)
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (died("The actor is dead because its worker process has died.", 0), WorkerCrashed),
        (died("The actor is dead because its node has died.", 0), WorkerLost),
        (died("The actor is dead because its worker process has died.", PREEMPTED), WorkerLost),
        (
            OutOfMemoryError("killed due to the node running low on memory"),
            WorkerOutOfMemory,
        ),
        (ActorUnavailableError("RpcError: Socket closed", bytes(16)), WorkerLost),
        (ObjectLostError(28 * "f", "", ""), WorkerLost),
    ],
)
def test_error_of_ray_for_a_lost_worker_gives_its_class(error: RayError, expected: type[WorkerLost]) -> None:
    from orchestrator.fleet.actor import loss

    assert type(loss(error)) is expected


def test_killed_helper_is_lost_and_replaced(ray_fleet: Fleet) -> None:
    outcome = run_on(ray_fleet, map_killing, 3, helpers=2)
    assert isinstance(outcome.error, WorkerLost)
    until(lambda: ray_fleet.idle() == 3)
    assert len(run_on(ray_fleet, mapped, [1, 2, 3], helpers=2).value) == 3


def test_worker_killed_while_idle_is_lost_with_its_next_task(ray_fleet: Fleet) -> None:
    until(lambda: ray_fleet.idle() == 3)
    workers = {pid for _, pid in run_on(ray_fleet, mapped, [0, 1, 2], helpers=2).value}
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert isinstance(run_on(ray_fleet, double, 1).error, WorkerLost)
    until(lambda: run_on(ray_fleet, double, 1).value == 2)


@pytest.mark.usefixtures("cluster")
def test_closed_fleet_leaves_no_process() -> None:
    from orchestrator.fleet.ray import RayFleet

    fleet = RayFleet(1, 1, nothing)
    pid = run_on(fleet, process).value
    fleet.close()
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert fleet.size == 0


@pytest.mark.usefixtures("cluster")
def test_workers_that_fail_at_their_start_end_the_fleet() -> None:
    from orchestrator.fleet.ray import RayFleet

    fleet = RayFleet(1, 1, die_at_once)
    with pytest.raises(FleetError, match=r"workers fail at their start; the last error: .*no such device"):
        until(lambda: fleet.wait(1.0))
    assert fleet.size == 0


def die_at_once() -> None:
    raise OSError("no such device")


@pytest.mark.usefixtures("cluster")
def test_more_workers_than_fit_are_refused_at_once() -> None:
    from orchestrator.fleet.ray import RayFleet

    with pytest.raises(
        FleetError, match="3 workers with 2 CPU each do not fit: the cluster has 4 CPUs, room for 2"
    ):
        RayFleet(3, 2, nothing)


@pytest.mark.usefixtures("cluster")
def test_more_memory_than_available_is_refused_at_once() -> None:
    from orchestrator.fleet.ray import RayFleet

    text = r"1 workers with 1 CPU and 1e\+06 GiB each do not fit: .* 4 CPUs and .* GiB, room for 0; .*memory"
    with pytest.raises(FleetError, match=text):
        RayFleet(1, 1, nothing, memory=10**6 << 30)


@pytest.mark.usefixtures("cluster")
def test_memory_is_reserved_for_a_worker() -> None:
    import ray

    from orchestrator.fleet.ray import RayFleet

    before = ray.available_resources()["memory"]
    fleet = RayFleet(1, 1, nothing, memory=64 << 20)
    until(lambda: ray.available_resources()["memory"] <= before - (64 << 20))
    fleet.close()


@pytest.mark.long
@pytest.mark.usefixtures("own_ray")
def test_workers_follow_nodes_that_join_and_leave() -> None:
    script = SUPPORT / "growing.py"
    command = [sys.executable, str(script)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    with process:
        try:
            output, _ = process.communicate(timeout=2 * WITHIN_S)
        finally:
            end(process)
    assert output.splitlines()[-1] == "1 3 1"


@pytest.mark.usefixtures("cluster")
def test_fleet_without_workers_gives_up_waiting() -> None:
    from orchestrator.fleet.ray import RayFleet

    busy = RayFleet(1, 1, nothing)
    run_on(busy, double, 1)
    starved = RayFleet(1, 4, nothing, patience_s=0.1)
    with pytest.raises(FleetError, match="no worker has started for 0 s; `ray status` shows"):
        until(lambda: starved.wait(1.0))
    starved.close()
    busy.close()


def test_no_call_of_ray_waits_without_a_timeout() -> None:
    for path in (ROOT / "orchestrator" / "fleet").glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        for node in calls:
            if ast.unparse(node.func) in ("ray.get", "ray.wait"):
                assert "timeout" in {keyword.arg for keyword in node.keywords}, ast.unparse(node)
