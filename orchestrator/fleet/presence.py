"""Whether the Ray cluster that this process has joined is still there.

Once the control service (GCS) of a cluster has not answered for a minute, Ray's core ends the process, with a
line of C++. A sweep is to notice before, so that it can commit what has come back, and say so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError

from orchestrator.errors import ClusterLost
from orchestrator.fleet.cluster import unreachable

_ASK_S = 1.0
_CONNECT_S = 1.0
_LIMIT = "RAY_gcs_rpc_server_reconnect_timeout_s"
_LIMIT_S = 60.0
"""After so long, or what the variable says, Ray ends the process."""

_LEAVE_S = 15.0
"""What of that is left to commit and to leave."""


class Presence:
    """Asks the control service of the cluster, and the raylet of this machine, whether they are there.

    By a connection that anybody takes: calls of Ray would wait. The kernel takes it for a process that is
    too busy to look at it, so a busy machine is not a silent one; nor is a service that is started anew in
    time.
    """

    def __init__(self) -> None:
        self.lost = False
        self._patience_s = max(1.0, float(os.environ.get(_LIMIT, _LIMIT_S)) - _LEAVE_S)
        self._asked_at = time.monotonic()
        self._silent_since: float | None = None
        places = {"control service": ray.get_runtime_context().gcs_address, "raylet": _raylet()}
        self._places = {name: place for name, place in places.items() if not _silent(place)}

    def silent(self) -> str:
        """Who takes no connection now, and where; "" if all do."""
        return next((f"{name} at {place}" for name, place in self._places.items() if _silent(place)), "")

    def check(self) -> None:
        """Asks, at most once a second. Raises ClusterLost if nobody has answered for most of Ray's limit."""
        now = time.monotonic()
        if now - self._asked_at < _ASK_S:
            return
        self._asked_at = now
        if not (silent := self.silent()):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > self._patience_s:
            raise self._loss(f"its {silent} has not answered for {now - self._silent_since:.0f} s")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What Ray raises inside is a ClusterLost if nobody answers."""
        try:
            yield
        except (OSError, RayError) as error:
            if silent := self.silent():
                raise self._loss(f"its {silent} does not answer") from error
            raise

    def _loss(self, reason: str) -> ClusterLost:
        self.lost = True
        return ClusterLost(f"the Ray cluster is gone: {reason}")


def _silent(place: str) -> bool:
    return bool(unreachable(place, _CONNECT_S))


def _raylet() -> str:
    """host:port of the raylet that this process is connected to."""
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == here)
    return f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
