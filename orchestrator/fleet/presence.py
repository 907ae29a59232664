"""Detects the loss of the Ray cluster that this process has joined.

Once the control service (GCS) of a cluster has not answered for a minute, Ray's core ends the process, with
an error message from C++. The driver must notice the loss earlier, to commit its rows and to report it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError

from orchestrator.errors import ClusterLost
from orchestrator.fleet.address import unreachable

_POLL_S = 1.0
_CONNECT_S = 1.0
_LIMIT = "RAY_gcs_rpc_server_reconnect_timeout_s"
_LIMIT_S = 60.0
"""Ray ends the process after this time, or that of the variable."""

_LEAVE_S = 15.0
"""The part of that time that is reserved for the last commit and the exit."""


class Presence:
    """Polls the control service of the cluster and the raylet of this machine.

    It opens a plain TCP connection, as calls of Ray would wait. The kernel accepts the connection even if the
    process is too busy to, so a busy service does not count as lost. Nor does one that restarts in time.
    """

    def __init__(self) -> None:
        self.lost = False
        self._patience_s = max(1.0, float(os.environ.get(_LIMIT, _LIMIT_S)) - _LEAVE_S)
        self._polled_at = time.monotonic()
        self._silent_since: float | None = None
        services = {"control service": ray.get_runtime_context().gcs_address, "raylet": _raylet()}
        self._services = {name: address for name, address in services.items() if not _silent(address)}

    def silent(self) -> str:
        """Returns the first service that accepts no connection, with its address; "" if all accept one."""
        return next(
            (f"{name} at {address}" for name, address in self._services.items() if _silent(address)), ""
        )

    def check(self) -> None:
        """Polls, at most once a second. Raises ClusterLost after a silence of most of Ray's time limit."""
        now = time.monotonic()
        if now - self._polled_at < _POLL_S:
            return
        self._polled_at = now
        if not (silent := self.silent()):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > self._patience_s:
            raise self._loss(f"its {silent} has not answered for {now - self._silent_since:.0f} s")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns an exception of Ray into ClusterLost if a service is silent."""
        try:
            yield
        except (OSError, RayError) as error:
            if silent := self.silent():
                raise self._loss(f"its {silent} does not answer") from error
            raise

    def _loss(self, reason: str) -> ClusterLost:
        self.lost = True
        return ClusterLost(f"the Ray cluster is gone: {reason}")


def _silent(address: str) -> bool:
    return bool(unreachable(address, _CONNECT_S))


def _raylet() -> str:
    """Returns host:port of the raylet that this process is connected to."""
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == here)
    return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
