"""Damaged or unusual data files: read as finite numbers, or refused with faults at ``data``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzzed_data import fuzzed

from orchestrator.data.file import File
from orchestrator.errors import InputError


def check(seed: int, folder: Path) -> bool:
    """Whether the file of this seed is read; if it is refused, its faults have the required form."""
    suffix, content = fuzzed(seed)
    path = folder / f"rows{suffix}"
    path.write_bytes(content)
    try:
        data = File.parse({"source": "file", "path": str(path), "target": "y"}).load()
    except InputError as error:
        assert error.faults
        for fault in error.faults:
            assert fault.path.split(".")[0] == "data"
            assert fault.message.isprintable()
            assert len(fault.message) < 1000
        return False
    assert np.isfinite(data.inputs).all()
    assert np.isfinite(data.targets).all()
    return True


def test_mutated_file_is_read_or_refused_at_data(tmp_path: Path) -> None:
    found = [check(seed, tmp_path) for seed in range(400)]
    assert True in found
    assert False in found


@pytest.mark.long
@pytest.mark.parametrize("block", range(50))
def test_mutated_files_are_read_or_refused_at_data(block: int, tmp_path: Path) -> None:
    for seed in range(1000 + 1000 * block, 1000 + 1000 * (block + 1)):
        check(seed, tmp_path)
