"""The output of ``run`` at its end."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from sweeps import NETWORK

import orchestrator
from orchestrator.cli import orchestrator as command_line
from orchestrator.cli.run import _next_commands


@pytest.mark.parametrize(
    ("record", "tables"),
    [("{}", "trials,steps,gradients"), ("{parameters: final}", "trials,steps,gradients,parameters")],
)
def test_tables_with_rows_are_named(record: str, tables: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{NETWORK}  record: {record}\n")
    arguments = ["run", str(tmp_path / "a.yaml"), "--inline", "--out", str(tmp_path / "run")]
    output = CliRunner().invoke(command_line, arguments, catch_exceptions=False).output
    assert f"The tables are in {tmp_path}/run/{{{tables}}}/*.parquet. Next, for example:\n" in output
    for table in tables.split(","):
        assert list((tmp_path / "run" / table).glob("*.parquet"))
    (folder,) = re.findall(r'read_parquet\("(.+)"\)', output)
    assert len(pd.read_parquet(folder)) == 3


@pytest.mark.parametrize(("seeds", "what"), [(2, "all 2 trials are"), (1, "its trial is")])
def test_finished_sweep_says_that_nothing_is_left_and_prints_its_table(
    seeds: int, what: str, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(f"{NETWORK}sweep: [seed: {{range: {seeds}}}]\n")
    arguments = ["run", str(tmp_path / "a.yaml"), "--inline", "--out", str(tmp_path / "run")]
    first, again = (
        CliRunner().invoke(command_line, arguments, catch_exceptions=False).output for _ in range(2)
    )
    line, _, table = again.partition("\n")
    assert line == f"nothing left to run: {what} in {tmp_path}/run"
    assert "finishing the tables" not in table
    assert first.endswith(table)


def test_tables_that_are_not_finished_are_finished_though_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(f"{NETWORK}sweep: [seed: {{range: 2}}]\n")
    arguments = ["run", str(tmp_path / "a.yaml"), "--inline", "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.runs.writer.compact", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            CliRunner().invoke(command_line, arguments, catch_exceptions=False)
    lines = CliRunner().invoke(command_line, arguments, catch_exceptions=False).output.splitlines()
    assert lines[:2] == [f"nothing left to run: all 2 trials are in {tmp_path}/run", "finishing the tables"]
    assert orchestrator.open_run(tmp_path / "run").finished


def test_run_without_steps_suggests_its_trials() -> None:
    output = _next_commands("s3://bucket/run?region=x", ["trials"])
    assert "The tables are in s3://bucket/run/trials/*.parquet." in output
    assert 'pd.read_parquet("s3://bucket/run/trials?region=x")' in output
