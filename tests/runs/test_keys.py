"""Swept keys are committed once, with the first rows of their trial, and every reader finds them."""

from __future__ import annotations

from pathlib import Path

import pytest
import stored_runs as small
from pyarrow import ipc
from stored_runs import KEYS, STEPS, advance, commits, key_values, open_writer, plan, rows, trial_id

from orchestrator.reports.query import query
from orchestrator.runs.digest import digest
from orchestrator.runs.reader import Run
from orchestrator.tables.rows import KeyColumn

NAMES = [key.name for key in KEYS]
TEXT = KeyColumn("model.layers", "string")
GROWN = (KeyColumn("clip", "float64"), TEXT, *KEYS[1:])
"""``KEYS`` with one more key, and one key of another type."""


def travelled(path: Path) -> dict[str, list[str]]:
    """Returns the trials whose keys are in each commit."""
    return {
        commit: ipc.open_file(file).read_all()["trial"].to_pylist()
        for commit in commits(path)
        if (file := path / "commits" / commit / "keys.arrow").exists()
    }


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A run of trials 0 and 1 finished, 2 ended and 3 begun with the same keys, 4 ended with other keys."""
    small.finish(tmp_path, range(2))
    with open_writer(tmp_path) as writer:
        advance(writer, [2], 0, STEPS)
        advance(writer, [3], 0, 1)
    with open_writer(tmp_path, sweep="name: small\nmore: 1\n", keys=GROWN) as writer:
        advance(writer, [3], 1, 2)
        writer.commit(rows([4], 0, STEPS), {trial_id(4): (0.5, "deep", *key_values(4)[1:])}, {})
    return tmp_path


def keys_when_grown(number: int) -> tuple[object, ...]:
    """Returns the keys of a trial of the grown run: the number of layers has become text."""
    layers, update, seed = key_values(number)
    return (0.5, "deep", update, seed) if number == 4 else (None, str(layers), update, seed)


def test_swept_keys_are_in_the_commit_of_the_first_rows_only(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        advance(writer, [4, 7], 0, 1)
        advance(writer, [4, 7], 1, 2)
    assert travelled(tmp_path) == {"000001": [trial_id(4), trial_id(7)]}
    for file in tmp_path.glob("commits/*/*.arrow"):
        assert bool(set(NAMES) & set(ipc.open_file(file).schema.names)) == (file.stem == "keys")
    found = [tuple(row.values()) for row in Run(tmp_path).read("steps", NAMES).to_pylist()]
    assert found == [key_values(4), key_values(7)] * 2


def test_merged_commits_keep_every_trials_keys_once(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        small.run_missing(writer, range(6))
    (first, *others) = travelled(tmp_path).items()
    assert first == ("000017", [trial_id(number) for number in range(6)])
    assert others == []


def test_trials_that_are_taken_back_bring_their_keys_again(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        small.fail(writer, [0, 1])
        writer.take_back([trial_id(0)], plan(range(2)))
        assert list(travelled(tmp_path).values()) == [[trial_id(1)]]
        advance(writer, [0], 0, STEPS)
    assert list(travelled(tmp_path).values()) == [[trial_id(1)], [trial_id(0)]]


@pytest.mark.parametrize("table", ["steps", "gradients", "trials"])
def test_every_way_of_reading_an_unfinished_run_finds_the_keys(grown: Path, table: str) -> None:
    run, names = Run(grown), [key.name for key in GROWN]
    read = run.read(table, ["trial", *names])
    expected = {trial_id(n): keys_when_grown(n) for n in range(5) if n != 3 or table != "trials"}
    assert {trial: tuple(keys) for trial, *keys in map(dict.values, read.to_pylist())} == expected
    assert run.read(table, [TEXT.name]).column(0).to_pylist() == read[TEXT.name].to_pylist()
    selected = ", ".join(f'"{name}"' for name in ("trial", *names))
    assert {t: tuple(k) for t, *k in query(run, f"select {selected} from {table}").rows} == expected
    for trial in expected:
        (keys,) = {tuple(row[n] for n in names) for row in run.of_trials(table, [trial]).to_pylist()}
        assert keys == expected[trial]


def test_trials_that_the_sweep_no_longer_names_are_finished_with_the_keys_they_had(grown: Path) -> None:
    before = digest(Run(grown)).tables["parameters"]
    with open_writer(grown, sweep="name: small\nmore: 1\n", keys=GROWN) as writer:
        writer.compact([(trial_id(4), (0.5, "deep", *key_values(4)[1:]))])
    run = Run(grown)
    for row in run.trials.to_pylist():
        number = row["seed"]
        assert tuple(row[key.name] for key in GROWN) == keys_when_grown(number)
        assert (row["current"], row["index"]) == ((True, 0) if number == 4 else (False, None))
    assert sorted(run.trials["seed"].to_pylist()) == [0, 1, 2, 4]
    assert digest(run).tables["parameters"] == before
