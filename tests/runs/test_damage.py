"""Damage is never read as data: flipped bits, changed markers, swapped files."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import stored_runs as small
from click.testing import CliRunner
from paths import SUPPORT
from sweeps import swept

import orchestrator
from orchestrator.cli import main
from orchestrator.cli import orchestrator as command_line
from orchestrator.errors import RunDirectoryError, RunDirectoryWarning
from orchestrator.reports.query import query
from orchestrator.runs.digest import digest
from orchestrator.runs.manifest import Commit, Complete, RunInfo
from orchestrator.runs.reader import Run
from orchestrator.runs.storage import markers
from orchestrator.runs.storage.opening import storage
from orchestrator.tables.schema import TABLES

INLINE = orchestrator.Where(inline=True)
FORMAT_1, FORMAT_2 = SUPPORT / "format1", SUPPORT / "format2"
FLIPS = 60


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    text = swept("seed: {range: 3}", "updates.0: [null, {clip: norm, limit: 0.1}]")
    (folder / "small.yaml").write_text(text.replace("steps:", "record: {parameters: final}\n  steps:", 1))
    orchestrator.run(folder / "small.yaml", folder / "run", where=INLINE)
    return folder / "run"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy that can be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def values(path: Path, table: str) -> tuple[pa.Table, list[object]]:
    """Reads a table with both readers."""
    run = Run(path)
    return run.read(table), query(run, f"select * from {table}", all_trials=True).rows


@pytest.mark.parametrize("table", TABLES)
def test_flipped_bit_of_a_part_is_never_read_as_data(out: Path, table: str) -> None:
    (part,) = (out / table).glob("*.parquet")
    content, written = part.read_bytes(), values(out, table)
    chosen = random.Random(table).sample(range(8 * len(content)), FLIPS)
    caught = 0
    for bit in chosen:
        part.write_bytes(flipped(content, bit))
        try:
            assert values(out, table) == written  # a bit of a header that no reader uses
        except RunDirectoryError as error:
            assert str(error).startswith(f"{part} is damaged; ")
            caught += 1
    assert caught > FLIPS / 2


def test_flipped_length_of_a_dictionary_is_noticed(out: Path) -> None:
    """No checksum covers a page's header: each of its bits is flipped here."""
    (part,) = (out / "steps").glob("*.parquet")
    content, written = part.read_bytes(), Run(out).steps
    refused = 0
    for bit in range(8 * 4, 8 * 40):  # header of the dictionary of ids, after the magic number
        part.write_bytes(flipped(content, bit))
        try:
            assert Run(out).steps.equals(written)
        except RunDirectoryError:
            refused += 1
    assert refused > 100


def unfinished(path: Path) -> Path:
    with small.open_writer(path) as writer:
        small.advance(writer, [0], 0, small.STEPS)
        small.advance(writer, [1], 0, 1)
        small.advance(writer, [1], 1, 2)
    return path


def changes(content: bytes) -> list[bytes]:
    """Returns variants of ``content``: at each position a bit flipped, another character, one left out."""
    positions = range(len(content))
    cut = [content[:k] + content[k + 1 :] for k in positions]
    other = [
        content[:k] + (b"1" if content[k : k + 1] != b"1" else b"0") + content[k + 1 :] for k in positions
    ]
    return [*(flipped(content, 8 * k + k % 8) for k in positions), *cut, *other]


@pytest.mark.parametrize(("name", "load"), [("run.json", RunInfo.load), ("complete.json", Complete.load)])
def test_every_change_of_a_marker_is_refused_by_name(
    tmp_path: Path, name: str, load: Callable[[object], object]
) -> None:
    small.finish(tmp_path, range(2))
    content = (tmp_path / name).read_bytes()
    folder = storage(tmp_path)
    for changed in changes(content):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(
            RunDirectoryError, match=rf"^{tmp_path / name} is (damaged: restore it|of format)"
        ):
            load(folder)


