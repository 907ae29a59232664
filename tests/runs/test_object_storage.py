"""A sweep with its run on object storage: it is run, stopped, continued, and read with several tools."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from object_store import DENIED
from sweeps import swept

import orchestrator
from orchestrator.api.running import Watcher
from orchestrator.cli import orchestrator as command_line
from orchestrator.driver.driver import Progress
from orchestrator.errors import RunDirectoryError
from orchestrator.runs.control import Control
from orchestrator.runs.storage.opening import storage
from orchestrator.sweep.file import load

INLINE = orchestrator.Where(inline=True)
PORTIONS = ["placement={pack: 3, chunk_steps: 1, commit_seconds: 0}"]


class Stopper(Watcher):
    """Stops the sweep after its second commit."""

    def running(self, stop: Callable[[], None]) -> AbstractContextManager[Any]:
        self._stop = stop
        return super().running(stop)

    def advanced(self, progress: Progress) -> None:
        if progress.commits >= 2:
            self._stop()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(swept("updates.0.limit: [0.01, 1]", "seed: {range: 3}"))
    return tmp_path / "small.yaml"


def output(*arguments: str | Path) -> str:
    """Returns the output of a command, with single spaces between words."""
    result = CliRunner().invoke(command_line, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_stopped_run_goes_on_and_every_tool_reads_it_by_its_uri(
    sweep: Path, bucket: str, store_url: str, tmp_path: Path
) -> None:
    stopped = orchestrator.run(sweep, bucket, where=INLINE, overrides=PORTIONS, watcher=Stopper())
    assert (stopped.out, stopped.finished) == (bucket, False)
    assert not orchestrator.open_run(bucket).finished
    ended = output("run", sweep, "--inline", "--out", bucket)
    assert f"orchestrator analyse {bucket}" in ended
    orchestrator.run(sweep, tmp_path / "local", where=INLINE)

    order = ["trial", "step"]
    expected = pd.read_parquet(tmp_path / "local" / "steps").sort_values(order, ignore_index=True)
    kept = [name for name in expected.columns if not name.startswith("seconds")]
    by_pandas = pd.read_parquet(f"{bucket}/steps").sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(by_pandas[kept], expected[kept])
    options = {"aws_endpoint_url": store_url, "aws_allow_http": "true"}
    by_polars = pl.read_parquet(f"{bucket}/steps/*.parquet", storage_options=options)
    assert by_polars["loss"].sort().to_list() == expected.loss.sort_values().tolist()
    assert output("analyse", bucket, "--by", "updates.0.limit") == output(
        "analyse", tmp_path / "local", "--by", "updates.0.limit"
    )
    assert "6 of 6 trials run again" in output("verify", bucket)


def test_running_run_is_looked_at_and_controlled_by_its_uri(
    sweep: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.driver.control_loop._POLL_S", 0.0)
    assert [storage(bucket).owner(), *storage(bucket).names()] == [None]
    ids = [trial.id for trial in load(sweep).plan.trials()]
    seen = []

    class Asking(Watcher):
        def advanced(self, progress: Progress) -> None:
            if progress.commits == 1 and not seen:
                seen.extend([output("status", bucket), output("stop", bucket, ids[-1])])
            if progress.commits == 2:
                Control(storage(bucket)).cancel()  # the verb would wait for the end of this process

    stopped = orchestrator.run(sweep, bucket, where=INLINE, overrides=PORTIONS, watcher=Asking())
    assert f"driver process {os.getpid()} on " in seen[0]
    assert seen[1] == f"asked the driver to end {ids[-1]}"
    assert (stopped.finished, stopped.progress.commits) == (False, 3)
    assert "driver none running" in output("status", bucket)
    refused = CliRunner().invoke(command_line, ["cancel", bucket])
    assert str(refused.exception) == f"{bucket}: no driver is running here, there is nothing to cancel"
    assert orchestrator.run(sweep, bucket, where=INLINE).finished
    trials = orchestrator.open_run(bucket).trials
    assert trials.filter(pc.equal(trials["status"], "cancelled"))["trial"].to_pylist() == [ids[-1]]


def test_store_that_cannot_be_used_is_refused_before_anything_is_computed(
    sweep: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = bucket.replace("bucket", "no-such-bucket", 1)
    with pytest.raises(RunDirectoryError, match=rf"^{missing}: there is no such bucket: create it; .*$"):
        orchestrator.run(sweep, missing, where=INLINE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", DENIED)
    with pytest.raises(RunDirectoryError, match=rf"^{bucket}: the store refuses .*$") as refused:
        orchestrator.run(sweep, bucket, where=INLINE)
    assert "do-not-tell" not in str(refused.value)
