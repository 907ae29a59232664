"""Paths, names, commands and links in the documents exist, and the commands work."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from paths import ROOT

import orchestrator
from orchestrator.cli import orchestrator as command_line
from orchestrator.sweep import document

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
README = (ROOT / "README.md").read_text()
KERNEL = ROOT / "orchestrator" / "backends" / "batched" / "README.md"
PAGES = sorted([ROOT / "README.md", KERNEL, *(ROOT / "docs").glob("*.md")])
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
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_sections_resolve(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


VERBS = command_line.commands


WITH_COMMANDS = [
    *PAGES,
    ROOT / "Makefile",
    *sorted((ROOT / "jobs").iterdir()),
    *sorted((ROOT / "cluster").iterdir()),
]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_are_verbs_with_these_options(page: Path) -> None:
    text = page.read_text()
    for line in re.findall(r"^#? {2,}orchestrator ([a-z].+)$", text, re.MULTILINE):
        assert line.split()[0] in VERBS, line
    for verb, words in re.findall(r"\borchestrator ([a-z]+)\b([^`'#\n]*)", text):
        if verb in VERBS:
            known = {option for parameter in VERBS[verb].params for option in parameter.opts}
            assert {word.split("=")[0] for word in words.split() if word.startswith("--")} <= known, words


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_modules_and_make_targets_in_commands_exist(page: Path) -> None:
    text, makefile = page.read_text(), (ROOT / "Makefile").read_text()
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert module == "pip" or importlib.util.find_spec(module), module
    for target in re.findall(r"(?:^ *|`)make ([a-z][\w-]*)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


README_COMMANDS = README.partition("    ray start --head ")[2].partition("    ray stop")[0].splitlines()[1:]


@pytest.mark.usefixtures("cluster")
def test_commands_from_a_cluster_to_a_data_frame_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the commands of the README in their order, on the cluster of the tests."""
    monkeypatch.chdir(tmp_path)
    Path("jobs").symlink_to(ROOT / "jobs")
    assert len(README_COMMANDS) >= 9
    for line in README_COMMANDS:
        program, *words = shlex.split(line, comments=True)
        if program == "orchestrator":
            invoked(words)
        else:
            assert program == "python"
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def invoked(words: list[str]) -> str:
    """Output of a verb that succeeds."""
    result = CliRunner().invoke(command_line, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


PARTS = [field.name for part in (orchestrator.Result, orchestrator.Where) for field in fields(part)]


@pytest.mark.parametrize("name", [*inspect.signature(orchestrator.run).parameters, *PARTS])
def test_page_about_reading_names_what_run_takes_and_returns(name: str) -> None:
    assert re.search(rf"[`(]{name}\b", (ROOT / "docs" / "reading.md").read_text())


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([\w-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_ci_runs_make_test() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda job: job.stem)
def test_job_says_what_it_shows_and_how_to_run_it(job: Path) -> None:
    header = job.read_text().split("\n\n")[0]
    assert header.startswith("# ")
    assert f"orchestrator run jobs/{job.name}" in header
    (count,) = re.findall(r"[\d,]+ trials?\b", header)
    planned = CliRunner().invoke(command_line, ["plan", str(job)], catch_exceptions=False)
    assert planned.exit_code == 0
    assert planned.output.startswith(f"{job.stem}: {count} in ")


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda job: job.stem)
def test_commands_of_a_job_find_rows(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs them on the sweep, reduced to two steps and one seed."""
    monkeypatch.chdir(tmp_path)
    seeds = f"sweep.{len(document.read(job).data['sweep']) - 1}.seed=[0]"
    invoked(["run", str(job), "--inline", "--set", "base.steps=2", "--set", seeds])
    header = re.sub(r"^# *", "", job.read_text().split("\n\n")[0], flags=re.MULTILINE)
    commands = header[header.index("orchestrator run") :].replace("\n", " ").split("orchestrator ")[2:]
    for command in commands:
        assert len(invoked(shlex.split(command)).splitlines()) > 2


def test_plateaus_are_those_of_the_formula() -> None:
    """McClean et al. (2018): d / [3(d² − 1)], n = 2 … 6, to the digits of the header."""
    header = (ROOT / "jobs" / "plateaus.yaml").read_text().split("\n\n")[0]
    found = re.findall(r"0\.\d+", header.partition("d = 2^n:")[2])[:5]
    variances = [d / (3 * (d * d - 1)) for d in (4, 8, 16, 32, 64)]
    assert found == [f"{variance:.4f}" for variance in variances]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_lines_of_prose_have_under_120_characters(page: Path) -> None:
    prose = [line for line in page.read_text().splitlines() if not line.startswith(("    ", "|"))]
    assert [line for line in prose if len(line) >= 120] == []
