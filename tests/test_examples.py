"""The examples in docstrings produce the output that they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from paths import ROOT

WITH_EXAMPLES = sorted(
    path.relative_to(ROOT) for path in (ROOT / "orchestrator").rglob("*.py") if ">>>" in path.read_text()
)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_of_a_module_are_true(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    assert not doctest.testmod(module).failed
