"""Ray's metrics of a sweep, read from the endpoint that Prometheus reads."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass

import pytest
from waiting import until


@dataclass
class SweepCounts:
    """How far a sweep is."""

    ended: int = 0
    failed: int = 0
    steps: int = 0
    commits: int = 0
    commit_seconds: float = 0.0


def exported(sweep: str) -> dict[str, float]:
    """Ray's metrics of a sweep on this node, by name."""
    import ray

    (node,) = (node for node in ray.nodes() if node["Alive"])
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        text = answer.read().decode()
    line = rf'^ray_orchestrator_(\w+){{[^}}]*sweep="{sweep}"[^}}]*}} (\S+)$'
    return {name: float(value) for name, value in re.findall(line, text, re.MULTILINE)}


@pytest.mark.usefixtures("cluster")
def test_metrics_of_a_sweep_are_exported_by_ray() -> None:
    from orchestrator.fleet.metrics import RayMetrics

    metrics, counts = RayMetrics("exported"), SweepCounts()
    counts.ended, counts.failed, counts.steps = 5, 2, 70
    metrics.flush(counts)
    counts.ended, counts.steps, counts.commits, counts.commit_seconds = 9, 100, 2, 0.5
    metrics.report(counts)
    metrics.flush(counts)
    until(lambda: exported("exported").get("trials_done_total") == 7)
    values = exported("exported")
    assert (values["trials_failed_total"], values["steps_total"]) == (2, 100)
    assert values["commit_seconds_count"] == 1
    assert 0.1 < values["commit_seconds_sum"] < 0.3  # the mean is 0.25 s; Ray exports only its bucket


@pytest.mark.usefixtures("cluster")
def test_rate_is_the_mean_since_the_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.fleet import metrics as module

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    metrics, rates = module.RayMetrics("paced"), []
    monkeypatch.setattr(metrics._rate, "set", rates.append)
    for now[0], steps in ((0.5, 10), (2.0, 100), (4.0, 500)):
        metrics.report(SweepCounts(steps=steps))
    assert rates == [50.0, 200.0]
