"""The documents say what is there: every path, every name, every verb."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli import orchestrator as command_line

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
ROOMS = {entry.stem for entry in (ROOT / "orchestrator").iterdir() if not entry.name.startswith("_")}


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("path", sorted({t for t in quoted(ARCHITECTURE) if "/" in t}))
def test_path_in_architecture_exists(path: str) -> None:
    assert (ROOT / path).exists()


def is_name(text: str) -> bool:
    """Whether ``text`` is a dotted name below the package."""
    return re.fullmatch(r"\w+(\.\w+)+", text) is not None and text.split(".")[0] in ROOMS


@pytest.mark.parametrize("name", sorted(filter(is_name, set(quoted(ARCHITECTURE)))))
def test_name_in_architecture_resolves(name: str) -> None:
    assert resolve(f"orchestrator.{name}") is not None


def resolve(dotted: str) -> Any:
    """The module or attribute of a dotted name."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(dotted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


VERBS = command_line.commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_documents_are_verbs_with_these_options(page: Path) -> None:
    for line in re.findall(r"^\s*(?:\$ )?orchestrator (.+)$", page.read_text(), re.MULTILINE):
        verb, *words = line.split("#")[0].split()
        known = {option for parameter in VERBS[verb].params for option in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known


def test_readme_names_the_commands_that_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([\w-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_ci_runs_what_the_readme_names() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda job: job.stem)
def test_job_says_what_it_shows_and_how_to_run_it(job: Path) -> None:
    header = job.read_text().split("\n\n")[0]
    assert header.startswith("# ")
    assert f"orchestrator run jobs/{job.name}" in header
    (count,) = re.findall(r"([\d,]+) trials", header)
    planned = CliRunner().invoke(command_line, ["plan", str(job)], catch_exceptions=False)
    assert planned.exit_code == 0
    assert planned.output.startswith(f"{job.stem}: {count} trials")
