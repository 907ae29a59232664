"""A closed pipe, a full disk, little memory, few characters: at most one line, and the right exit code."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main, show
from orchestrator.cli.run import _next_commands
from orchestrator.errors import Fault
from orchestrator.process import resource_error
from orchestrator.reports.status import status

SWEEP = """\
name: θ
base:
  data: {source: moons, rows: 20}
  model: {kind: mlp, hidden: [2]}
  loss: binary-cross-entropy
  gradient: {engine: backprop}
  updates: [{optimizer: sgd, learning_rate: 0.1}]
  batch: {size: 4, shards: 2}
  steps: 3
sweep:
  - seed: {range: 3}
""".replace("θ", "small")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SWEEP)
    return tmp_path


def start(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own; ``env`` in ``options`` adds to the environment."""
    environment = {**os.environ, **options.pop("env", {})}
    command = [sys.executable, "-W", "error", "-m", "orchestrator", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(
        command, cwd=folder, env=environment, encoding="utf-8", timeout=300, check=False, **streams
    )


@pytest.fixture
def unread() -> Iterator[int]:
    """The write end of a pipe whose reader is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def is_finished(run: Path) -> bool:
    progress = status(run)
    return progress.finished and progress.ended == {"done": 3}


def test_run_into_a_closed_pipe_is_completed(folder: Path, unread: int) -> None:
    ended = start(folder, "run", "a.yaml", "--inline", "--out", "run", stdout=unread)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert is_finished(folder / "run")


def test_run_onto_a_full_disk_is_completed_and_says_so_once(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = start(folder, "run", "a.yaml", "--inline", "--out", "run", stdout=full)
    assert (ended.returncode, ended.stderr) == (
        0,
        "standard output: No space left on device; continuing without it\n",
    )
    assert is_finished(folder / "run")


def _close_all() -> None:
    for number in range(3):
        os.close(number)


def test_run_without_standard_streams_is_completed(folder: Path) -> None:
    ended = start(folder, "run", "a.yaml", "--inline", "--out", "run", preexec_fn=_close_all)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert is_finished(folder / "run")


def test_plan_into_a_closed_pipe_ends_quietly(folder: Path, unread: int) -> None:
    ended = start(folder, "plan", "a.yaml", stdout=unread)
    assert (ended.returncode, ended.stderr) == (141, "")  # a shell's code for SIGPIPE


def test_plan_onto_a_full_disk_says_so(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = start(folder, "plan", "a.yaml", stdout=full)
    assert (ended.returncode, ended.stderr) == (2, "standard output: No space left on device\n")


def test_fault_that_cannot_be_printed_keeps_its_code(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert start(folder, "plan", "none.yaml", stderr=full).returncode == 2


@pytest.mark.parametrize(
    ("encoding", "arguments"),
    [
        ("ascii", ["plan", "a.yaml", "--trials", "1"]),
        ("ascii", ["run", "a.yaml", "--inline"]),
        ("latin-1", ["plan", "θ.yaml"]),
    ],
)
def test_characters_that_the_locale_lacks_are_transliterated(
    folder: Path, encoding: str, arguments: list[str]
) -> None:
    posix = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    ended = start(folder, *arguments, env=posix)
    assert ended.returncode == (2 if "θ.yaml" in arguments else 0), ended.stderr
    assert (ended.stdout + ended.stderr).isascii()
    assert "Traceback" not in ended.stderr


def _limit(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))


def test_ray_is_not_started_in_a_small_address_space(folder: Path) -> None:
    ended = start(folder, "run", "a.yaml", "--address", "local", preexec_fn=partial(_limit, 8 << 10))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    message = (
        "cannot start Ray here: the address space of a process is limited to 8.0 GiB (ulimit -v), Ray needs"
    )
    assert line.startswith(message)


def test_limited_address_space_is_named_in_one_line(folder: Path) -> None:
    # one thread: on a machine with many CPUs, the stacks of the others would fill the address space
    ended = start(
        folder,
        "run",
        "a.yaml",
        "--inline",
        "--out",
        "run",
        preexec_fn=partial(_limit, 700),
        env={"OPENBLAS_NUM_THREADS": "1"},
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("the address space of a process is limited to 0.7 GiB (ulimit -v), lift")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory: MemoryError"),
        (OSError(28, "No space left on device", "x"), "OSError: [Errno 28] No space left on device: 'x'"),
        (KeyError("x"), None),
        (RuntimeError("can't start new thread"), None),
    ],
)
def test_error_of_the_system_is_one_line_and_a_defect_is_not_hidden(
    error: Exception, message: str | None
) -> None:
    assert resource_error(error) == message


# --- what is printed


Called = Callable[..., tuple[object, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """The console command in this process: exit code, standard output, standard error."""

    def called(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["orchestrator", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        printed = capsys.readouterr()
        return exited.value.code, printed.out, printed.err

    return called


def test_fault_is_one_line_without_control_characters() -> None:
    fault = Fault("a.\x1b[31m\u202e", "holds \x9b2J and θ\nmore", "\udcff.yaml", 3)
    assert str(fault) == r"\udcff.yaml:3: a.\x1b[31m\u202e: holds \x9b2J and θ\nmore"
    assert len(str(Fault("a" * 100_000, "is wrong"))) < 250


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "\x1b[31m.yaml"],
        ["plan", "--\x1b[31m"],
        ["\x1b[31m"],
        ["status", "./\x1b[31m"],
        ["status", "\x1b[31m", "--address", "\x1b[31m:1"],
        ["analyse", "\x1b[31m"],
        ["plan", "a.yaml", "--set", "base.\x1b[31m=1"],
    ],
)
def test_control_characters_of_an_argument_are_escaped(
    arguments: list[str], folder: Path, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "\x1b" not in err


def test_table_prints_text_literally(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("[b]", "a:smile:"), [("[/x]", "\x1b[31m"), ("[red]y", "θ")])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    for text in ("[b]", "a:smile:", "[/x]", r"\x1b[31m", "[red]y", "θ"):
        assert text in printed


@pytest.mark.parametrize(("terminal", "lines"), [("1", 2), ("0", 1)])
def test_last_column_wraps_on_a_terminal_only(
    terminal: str, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    show.table(("what", "found"), [("Aer", "seven words " * 5)], wrap_last=True)
    _, _, *cells = capsys.readouterr().out.splitlines()
    assert (len(cells), " ".join(cells).split().count("words")) == (lines, 5)


@pytest.mark.parametrize("out", ["my runs/$(touch x)", "it's", 'a"b', "-x", "runs/θ", "a\\b"])
def test_suggested_command_can_be_pasted(out: str) -> None:
    analyse, python = _next_commands(out, ["trials", "steps"]).splitlines()[-2:]
    verb = shlex.split(analyse)
    assert verb[:2] == ["orchestrator", "analyse"]
    assert not verb[2].startswith("-")
    assert Path(verb[2]) == Path(out)
    name, option, code = shlex.split(python)
    assert (name, option) == ("python", "-c")
    assert eval(code.partition("read_parquet(")[2][:-2]) == f"{out}/steps"


# --- arguments that lead nowhere


LONG = "a" * 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", LONG], f"'{LONG}' is neither a directory in "),
        (["cancel", LONG], f"'{LONG}' is neither a directory in "),
        (["cancel", "/dev/null/x"], "/dev/null/x: Not a directory; name the directory of a run"),
        (
            ["status", "x/\udcff"],
            r"'x/\udcff' is not UTF-8, which the libraries that write tables require",
        ),
        (["run", "a.yaml", "--inline", "--out", "\udcff"], r"'\udcff' is not UTF-8"),
        (["run", "a.yaml", "--inline", "--out", LONG], f"{LONG}: File name too long"),
        (
            ["logs", "x", "--address", "http://[::1"],
            "--address: must not hold a secret (in the host part)",
        ),
        (["plan", "a.yaml", "--trials", "9" * 20], "Usage: "),
        (["plan", "a.yaml", "--workers", "9" * 20], "Usage: "),
    ],
)
def test_argument_that_leads_nowhere_is_refused(
    arguments: list[str], message: str, folder: Path, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message), err


def test_plan_of_a_name_that_is_too_long_finds_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["orchestrator", "plan", "a.yaml", "--out", LONG])
    main()


# --- addresses of clusters


@pytest.mark.parametrize(
    ("variables", "words", "remedy"),
    [
        ({"RAY_ADDRESS": "127.0.0.1:9"}, ["--address", "127.0.0.1:19"], "correct --address"),
        ({"RAY_ADDRESS": "127.0.0.1:19"}, ["--address", "auto"], "correct RAY_ADDRESS"),
        (
            {"RAY_ADDRESS": "127.0.0.1:9", "RAY_API_SERVER_ADDRESS": "127.0.0.1:19"},
            [],
            "correct RAY_API_SERVER_ADDRESS",
        ),
        ({}, [], "`ray start` left this address here: start that cluster again, or name one with --address"),
    ],
)
def test_address_where_nothing_answers_is_reported_with_its_origin(
    variables: dict[str, str],
    words: list[str],
    remedy: str,
    call: Called,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orchestrator.fleet.dashboard.read_ray_address", lambda: "127.0.0.1:19")
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _, _, err = call("logs", "x", *words)
    assert err == f"no Ray cluster at 127.0.0.1:19: Connection refused; {remedy}\n"


@pytest.mark.parametrize(
    ("variable", "words", "message"),
    [
        (
            "127.0.0.1:19",
            ["--address", "banana"],
            "no Ray cluster at banana: an address is host:port, as `ray start` prints it; "
            "correct --address, or leave it out to run on this machine\n",
        ),
        (
            "127.0.0.1:9",
            [],
            "no Ray cluster at 127.0.0.1:9: Connection refused; "
            "correct RAY_ADDRESS, or unset it to run on this machine\n",
        ),
    ],
)
def test_run_refuses_an_address_before_it_writes_anything(
    variable: str,
    words: list[str],
    message: str,
    folder: Path,
    call: Called,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAY_ADDRESS", variable)
    monkeypatch.setitem(sys.modules, "ray", None)  # as in a new process, and no check may load it
    assert call("run", "a.yaml", *words) == (2, "", message)
    assert not (folder / "runs").exists()
