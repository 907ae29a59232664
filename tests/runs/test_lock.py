"""One driver per run: exactly one of many gets the lock, and a dead one does not keep it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.lock import Lock, owner
from orchestrator.runs.storage.owner import STALE_SECONDS, UNKNOWN_OWNER, Owner, parse_owner

DRIVER = """
import sys
from pathlib import Path
from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage.lock import Lock
print("ready", flush=True)
sys.stdin.readline()
try:
    lock = Lock.acquire(Path(sys.argv[1]))
    print("won", flush=True)
except RunDirectoryError:
    print("lost", flush=True)
sys.stdin.readline()
"""


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def claim(folder: Path, holder: Owner, age: float = 0.0) -> None:
    """Writes the lock file of another driver, with a heartbeat ``age`` seconds ago."""
    (folder / "lock").write_text(json.dumps(asdict(holder)))
    now = (folder / "lock").stat().st_mtime
    os.utime(folder / "lock", (now - age, now - age))


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_lock_of_a_dead_driver_goes_to_exactly_one_of_many(tmp_path: Path) -> None:
    dead = start(tmp_path)
    say(dead, "go")
    assert (hear(dead), hear(dead)) == ("ready", "won")
    end(dead)
    racers = [start(tmp_path) for _ in range(6)]
    assert {hear(racer) for racer in racers} == {"ready"}
    for racer in racers:
        say(racer, "go")
    assert sorted(hear(racer) for racer in racers) == ["lost"] * 5 + ["won"]
    for racer in racers:
        end(racer)


def test_killed_driver_is_seen_as_gone_before_anybody_waits_for_it(tmp_path: Path) -> None:
    driver = start(tmp_path)
    say(driver, "go")
    assert (hear(driver), hear(driver)) == ("ready", "won")
    holder = owner(tmp_path)
    assert holder
    assert holder.pid == driver.pid
    driver.kill()
    assert hear(driver) == ""  # the driver's end of the pipe is closed, but its process is still listed
    os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)
    assert owner(tmp_path) is None
    Lock.acquire(tmp_path).release()
    end(driver)


def test_lock_is_free_after_release(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path)
    assert owner(tmp_path) == Owner.myself()
    lock.release()
    lock.release()
    assert owner(tmp_path) is None
    Lock.acquire(tmp_path).release()


def test_lock_is_refused_to_a_second_holder_in_the_same_process(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path)
    with pytest.raises(RunDirectoryError, match=rf"process {os.getpid()} on \S+\); wait until it ends, or"):
        Lock.acquire(tmp_path)
    lock.check()
    lock.release()


def test_lock_of_another_host_holds_as_long_as_its_heart_beats(tmp_path: Path) -> None:
    elsewhere = replace(Owner.myself(), host="elsewhere")
    claim(tmp_path, elsewhere, age=STALE_SECONDS - 30)
    before = (tmp_path / "lock").stat()
    with pytest.raises(RunDirectoryError, match="on elsewhere"):
        Lock.acquire(tmp_path)
    assert (tmp_path / "lock").stat().st_mtime_ns == before.st_mtime_ns
    claim(tmp_path, elsewhere, age=STALE_SECONDS + 30)
    Lock.acquire(tmp_path).release()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to tell processes apart")
def test_lock_of_a_process_number_that_came_back_is_free(tmp_path: Path) -> None:
    claim(tmp_path, replace(Owner.myself(), started="1"))
    assert owner(tmp_path) is None
    Lock.acquire(tmp_path).release()


def test_lock_of_this_host_before_it_was_started_anew_waits_for_the_heartbeat(tmp_path: Path) -> None:
    claim(tmp_path, replace(Owner.myself(), boot="earlier"))
    assert owner(tmp_path) is not None
    claim(tmp_path, replace(Owner.myself(), boot="earlier"), age=STALE_SECONDS + 30)
    assert owner(tmp_path) is None


def test_empty_lock_file_is_free(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    assert owner(tmp_path) is None
    Lock.acquire(tmp_path).release()


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"host": "x"}', b"\xff\xfe", b'{"pid": []}'])
def test_damaged_lock_is_somebodys_until_its_heartbeat_is_old(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    with pytest.raises(RunDirectoryError, match="an unknown one, as its lock is damaged"):
        Lock.acquire(tmp_path)
    claim(tmp_path, Owner.myself(), age=STALE_SECONDS + 30)
    before = (tmp_path / "lock").stat().st_mtime
    (tmp_path / "lock").write_bytes(content)
    os.utime(tmp_path / "lock", (before, before))
    Lock.acquire(tmp_path).release()


def test_no_single_character_of_a_lock_changes_unnoticed(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path)
    good = (tmp_path / "lock").read_bytes()
    assert owner(tmp_path) == Owner.myself()
    for position in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[position] ^= 1 << bit
            assert parse_owner(bytes(changed)) == (UNKNOWN_OWNER, {})
    lock.release()


def test_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(RunDirectoryError, match=r"run/lock is a link, a folder or a device, .*remove it"):
        Lock.acquire(tmp_path / "run")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_lock_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "lock")
    assert owner(tmp_path) is None
    with pytest.raises(RunDirectoryError, match=f"^{tmp_path / 'lock'} is a link, a folder or a device"):
        Lock.acquire(tmp_path)


@pytest.mark.parametrize("replaced", [False, True])
def test_directory_that_was_moved_is_called_gone(tmp_path: Path, replaced: bool) -> None:
    (tmp_path / "run").mkdir()
    lock = Lock.acquire(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    if replaced:
        (tmp_path / "run").mkdir()
    with pytest.raises(
        RunDirectoryError, match=f"^the run directory {tmp_path / 'run'} is gone: it was removed"
    ):
        lock.check()
    lock.release()


def test_lock_taken_over_is_noticed_and_left_to_its_new_holder(tmp_path: Path) -> None:
    lock = Lock.acquire(tmp_path)
    claim(tmp_path, replace(Owner.myself(), host="elsewhere"))
    with pytest.raises(RunDirectoryError, match="another driver has taken the lock over"):
        lock.check()
    lock.release()
    assert owner(tmp_path) == replace(Owner.myself(), host="elsewhere")
