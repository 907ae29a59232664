"""Every verb reports a damaged run in one line, with exit code 2."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sweeps import swept

import orchestrator
from orchestrator.cli import main

INLINE = orchestrator.Where(inline=True)

Verb = Callable[..., str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(swept("seed: {range: 3}"))
    orchestrator.run(folder / "small.yaml", folder / "run", where=INLINE)
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy that can be damaged."""
    return Path(shutil.copytree(finished / "run", tmp_path / "run"))


@pytest.fixture
def refusal(finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Calls the console command; returns the one line that it prints."""

    def call(verb: str, *arguments: str | Path) -> str:
        first = [finished / "small.yaml", "--inline", "--out"] if verb == "run" else []
        monkeypatch.setattr("sys.argv", ["orchestrator", verb, *map(str, first), *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        printed = capsys.readouterr()
        assert (exited.value.code, printed.out) == (2, "")
        (line,) = printed.err.splitlines()
        return line

    return call


def truncated(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:100])


def emptied(part: Path) -> None:
    part.write_bytes(b"")


def overwritten(part: Path) -> None:
    """Overwrites all rows of a part, but not its footer."""
    content = part.read_bytes()
    rows = len(content) - 12 - int.from_bytes(content[-8:-4], "little")
    part.write_bytes(content[:4] + bytes(rows) + content[4 + rows :])


def without_footer(part: Path) -> None:
    content = part.read_bytes()
    part.write_bytes(content[:-300] + bytes(300))


READERS = {"trials": ["analyse", "status", "verify", "run"], "steps": ["analyse", "verify", "run"]}
DAMAGES = [truncated, emptied, overwritten, without_footer]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", READERS)
def test_damaged_part_is_named(out: Path, refusal: Verb, table: str, damage: Callable[[Path], None]) -> None:
    (part,) = (out / table).glob("*.parquet")
    damage(part)
    for verb in READERS[table]:
        assert refusal(verb, out).startswith(f"{part} is ")


@pytest.mark.parametrize("table", READERS)
def test_missing_part_is_named(out: Path, refusal: Verb, table: str) -> None:
    (part,) = (out / table).glob("*.parquet")
    part.unlink()
    for verb in READERS[table]:
        assert refusal(verb, out).startswith(f"{part} is missing")


def test_sql_query_names_the_damaged_part(out: Path, refusal: Verb) -> None:
    (part,) = (out / "gradients").glob("*.parquet")
    overwritten(part)
    message = refusal("analyse", out, "--sql", "select sum(l2) from gradients")
    assert message.startswith(f"{part} is damaged; ")


def test_tables_without_their_list_are_refused_and_left_as_they_are(
    finished: Path, out: Path, refusal: Verb
) -> None:
    (out / "complete.json").unlink()
    before = sorted(out.rglob("*.parquet"))
    for verb in READERS["trials"]:
        assert refusal(verb, out) == (
            f"{out} holds finished tables without complete.json, the list of their files: restore this list "
            "from a copy, or remove trials, steps, gradients, parameters to run all trials again"
        )
    assert sorted(out.rglob("*.parquet")) == before
    for table in ("trials", "steps", "gradients"):
        shutil.rmtree(out / table)
    assert orchestrator.run(finished / "small.yaml", out, where=INLINE).progress.ended == 3


@pytest.mark.parametrize("name", ["complete.json", "run.json"])
def test_damaged_list_is_named(out: Path, refusal: Verb, name: str) -> None:
    truncated(out / name)
    for verb in READERS["trials"]:
        assert refusal(verb, out).startswith(f"{out / name} is damaged: restore it from a copy")


def test_missing_directory_is_reported(
    refusal: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # no cluster runs there
    for verb in ("analyse", "status", "verify"):
        assert refusal(verb, "runs/nowhere") == "runs/nowhere is not a run: there is no such directory"
    for verb in ("analyse", "verify"):
        assert refusal(verb, "nowhere") == "nowhere is not a run: there is no such directory"
    for verb in ("status", "cancel"):
        assert refusal(verb, "nowhere") == (
            f"'nowhere' is neither a directory in {tmp_path} nor a job on a cluster: "
            "no Ray cluster at 127.0.0.1:9: Connection refused; correct RAY_ADDRESS"
        )
    assert not (tmp_path / "nowhere").exists()
