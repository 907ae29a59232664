"""Joining a Ray cluster, or starting one here."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import ray
from ray._private.ray_logging import stdout_deduplicator
from ray._private.utils import read_ray_address
from ray.exceptions import RayError

from orchestrator.addresses import RAY_TOKEN_VARIABLE, bare, refusal
from orchestrator.errors import FleetError
from orchestrator.process import address_space

_CONNECT_S = 5.0
_ADDRESS_SPACE = 16 << 30
"""With 6 GB Ray's node does not come up, with 12 GB it loses objects, with 20 GB sweeps run (2 CPUs)."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
_OF_RAYLETS = re.compile("Raylet is terminated")
"""Ray would print the last lines of the log of a raylet that has died."""

_ONE_TRY: Mapping[str, str | None] = {"RAY_gcs_server_port_wait_time_s": "1"}
"""Ray asks a cluster that refuses it twenty times, for 20 s."""

TOKEN_WANTED = (
    "it wants a token that is missing or wrong here; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
    "to the file that holds it, and RAY_AUTH_MODE=token"
)


@contextmanager
def joined(
    address: str | None, workers: int | None, cpus: int, gpus: int = 0, memory: int = 0
) -> Iterator[tuple[str, int]]:
    """Joins the running Ray cluster if there is one, else starts a local one, for the time of ``with``.

    Only clusters that were started as such (``ray start``) are found: not the private one of another
    program on this machine, which would end with it.

    Args:
        address: of the cluster, host:port; None or ``auto``: RAY_ADDRESS, else the one that runs
            here, else (None only) a new one; ``local``: always a new one.
        workers: how many are wanted; None: as many as there is room for.
        cpus: CPUs of a worker.
        gpus: GPUs of a worker.
        memory: of a worker, in bytes.

    Yields:
        A sentence saying where it is, and the number of workers.

    Raises:
        FleetError: no cluster at ``address``, or it refuses us.
    """
    if ray.is_initialized():
        where = "on the Ray cluster that this process is connected to"
        yield where, workers or max(1, capacity(cpus, gpus, memory))
        return
    where = _connect(address, workers, cpus)
    try:
        yield where, workers or max(1, capacity(cpus, gpus, memory))
    finally:
        ray.shutdown()


def capacity(cpus: int, gpus: int = 0, memory: int = 0) -> int:
    """How many workers of so many CPUs, GPUs and bytes fit into the cluster; a worker is on one node."""
    needs = (("CPU", cpus), ("GPU", gpus), ("memory", memory))
    wanted = {name: count for name, count in needs if count}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(int(node.get(name, 0.0) // count) for name, count in wanted.items()) for node in nodes)


def _connect(address: str | None, workers: int | None, cpus: int) -> str:
    wanted = (os.environ.get("RAY_ADDRESS") or None) if address in (None, "auto") else address
    if wanted and (reason := refusal(wanted, RAY_TOKEN_VARIABLE)):
        raise FleetError(f"{bare(wanted)}: {reason}")
    if wanted not in (None, "auto", "local"):
        return _join(wanted)
    found = _running() if wanted != "local" else None
    if found:
        return _join(found)
    if "auto" in (address, wanted):
        raise FleetError("no Ray cluster runs here; start one (`ray start --head`), or leave the address out")
    return _start(workers, cpus)


def _running() -> str | None:
    """The cluster that ``ray start`` has left word of on this machine, unless it is gone."""
    address = read_ray_address()
    return address if address and not unreachable(address) else None


def unreachable(address: str, within_s: float = _CONNECT_S) -> str:
    """Why nothing answers at host:port; "" if something does. Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return "an address is host:port, as `ray start` prints it"
    try:
        socket.create_connection((host.strip("[]"), int(port)), within_s).close()
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def _join(address: str) -> str:
    if reason := unreachable(address):
        raise FleetError(
            f"no Ray cluster at {address}: {reason}; correct --address (or RAY_ADDRESS), "
            "or take it away to run on this machine"
        )
    if _wants_token(address):
        send_token()
    try:
        _init(_ONE_TRY, address=address)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise FleetError(f"cannot join the Ray cluster at {address}: {_explain(error)}") from None
    return f"on the Ray cluster at {address}"


def _start(workers: int | None, cpus: int) -> str:
    """A local cluster that fits; Ray counts the CPUs if that is left to it, a container's limit included."""
    limit = address_space()
    if limit is not None and limit < _ADDRESS_SPACE:
        raise FleetError(
            f"cannot start Ray here: the address space of a process is limited to {limit / 2**30:.1f} GiB "
            f"(ulimit -v), Ray needs {_ADDRESS_SPACE >> 30} GiB; lift it, or run without Ray (--inline)"
        )
    wanted = (workers or 1) * cpus
    number = wanted if workers or wanted > (os.cpu_count() or 1) else None
    try:
        _init({}, address="local", num_cpus=number, include_dashboard=False)
    except Exception as error:  # nothing narrower: so Ray says that a node was slow to start
        raise FleetError(f"cannot start Ray here: {one_line(error)}; --inline runs without it") from None
    return f"on a local Ray with {ray.cluster_resources().get('CPU', 0.0):g} CPUs"


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables for the time of ``with``; None: without this one."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _init(changes: Mapping[str, str | None], **options: Any) -> None:
    """``ray.init`` that leaves the SIGTERM handler and the environment as they were."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with environment(changes):
            ray.init(**options, **_QUIET)
        stdout_deduplicator.skip_re = _OF_RAYLETS
    finally:
        if handler is not None and signal.getsignal(signal.SIGTERM) is not handler:
            signal.signal(signal.SIGTERM, handler)


def _wants_token(address: str) -> bool:
    """Whether a cluster refuses who sends no token.

    One that has none must not be told of ours: this process would then ask its workers for it, in vain.
    """
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")(b"", timeout=_CONNECT_S)
        except grpc.RpcError:  # who answers in no way that we know is sent what we have
            return True
    return False


def send_token() -> None:
    """Ray sends its token to an explicit address only if told to."""
    places = (os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(place and Path(place).is_file() for place in places):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        ray._raylet.Config.initialize("")  # it has read the environment before


def _explain(error: BaseException) -> str:
    text = f"{error} {error.__cause__ or ''}".lower()
    if "unauthenticated" in text or "authentication" in text:
        return TOKEN_WANTED
    if "version mismatch" in text:
        return f"{one_line(error)}; install the cluster's versions here, or submit the sweep to it"
    return one_line(error)


def one_line(error: BaseException) -> str:
    """What an error says, on one line of at most 500 characters."""
    return " ".join(str(error).split())[:500]


def running_cluster() -> str | None:
    """What the cluster that ``joined`` would find has to offer; None if there is none."""
    if ray.is_initialized():
        return _resources()
    try:
        _connect("auto", None, 1)
    except FleetError:
        return None
    try:
        return _resources()
    finally:
        ray.shutdown()


def _resources() -> str:
    found = ray.cluster_resources()
    return f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs, {len(ray.nodes())} nodes"
