"""One contract for both fleets; what only Ray's can lose; how a cluster is found."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import FleetError, WorkerLost
from orchestrator.fleet.contract import Fleet, Outcome, Team
from orchestrator.fleet.inline import InlineFleet

WITHIN_S = 60.0
"""Deadline of what takes a second; a test that reaches it has failed."""


class OwnExit(BaseException):
    """Not an Exception."""


class UnpicklableError(Exception):
    """Holds what cannot be sent."""

    def __init__(self, message: str, call: Callable[[], None]) -> None:
        super().__init__(message)
        self.call = call


def nothing() -> None:
    """Prepares nothing."""


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


def process(_: Team) -> int:
    return os.getpid()


def until(condition: Callable[[], Any]) -> Any:
    """The first true value of ``condition``, asked again and again."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)
    return value


def end_of(fleet: Fleet, ticket: int) -> Outcome:
    """The outcome of the only task that is out."""
    (outcome,) = until(lambda: fleet.wait(1.0))
    assert outcome.ticket == ticket
    return outcome


def run_on(fleet: Fleet, function: Callable[..., Any], *arguments: Any, helpers: int = 0) -> Outcome:
    """Runs one task."""
    until(lambda: fleet.idle() > helpers)
    return end_of(fleet, fleet.submit(function, *arguments, helpers=helpers))


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
    ticket = fleet.submit(double, 21)
    assert end_of(fleet, ticket) == Outcome(ticket, 42)


def test_ticket_is_new_every_time(fleet: Fleet) -> None:
    first, second = (run_on(fleet, double, value).ticket for value in (1, 2))
    assert first != second


