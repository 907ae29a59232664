"""Joins a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import ray
from ray._private.ray_logging import stdout_deduplicator
from ray._private.utils import read_ray_address
from ray.exceptions import RayError

from orchestrator.errors import FleetError
from orchestrator.fleet.address import cluster_to_join, given, unreachable
from orchestrator.process import address_space

_CONNECT_S = 5.0
_ADDRESS_SPACE = 16 << 30
"""With 6 GB Ray's node does not start, with 12 GB it loses objects, with 20 GB sweeps run (2 CPUs)."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
_SUPPRESSED = re.compile("Raylet is terminated")
"""Suppressed output: Ray prints the end of the log of a raylet that has died."""

_ONE_ATTEMPT: Mapping[str, str | None] = {"RAY_gcs_server_port_wait_time_s": "1"}
"""Limits Ray to one attempt on a cluster that refuses it; else it makes twenty in 20 s."""

TOKEN_REQUIRED = (
    "it requires a token, which is missing or wrong here; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
    "to the file that holds it, and RAY_AUTH_MODE=token"
)


@contextmanager
def joined(
    address: str | None, workers: int | None, cpus: int, gpus: int = 0, memory: int = 0
) -> Iterator[tuple[str, int]]:
    """Joins the running Ray cluster if there is one, else starts a local one, for the time of ``with``.

    It finds only clusters started with ``ray start``. It does not join the private cluster of another program
    on this machine, which would end with that program.

    Args:
        address: host:port of the cluster; None or ``auto``: RAY_ADDRESS, else the cluster that runs here,
            else (None only) a new one; ``local``: always a new one.
        workers: number of workers; None: as many as the cluster has room for.
        cpus: CPUs per worker.
        gpus: GPUs per worker.
        memory: memory per worker, in bytes.

    Yields:
        Text that says where the cluster is, and the number of workers.

    Raises:
        FleetError: no cluster at ``address``, or it refuses this process.
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
    """Returns how many workers with these CPUs, GPUs and bytes fit; each worker is on one node."""
    resources = (("CPU", cpus), ("GPU", gpus), ("memory", memory))
    needs = {name: count for name, count in resources if count}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(int(node.get(name, 0.0) // count) for name, count in needs.items()) for node in nodes)


def _connect(address: str | None, workers: int | None, cpus: int) -> str:
    target = cluster_to_join(address)
    if found := find(address):
        return _join(found)
    if "auto" in (address, target):
        raise FleetError("no Ray cluster runs here; start one (`ray start --head`), or leave the address out")
    return _start(workers, cpus)


def find(address: str | None = None) -> str | None:
    """Returns the address of the cluster that ``joined`` joins, without joining it; None: it joins none.

    A given address counts untried. The cluster that runs here is at the address that ``ray start`` has
    stored; it counts if it answers.
    """
    target, _ = given(address, "RAY_ADDRESS")
    if target not in (None, "auto"):
        return None if target == "local" else target
    running = read_ray_address()
    return running if running and not unreachable(running) else None


def _join(address: str) -> str:
    if _requires_token(address):
        send_token()
    try:
        _init(_ONE_ATTEMPT, address=address)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise FleetError(f"cannot join the Ray cluster at {address}: {_explain(error)}") from None
    return f"on the Ray cluster at {address}"


def _start(workers: int | None, cpus: int) -> str:
    """Starts a local cluster with enough CPUs.

    Without ``workers`` Ray counts the CPUs itself, within a container's limit, unless a worker needs more.
    """
    limit = address_space()
    if limit is not None and limit < _ADDRESS_SPACE:
        raise FleetError(
            f"cannot start Ray here: the address space of a process is limited to {limit / 2**30:.1f} GiB "
            f"(ulimit -v), Ray needs {_ADDRESS_SPACE >> 30} GiB; raise it, or run without Ray (--inline)"
        )
    needed = (workers or 1) * cpus
    count = needed if workers or needed > (os.cpu_count() or 1) else None
    try:
        _init({}, address="local", num_cpus=count, include_dashboard=False)
    except Exception as error:  # Ray raises a bare Exception if a node is slow to start
        raise FleetError(f"cannot start Ray here: {one_line(error)}; --inline runs without it") from None
    return f"on a local Ray with {ray.cluster_resources().get('CPU', 0.0):g} CPUs"


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Sets environment variables for the time of ``with``; None unsets one."""
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
    """Calls ``ray.init``, and restores the SIGTERM handler and the environment."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with environment(changes):
            ray.init(**options, **_QUIET)
        stdout_deduplicator.skip_re = _SUPPRESSED
    finally:
        if handler is not None and signal.getsignal(signal.SIGTERM) is not handler:
            signal.signal(signal.SIGTERM, handler)


def _requires_token(address: str) -> bool:
    """Whether a cluster refuses a request without a token.

    A cluster without tokens must not be sent one: this process would then ask its workers for it, in vain.
    """
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/CheckAlive")(b"", timeout=_CONNECT_S)
        except grpc.RpcError:  # an unknown answer: try with the token
            return True
    return False


def send_token() -> None:
    """Makes Ray send its token, if there is one, also to an explicit address."""
    paths = (os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or any(path and Path(path).is_file() for path in paths):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        ray._raylet.Config.initialize("")  # Ray has read the environment before


def _explain(error: BaseException) -> str:
    text = f"{error} {error.__cause__ or ''}".lower()
    if "unauthenticated" in text or "authentication" in text:
        return TOKEN_REQUIRED
    if "version mismatch" in text:
        return f"{one_line(error)}; install the cluster's versions here, or submit the sweep to it"
    return one_line(error)


def one_line(error: BaseException) -> str:
    """Returns the message of an error on one line of at most 500 characters."""
    return " ".join(str(error).split())[:500]


def running_cluster() -> str | None:
    """Describes the resources of the cluster that ``joined`` would find; None if there is none."""
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
    total = ray.cluster_resources()
    return f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs, {len(ray.nodes())} nodes"
