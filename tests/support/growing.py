"""Adds a node to a cluster and removes it; prints the size of a growing fleet after each change."""

from __future__ import annotations

import os

import ray
from ray.cluster_utils import Cluster
from waiting import until

from orchestrator.fleet import ray as fleets


def nothing() -> None:
    """Stands for the preparation of a worker; does nothing."""


def main() -> None:
    fleets._LOOK_S = 0.0
    cluster = Cluster(head_node_args={"num_cpus": 1, "include_dashboard": False}, initialize_head=True)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    fleet = fleets.RayFleet(1, 1, nothing, grows=True)
    until(lambda: fleet.wait(0.1) or fleet.idle() == fleet.size)
    before = fleet.size
    node = cluster.add_node(num_cpus=2)
    until(lambda: fleet.wait(0.1) or fleet.idle() == 3)
    with_node = fleet.size
    cluster.remove_node(node, allow_graceful=False)
    work(fleet)
    print(before, with_node, fleet.size, flush=True)
    os._exit(0)  # the caller kills the cluster faster than it shuts down


def work(fleet: fleets.RayFleet) -> None:
    """Submits tasks until the fleet has noticed the loss of the workers on the lost node."""

    def settled() -> bool:
        for _ in range(fleet.idle()):
            fleet.submit([answer])
        fleet.wait(1.0)
        return fleet.size == 1

    until(settled)


def answer(_: object) -> int:
    return 42


if __name__ == "__main__":
    main()
