"""The placement of a sweep reaches packs, workers, helpers and Ray."""

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
    """Records the number of trial-steps whenever it has grown."""

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
def test_worker_returns_chunks_as_placement_says(
    placement: str, steps: list[int], sweep: Path, tmp_path: Path
) -> None:
    watcher = Steps()
    changes = [f"placement={placement}", "placement.pack=4"]
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes, watcher=watcher)
    assert watcher.steps == steps


class Three(InlineFleet):
    """Three workers that take turns; records how many helpers each task gets."""

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
    def open_fleet(*_: Any) -> Iterator[Three]:
        yield fleet

    monkeypatch.setattr(running, "open_fleet", open_fleet)
    return fleet


@pytest.mark.parametrize(
    ("shard_seconds", "steps", "lent"),
    [("0", [12], {1}), ("1e+9", [4, 12], {0}), ("1e-9", [4, 12], {0, 1})],
    ids=["always", "never", "if-it-takes-longer"],
)
def test_helpers_are_lent_once_a_shard_takes_the_time_of_placement(
    shard_seconds: str, steps: list[int], lent: set[int], sweep: Path, tmp_path: Path, three: Three
) -> None:
    watcher = Steps()
    changes = [f"placement.shard_seconds={shard_seconds}", "placement.chunk_seconds=1e+9"]
    orchestrator.run(sweep, tmp_path / "run", where=INLINE, overrides=changes, watcher=watcher)
    assert watcher.steps == steps
    assert set(three.lent) == lent


def test_remaining_trials_are_cut_into_packs_for_all_workers(sweep: Path, tmp_path: Path) -> None:
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
            """Reports nothing, as within one second of the last report."""

        def flush(self, counts: Progress) -> None:
            flushed.append((self.name, counts.ended, counts.steps))

    monkeypatch.setattr("orchestrator.fleet.metrics.RayMetrics", Metrics)
    orchestrator.run(sweep, tmp_path / "run")
    assert flushed == [("small", 4, 12)]


@pytest.mark.parametrize(("workers", "grows"), [(None, True), (3, False)])
def test_workers_get_the_resources_of_placement_and_of_all_engines(
    workers: int | None, grows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    @contextmanager
    def joined(*arguments: Any) -> Iterator[tuple[str, int]]:
        calls.append(arguments)
        yield "here", 5

    def fleet(workers: int, threads: int, _: Any, gpus: int, **options: Any) -> Any:
        calls.append((workers, threads, gpus, options))
        return SimpleNamespace(close=lambda: calls.append("closed"))

    monkeypatch.setattr("orchestrator.fleet.cluster.joined", joined)
    monkeypatch.setattr("orchestrator.fleet.ray.RayFleet", fleet)
    monkeypatch.setattr(placing, "on_gpus", lambda _: (SimpleNamespace(gpus=1), SimpleNamespace(gpus=2)))
    sweep = read(SWEEP, "placement={threads: 4, memory: 2GiB}")
    with placing.open_fleet(placing.Where(address="head:1", workers=workers), sweep, lambda *_: None):
        pass
    gib = 2 << 30
    assert calls == [
        ("head:1", workers, 4, 2, gib),
        (5, 4, 2, {"memory": gib, "grows": grows}),
        "closed",
    ]
