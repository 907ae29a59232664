"""Angles are read correctly with every Qiskit that the package admits, each installed in its own folder."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from paths import ROOT

pytestmark = pytest.mark.long


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _admitted() -> list[str]:
    """The released versions within the bound of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = (Requirement(text) for text in project["dependencies"])
    bound = next(requirement for requirement in bounds if requirement.name == "qiskit")
    listed = re.search(r"Available versions: (.*)", _pip("index", "versions", "qiskit"))
    assert listed is not None
    return [version for version in listed[1].split(", ") if version in bound.specifier]


def test_angles_of_every_admitted_qiskit_are_right(tmp_path: Path):
    versions = _admitted()
    assert len(versions) >= 2
    for version in versions:
        folder = tmp_path / version
        _pip("install", "--quiet", "--no-deps", "--target", str(folder), f"qiskit=={version}")
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        printed = subprocess.run(
            [sys.executable, "-c", "import qiskit; print(qiskit.__version__)"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert printed.stdout.strip() == version
        command = [sys.executable, "-m", "pytest", "tests/models/test_qiskit_expressions.py"]
        ended = subprocess.run(
            command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"Qiskit {version}: {ended.stdout}"
