"""The same sweep gives the same bits, on any workers and in any packs, chunks and commits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sweeps import NETWORK

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.driver.driver import Progress
from orchestrator.runs.digest import digest

INLINE = orchestrator.Where(inline=True)


@pytest.fixture(scope="module")
def expected(mixed_sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the mixed sweep, computed in this process without a stop."""
    return computed(mixed_sweep, tmp_path_factory.mktemp("expected"), INLINE)


def computed(sweep: Path, out: Path, where: orchestrator.Where, *placement: str) -> str:
    """Runs a sweep and returns the digest."""
    result = orchestrator.run(sweep, out, where=where, overrides=[f"placement.{text}" for text in placement])
    assert result.finished
    assert result.failed == 0
    return digest(orchestrator.open_run(out)).total


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.usefixtures("cluster")
def test_bits_do_not_depend_on_the_number_of_workers(
    mixed_sweep: Path, expected: str, workers: int, tmp_path: Path
) -> None:
    assert computed(mixed_sweep, tmp_path, orchestrator.Where(workers=workers)) == expected


@pytest.mark.parametrize("pack", [1, 2, 3, 64])
def test_bits_do_not_depend_on_the_size_of_packs(
    mixed_sweep: Path, expected: str, pack: int, tmp_path: Path
) -> None:
    assert computed(mixed_sweep, tmp_path, INLINE, f"pack={pack}") == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_do_not_depend_on_the_number_of_threads(
    mixed_sweep: Path, expected: str, threads: int, tmp_path: Path
) -> None:
    assert computed(mixed_sweep, tmp_path, INLINE, f"threads={threads}") == expected


@pytest.mark.parametrize(
    "placement",
    [("chunk_steps=1", "commit_seconds=0"), ("chunk_steps=4", "commit_seconds=0"), ("commit_seconds=1e9",)],
    ids=["every step", "every fourth step", "once"],
)
def test_bits_do_not_depend_on_commits(
    mixed_sweep: Path, expected: str, placement: tuple[str, ...], tmp_path: Path
) -> None:
    assert computed(mixed_sweep, tmp_path, INLINE, *placement) == expected


def test_bits_do_not_depend_on_the_folder_of_a_sweep(tmp_path: Path) -> None:
    digests = set()
    for name in ("here", "elsewhere"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rows.csv").write_text("u,v,y\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(12)))
        (folder / "small.yaml").write_text(
            NETWORK.replace("{source: moons, rows: 20}", "{source: file, path: rows.csv, target: y}")
        )
        digests.add(computed(folder / "small.yaml", folder / "run", INLINE))
    assert len(digests) == 1


@pytest.mark.parametrize("mode", ["train", "probe"])
@pytest.mark.usefixtures("cluster")
def test_bits_do_not_depend_on_the_workers_of_shards(mixed_sweep: Path, mode: str, tmp_path: Path) -> None:
    updates = "base.updates=[]" if mode == "probe" else "base.updates.0=null"
    one_pack = [f"base.mode={mode}", updates, "sweep=[{seed: {range: 3}}]", "placement={chunk_steps: 2}"]
    for name, where in (("here", INLINE), ("spread", orchestrator.Where(workers=3))):
        overrides = [*one_pack, "placement.pack=64", "placement.shard_seconds=0"]
        orchestrator.run(mixed_sweep, tmp_path / name, where=where, overrides=overrides)
    here, spread = (orchestrator.open_run(tmp_path / name) for name in ("here", "spread"))
    assert digest(here).total == digest(spread).total


class Stopper(Watcher):
    """Stops a sweep after its first few commits."""

    def __init__(self, commits: int) -> None:
        self._commits = commits

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
        self._stop = stop
        return super().running(stop)

    def advanced(self, progress: Progress) -> None:
        if progress.commits >= self._commits:
            self._stop()


def test_bits_do_not_depend_on_stops_and_pack_sizes_after_them(
    mixed_sweep: Path, expected: str, tmp_path: Path
) -> None:
    portions = ["placement.chunk_steps=2", "placement.commit_seconds=0"]
    for pack in (5, 2, 3, 7):
        overrides = [*portions, f"placement.pack={pack}"]
        stopped = orchestrator.run(
            mixed_sweep, tmp_path, where=INLINE, overrides=overrides, watcher=Stopper(3)
        )
        assert not stopped.finished
    assert computed(mixed_sweep, tmp_path, INLINE) == expected


def test_mixed_sweep_has_done_and_diverged_trials(mixed_sweep: Path, tmp_path: Path) -> None:
    computed(mixed_sweep, tmp_path, INLINE)
    assert set(pd.read_parquet(tmp_path / "trials").status) == {"done", "diverged"}


def test_another_seed_gives_other_bits(mixed_sweep: Path, expected: str, tmp_path: Path) -> None:
    orchestrator.run(mixed_sweep, tmp_path, where=INLINE, overrides=["sweep.1.seed={range: [1, 4]}"])
    assert digest(orchestrator.open_run(tmp_path)).total != expected
