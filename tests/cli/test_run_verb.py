"""The output of ``run`` at its end."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from sweeps import NETWORK

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


def test_run_without_steps_suggests_its_trials() -> None:
    output = _next_commands("s3://bucket/run?region=x", ["trials"])
    assert "The tables are in s3://bucket/run/trials/*.parquet." in output
    assert 'pd.read_parquet("s3://bucket/run/trials?region=x")' in output
