"""Runs a sweep, kills the only node that computes, adds another, prints the digest and the attempts.

python losing_a_node.py SWEEP OUT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import ray
from ray.cluster_utils import Cluster

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.driver.driver import Progress
from orchestrator.runs.digest import digest


class NodeKiller(Watcher):
    """Kills the node that made the first commits and adds another; the head has no CPU to work on."""

    def __init__(self) -> None:
        self._cluster = Cluster(
            head_node_args={"num_cpus": 0, "include_dashboard": False}, initialize_head=True
        )
        self._lost = self._cluster.add_node(num_cpus=2)
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")

    def advanced(self, progress: Progress) -> None:
        if progress.commits > 2 and self._lost:
            self._cluster.remove_node(self._lost, allow_graceful=False)
            self._lost = None
            self._cluster.add_node(num_cpus=1)


def main(sweep: str, out: str) -> None:
    orchestrator.run(sweep, out, watcher=NodeKiller())
    attempts = pd.read_parquet(Path(out) / "trials").attempts.max()
    print(digest(orchestrator.open_run(out)).total, attempts, flush=True)
    os._exit(0)  # the caller kills the cluster, which is faster than shutting it down


if __name__ == "__main__":
    main(*sys.argv[1:])