def test_every_change_of_a_commits_marker_takes_the_commit_away(tmp_path: Path) -> None:
    folder = storage(unfinished(tmp_path))
    marker = tmp_path / "commits" / "000002" / "complete.json"
    content = marker.read_bytes()
    assert Commit.load(folder, 2)
    for changed in changes(content):
        marker.write_bytes(changed)
        assert Commit.load(folder, 2) is None
    with small.open_writer(tmp_path) as writer:
        assert writer.lost == (2, 3)


def test_markers_whose_values_have_wrong_types_are_damaged_even_without_a_hash(tmp_path: Path) -> None:
    good = json.loads((FORMAT_1 / "finished" / "run.json").read_bytes())
    for key, value in [("name", 3), ("keys", [{"name": 1, "type": "int64"}]), ("versions", {"numpy": None})]:
        (tmp_path / "run.json").write_text(json.dumps({**good, key: value}))
        with pytest.raises(RunDirectoryError, match="is damaged"):
            Run(tmp_path)


def test_commit_under_the_number_of_another_does_not_count(tmp_path: Path) -> None:
    commits = unfinished(tmp_path / "run") / "commits"
    (commits / "000001").rename(commits / "kept")
    (commits / "000002").rename(commits / "000001")
    (commits / "kept").rename(commits / "000002")
    with small.open_writer(tmp_path / "run") as writer:
        assert writer.lost == (1, 2, 3)
    small.finish(tmp_path / "run", range(2))
    small.finish(tmp_path / "whole", range(2))
    assert digest(Run(tmp_path / "run")) == digest(Run(tmp_path / "whole"))


def test_entry_taken_out_of_the_list_is_refused(out: Path) -> None:
    listed = json.loads((out / "complete.json").read_bytes())
    del listed["files"][next(iter(listed["files"]))]
    (out / "complete.json").write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n")
    with pytest.raises(RunDirectoryError, match=r"complete.json is damaged: restore it from a copy"):
        Run(out).read("gradients")


@pytest.mark.parametrize("name", ["steps.arrow", "gradients.arrow"])
def test_flipped_bit_of_a_commit_is_never_read_as_data(tmp_path: Path, name: str) -> None:
    file = unfinished(tmp_path) / "commits" / "000002" / name
    content = file.read_bytes()
    for bit in random.Random(name).sample(range(8 * len(content)), FLIPS):
        file.write_bytes(flipped(content, bit))
        for read in (
            lambda: Run(tmp_path).read(file.stem),
            lambda: Run(tmp_path).dataset(file.stem).to_table(),
        ):
            with pytest.raises(RunDirectoryError, match=f"^{file} is damaged; a commit is computed again"):
                read()


def test_verify_files_names_each_file_that_differs(out: Path, tmp_path: Path) -> None:
    def output(path: Path) -> tuple[int, list[str]]:
        result = CliRunner().invoke(command_line, ["verify", str(path), "--files"])
        return result.exit_code, result.output.splitlines()[1:]

    assert output(out) == (0, ["every file matches its hash"])
    (steps,), (trials,) = (out / "steps").glob("*.parquet"), (out / "trials").glob("*.parquet")
    steps.write_bytes(flipped(steps.read_bytes(), 8 * 100))
    trials.unlink()
    assert output(out) == (1, [f"{steps} is not what was written", f"{trials} is missing"])

    commits = unfinished(tmp_path / "unfinished") / "commits"
    assert output(tmp_path / "unfinished") == (0, ["every file matches its hash"])
    (commits / "000001" / "complete.json").write_bytes(b"{")
    (commits / "000003" / "state.arrow").write_bytes(b"")
    assert output(tmp_path / "unfinished") == (
        1,
        [
            f"{commits / '000001' / 'complete.json'} is damaged",
            f"{commits / '000003' / 'state.arrow'} is not what was written",
        ],
    )