def test_submitted_task_takes_a_worker_until_it_ends(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    ticket = fleet.submit(double, 1)
    assert fleet.idle() == fleet.size - 1
    end_of(fleet, ticket)
    assert fleet.idle() == fleet.size


def test_submit_refuses_more_workers_than_are_idle(fleet: Fleet) -> None:
    until(lambda: fleet.idle() == fleet.size)
    with pytest.raises(ValueError, match=f"{fleet.size + 1} workers are wanted, {fleet.size} idle"):
        fleet.submit(double, 1, helpers=fleet.size)


def test_wait_with_nothing_out_returns_nothing(fleet: Fleet) -> None:
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


def test_error_that_does_not_pickle_is_told(fleet: Fleet) -> None:
    outcome = run_on(fleet, fail_unpicklable)
    assert not isinstance(outcome.error, WorkerLost)
    assert "cannot be sent" in str(outcome.error)
    assert "UnpicklableError: cannot be sent" in outcome.trace


def test_interrupt_of_the_process_is_not_swallowed() -> None:
    fleet = InlineFleet(nothing)
    fleet.submit(fail, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fleet.wait(1.0)


def test_value_that_does_not_pickle_is_an_error_of_the_task(ray_fleet: Fleet) -> None:
    outcome = run_on(ray_fleet, unsendable)
    assert not isinstance(outcome.error, WorkerLost)
    assert "cannot pickle '_thread.lock' object" in str(outcome.error)


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
def test_closed_fleet_leaves_no_process_behind() -> None:
    from orchestrator.fleet.ray import RayFleet

    fleet = RayFleet(1, 1, nothing)
    pid = run_on(fleet, process).value
    fleet.close()
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert fleet.size == 0


@pytest.mark.usefixtures("cluster")
def test_workers_that_die_on_arrival_end_the_fleet() -> None:
    from orchestrator.fleet.ray import RayFleet

    fleet = RayFleet(1, 1, die_at_once)
    with pytest.raises(
        FleetError, match=r"workers die before they are up; the last one said: .*no such device"
    ):
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
def test_fleet_without_workers_gives_up_waiting() -> None:
    from orchestrator.fleet.ray import RayFleet

    busy = RayFleet(1, 1, nothing)
    run_on(busy, double, 1)
    starved = RayFleet(1, 4, nothing, patience_s=0.1)
    with pytest.raises(FleetError, match="no worker has come up for 0 s; `ray status` says"):
        until(lambda: starved.wait(1.0))
    starved.close()
    busy.close()


@dataclass(frozen=True)
class Head:
    """A cluster made by ``ray start``."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            return (self.folder / "ray" / "ray_current_cluster").exists()
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a fresh user whose Ray lives in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "HOME": str(folder), "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", **more}


@contextmanager
def started(**variables: str) -> Iterator[Head]:
    """A cluster of two CPUs, stopped at the end with all that it has started."""
    ports = {name: free_port() for name in ("port", "ray-client-server-port", "dashboard-agent-listen-port")}
    options = [f"--{name}={port}" for name, port in ports.items()]
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2"]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--include-dashboard=false", *options],
                env=environment(Path(folder), **variables),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Head(ports["port"], Path(folder), process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(WITHIN_S)
            until(lambda: not processes_of(folder))


@pytest.fixture(scope="module")
def heads() -> Iterator[dict[str, Head]]:
    """A cluster that asks for no token, and one that does."""
    with (
        started(RAY_AUTH_MODE="disabled") as open_head,
        started(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="sesame") as closed_head,
    ):
        until(open_head.answers)
        until(closed_head.answers)
        yield {"open": open_head, "closed": closed_head}


JOIN = """
import sys
from orchestrator.errors import FleetError
from orchestrator.fleet.cluster import joined, running_cluster
for address in sys.argv[1:]:
    try:
        with joined(address if address != "-" else None, None, 1) as (where, workers):
            print(f"{workers} workers {where}")
    except FleetError as error:
        print(error)
print(running_cluster())
"""


def join(folder: Path, *addresses: str, **variables: str) -> list[str]:
    """What a fresh process says that joins each address (``-``: none given), then looks for a cluster."""
    done = subprocess.run(
        [sys.executable, "-c", JOIN, *addresses],
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=True,
    )
    return done.stdout.splitlines()


def test_running_cluster_is_found(heads: dict[str, Head]) -> None:
    joined, found = join(heads["open"].folder, "-")
    assert joined.startswith("2 workers on the Ray cluster at ")
    assert joined.endswith(f":{heads['open'].port}")
    assert found == "2 CPUs, 0 GPUs, 1 nodes"


def test_explicit_address_comes_before_that_in_the_environment(
    heads: dict[str, Head], tmp_path: Path
) -> None:
    head = heads["open"]
    by_name, by_variable, _ = join(tmp_path, head.address, "-", RAY_ADDRESS=head.address)
    assert by_name == by_variable == f"2 workers on the Ray cluster at {head.address}"
    (refused, _) = join(tmp_path, "127.0.0.1:9", RAY_ADDRESS=head.address)
    assert refused.startswith("no Ray cluster at 127.0.0.1:9: ")


def test_token_is_sent_where_it_is_wanted(heads: dict[str, Head]) -> None:
    found, named, _ = join(heads["closed"].folder, "-", heads["closed"].address, RAY_AUTH_TOKEN="sesame")
    assert found.startswith("2 workers on the Ray cluster at ")
    assert named == f"2 workers on the Ray cluster at {heads['closed'].address}"


def test_token_is_harmless_where_it_is_not(heads: dict[str, Head], tmp_path: Path) -> None:
    joined, _ = join(tmp_path, heads["open"].address, RAY_AUTH_TOKEN="sesame")
    assert joined == f"2 workers on the Ray cluster at {heads['open'].address}"


@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_TOKEN": "wrong"}])
def test_missing_or_wrong_token_is_told_in_one_line(
    heads: dict[str, Head], tmp_path: Path, token: dict[str, str]
) -> None:
    refused, _ = join(tmp_path, heads["closed"].address, **token)
    assert refused == (
        f"cannot join the Ray cluster at {heads['closed'].address}: "
        "it wants a token that is missing or wrong here; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
        "to the file that holds it, and RAY_AUTH_MODE=token"
    )


def test_address_without_a_cluster_is_told_in_one_line(tmp_path: Path) -> None:
    addresses = ("127.0.0.1:9", "nowhere.invalid:6379", "banana", "ray://127.0.0.1:10001", "auto")
    refused = join(tmp_path, *addresses)
    way_out = "; correct --address (or RAY_ADDRESS), or take it away to run on this machine"
    assert refused[0] == f"no Ray cluster at 127.0.0.1:9: Connection refused{way_out}"
    assert refused[1].startswith("no Ray cluster at nowhere.invalid:6379: ")
    assert (
        refused[2] == f"no Ray cluster at banana: an address is host:port, as `ray start` prints it{way_out}"
    )
    assert refused[3].startswith("no Ray cluster at ray://127.0.0.1:10001: an address is host:port")
    assert refused[4].startswith("no Ray cluster runs here; start one (`ray start --head`)")
    assert refused[5] == "None"


def test_cluster_that_is_gone_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    assert join(tmp_path) == ["None"]


def test_private_ray_of_another_program_is_not_joined(cluster: str, tmp_path: Path) -> None:
    assert join(tmp_path) == ["None"]
    (joined, _) = join(tmp_path, cluster, RAY_AUTH_TOKEN=os.environ["RAY_AUTH_TOKEN"])
    assert joined == f"4 workers on the Ray cluster at {cluster}"


LOCAL = """
import signal, time
from orchestrator.fleet.cluster import joined
own = lambda *_: None
signal.signal(signal.SIGTERM, own)
with joined("local", 3, 1) as (where, workers):
    print(workers, where, signal.getsignal(signal.SIGTERM) is own, flush=True)
    time.sleep(600)
"""


def processes_of(folder: str) -> list[str]:
    """Numbers of the processes whose command names ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if folder.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def test_local_ray_ends_with_its_program_however_that_ends() -> None:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        program = subprocess.Popen(
            [sys.executable, "-c", LOCAL],
            env=environment(Path(folder), RAY_AUTH_TOKEN="sesame"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout
        said = program.stdout.readline()
        program.kill()
        program.stdout.close()
        program.wait(WITHIN_S)
        assert said == "3 on a local Ray with 3 CPUs True\n"
        until(lambda: not processes_of(folder))


def test_no_call_of_ray_waits_without_a_timeout() -> None:
    for path in (Path(__file__).parents[1] / "orchestrator" / "fleet").glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        for call in calls:
            if ast.unparse(call.func) in ("ray.get", "ray.wait"):
                assert "timeout" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)
