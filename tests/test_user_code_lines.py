"""The line of users' code that messages name, and the version of a file that is executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import user_code
from orchestrator.errors import InputError
from orchestrator.user_code import Function, Trust


@pytest.fixture
def module(tmp_path: Path) -> Path:
    user_code.allow(Trust.of((), tmp_path))
    return tmp_path / "own.py"


def test_error_is_named_with_the_line_that_raised_it(module: Path) -> None:
    module.write_text("def made():\n    return drawn()\n\ndef drawn():\n    raise ValueError('no')\n")
    with pytest.raises(InputError, match=rf"raised ValueError: no \({module}:5\)$"):
        Function("own:made", str(module.parent), "model")({})


def test_what_was_read_is_what_is_executed(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module.write_text("def made():\n    return 1\n")
    execute = user_code.execute

    def late(*arguments: object) -> object:
        module.write_text("def made():\n    return 2\n")
        return execute(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(user_code, "execute", late)
    assert Function("own:made", str(module.parent), "model")({}) == 1