def test_finished_run_of_format_1_is_read_and_its_list_without_hashes_is_mentioned(tmp_path: Path) -> None:
    path = shutil.copytree(FORMAT_1 / "finished", tmp_path / "run")
    with pytest.warns(RunDirectoryWarning, match="is of format 1: nothing in it is checked"):
        run = Run(path)
    assert (run.finished, run.trials.num_rows, run.steps.num_rows) == (True, 4, 12)
    assert run.check_files().differing == ()
    (tmp_path / "run" / "complete.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"without complete.json"):
        run.read("steps")


def test_warning_is_one_line_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["orchestrator", "status", str(FORMAT_1 / "finished")])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        main()
    output = capsys.readouterr()
    assert output.out.startswith("trials       4 done, 0 left\n")
    mentioned = "is of format 1: nothing in it is checked, so damage may be read as data"
    assert output.err.splitlines() == [f"warning: {FORMAT_1 / 'finished'} {mentioned}"]


def test_unfinished_run_of_format_1_is_read_but_not_gone_on_with(tmp_path: Path) -> None:
    path = shutil.copytree(FORMAT_1 / "unfinished", tmp_path / "run")
    with pytest.warns(RunDirectoryWarning):
        assert Run(path).steps["step"].to_pylist() == [0]
    before = sorted(path.rglob("*"))
    with pytest.raises(
        RunDirectoryError,
        match=r"is an unfinished run of format 1, .*finish it with orchestrator 0\.1\.0, or",
    ):
        orchestrator.run(path / "sweep.yaml", path, where=INLINE, mixed_versions=True)
    assert sorted(path.rglob("*")) == before


def test_finished_run_of_format_1_gets_its_hashes_when_it_is_run_again(tmp_path: Path) -> None:
    path = shutil.copytree(FORMAT_1 / "finished", tmp_path / "run")
    info = json.loads((path / "run.json").read_bytes())
    with pytest.warns(RunDirectoryWarning):
        before = digest(Run(path))
    keys = [small.KeyColumn(**key) for key in info["keys"]]
    with pytest.warns(RunDirectoryWarning):
        trials = Run(path).trials.sort_by("index").to_pylist()
    plan = [(row["trial"], (row[keys[0].name], row["seed"])) for row in trials]
    opened = {name: info[name] for name in ("name", "record", "versions")}
    with small.open_writer(path, **opened, keys=keys, sweep=(path / "sweep.yaml").read_text()) as writer:
        writer.compact(plan)
    assert digest(Run(path)) == before
    complete = Complete.load(storage(path))
    assert complete
    assert complete.hashed
    assert all(markers.parse((path / name).read_bytes())[1] for name in ("run.json", "complete.json"))


def test_finished_run_of_format_2_is_grown_without_being_run_again(tmp_path: Path) -> None:
    path = shutil.copytree(FORMAT_2 / "finished", tmp_path / "run")
    before = Run(path).steps
    assert sorted(before["updates.0.learning_rate"].to_pylist()) == [0.1] * 6 + [0.2] * 6
    grown = orchestrator.run(
        path / "sweep.yaml", path, where=INLINE, mixed_versions=True, overrides=["sweep.1.seed.range=3"]
    )
    assert (grown.finished, grown.progress.kept, grown.progress.ended) == (True, 4, 2)
    steps = Run(path).steps
    assert steps.filter(pc.less(steps["seed"], 2)).to_pylist() == before.to_pylist()


def test_unfinished_run_of_format_2_is_read_but_not_gone_on_with(tmp_path: Path) -> None:
    path = shutil.copytree(FORMAT_2 / "unfinished", tmp_path / "run")
    keys = ["updates.0.learning_rate", "seed", "step"]
    expected = [(0.1, 0, 0), (0.1, 0, 1), (0.1, 0, 2), (0.1, 1, 0)]
    assert [tuple(row.values()) for row in Run(path).read("steps", keys).to_pylist()] == expected
    assert query(Run(path), 'select "updates.0.learning_rate", seed, step from steps').rows == expected
    assert Run(path).check_files().differing == ()
    before = sorted(path.rglob("*"))
    with pytest.raises(
        RunDirectoryError,
        match=r"is an unfinished run of format 2, .*finish it with orchestrator 0\.1\.0\.dev2, or",
    ):
        orchestrator.run(path / "sweep.yaml", path, where=INLINE, mixed_versions=True)
    assert sorted(path.rglob("*")) == before
