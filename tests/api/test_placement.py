"""What of a sweep's placement reaches packs, workers, their helpers and Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from sweeps import read, swept

import orchestrator
from orchestrator.api import placing, running
from orchestrator.api.running import Watcher
from orchestrator.driver.driver import Progress
from orchestrator.fleet.calls import Call
from orchestrator.fleet.inline import InlineFleet

INLINE = orchestrator.Where(inline=True)
SWEEP = swept("seed: {range: 4}") + "placement: {pack: 4}\n"
"""Four trials of three steps."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SWEEP)
    return tmp_path / "a.yaml"


class Steps(Watcher):
    """Notes how many trial-steps were done, each time that there are more."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def advanced(self, progress: Progress) -> None:
        if progress.steps and progress.steps not in self.steps:
            self.steps.append(progress.steps)


@pytest.mark.parametrize(
    ("placement", "steps"),
    [
        ("{chunk_seconds: 0}", [4, 8, 12]),
        ("{chunk_seconds: 1e+9, chunk_steps: 2}", [8, 12]),
        ("{chunk_seconds: 1e+9}", [12]),
    ],
)
def test_worker_hands_back_as_placement_says(
    placement: str, steps: list[int], sweep: Path, tmp_path: Path
) -> None:
    watcher = Steps()
    changes = [f"placement={placement}", "placement.pack=4"]
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes, watcher=watcher)
    assert watcher.steps == steps


class Three(InlineFleet):
    """Three workers that take turns; notes how many helpers are lent to a task."""

    size = 3

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.lent: list[int] = []

    def submit(self, calls: Sequence[Call], helpers: int = 0) -> list[int]:
        self.lent.append(helpers)
        return super().submit(calls, helpers)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Three:
    fleet = Three()

    @contextmanager
    def placed(*_: Any) -> Iterator[Three]:
        yield fleet

    monkeypatch.setattr(running, "placed", placed)
    return fleet


@pytest.mark.parametrize(
    ("shard_seconds", "steps", "lent"),
    [("0", [12], {1}), ("1e+9", [4, 12], {0}), ("1e-9", [4, 12], {0, 1})],
    ids=["always", "never", "if-it-costs-more"],
)
def test_helpers_are_lent_once_a_shard_is_known_to_cost_what_placement_says(
    shard_seconds: str, steps: list[int], lent: set[int], sweep: Path, tmp_path: Path, three: Three
) -> None:
    watcher = Steps()
    changes = [f"placement.shard_seconds={shard_seconds}", "placement.chunk_seconds=1e+9"]
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes, watcher=watcher)
    assert watcher.steps == steps
    assert set(three.lent) == lent


def test_what_is_left_of_a_sweep_is_cut_into_packs_for_all_workers(sweep: Path, tmp_path: Path) -> None:
    for seeds in (32, 40):
        changes = ["placement.pack=null", f"sweep.0.seed={{range: {seeds}}}"]
        orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes)
    trials = pd.read_parquet(tmp_path / "run" / "trials")
    assert trials[trials.seed >= 32].groupby("pack").size().tolist() == [2, 2, 2, 2]


@pytest.mark.usefixtures("three")
def test_last_counts_reach_the_metrics_of_ray(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, int, int]] = []

    class Metrics:
        def __init__(self, name: str) -> None:
            self.name = name

        def report(self, counts: Progress) -> None:
            """Waits for its second."""

        def flush(self, counts: Progress) -> None:
            flushed.append((self.name, counts.ended, counts.steps))

    monkeypatch.setattr("orchestrator.fleet.metrics.RayMetrics", Metrics)
    orchestrator.run(sweep, tmp_path / "run")
    assert flushed == [("small", 4, 12)]


@pytest.mark.parametrize(("workers", "grows"), [(None, True), (3, False)])
def test_workers_are_asked_for_as_placement_and_the_neediest_engine_say(
    workers: int | None, grows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    @contextmanager
    def joined(*needs: Any) -> Iterator[tuple[str, int]]:
        asked.append(needs)
        yield "here", 5

    def fleet(*needs: Any, **options: Any) -> Any:
        asked.append((needs[0], needs[1], needs[3], options))
        return SimpleNamespace(close=lambda: asked.append("closed"))

    monkeypatch.setattr("orchestrator.fleet.cluster.joined", joined)
    monkeypatch.setattr("orchestrator.fleet.ray.RayFleet", fleet)
    monkeypatch.setattr(placing, "on_gpus", lambda _: (SimpleNamespace(gpus=1), SimpleNamespace(gpus=2)))
    sweep = read(SWEEP, "placement={threads: 4, memory: 2GiB}")
    with placing.placed(placing.Where(address="head:1", workers=workers), sweep, lambda *_: None):
        pass
    gib = 2 << 30
    assert asked == [
        ("head:1", workers, 4, 2, gib),
        (5, 4, 2, {"memory": gib, "grows": grows}),
        "closed",
    ]
