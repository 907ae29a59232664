"""One driver per run on an object store: one of many gets the run, and a dead one does not keep it."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from threading import Barrier
from typing import Any

import pytest

from orchestrator.errors import RunDirectoryError
from orchestrator.runs.storage import claims, owner
from orchestrator.runs.storage.bucket import Bucket
from orchestrator.runs.storage.claims import Claim
from orchestrator.runs.storage.owner import Owner

ELSEWHERE = replace(Owner.myself(), host="elsewhere")


def leave(bucket: Bucket, holder: Owner, *, holds: bool = True, token: str = "other") -> None:
    """Writes the claim of another driver."""
    bucket.replace(f"claims/{token}.claim", json.dumps({**asdict(holder), "holds": holds}).encode())


def test_of_many_who_come_at_once_exactly_one_holds_the_run(bucket: str) -> None:
    count = 6
    together = Barrier(count)

    def come(_: int) -> Claim | None:
        store = Bucket.at(bucket)
        together.wait()
        with suppress(RunDirectoryError):
            return Claim.acquire(store)
        return None

    with ThreadPoolExecutor(count) as pool:
        held = [claim for claim in pool.map(come, range(count)) if claim]
    assert len(held) == 1
    held[0].check()
    held[0].release()
    assert Bucket.at(bucket).names("claims") == []


def test_claim_is_refused_to_a_second_holder_and_free_after_release(bucket: str) -> None:
    store = Bucket.at(bucket)
    first = store.hold()
    with pytest.raises(RunDirectoryError, match=rf"^{bucket}: .*process {os.getpid()} on \S+\); wait"):
        store.hold()
    first.check()
    first.release()
    first.release()
    store.hold().release()


def test_claim_of_another_host_holds_as_long_as_its_heart_beats(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Bucket.at(bucket)
    leave(store, ELSEWHERE)
    with pytest.raises(RunDirectoryError, match="on elsewhere"):
        store.hold()
    assert store.names("claims") == ["other.claim"]
    monkeypatch.setattr(owner, "STALE_SECONDS", -1.0)
    store.hold().release()
    assert store.names("claims") == ["other.tombstone"]


def test_driver_that_was_given_up_for_dead_notices_whatever_it_uploads(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Bucket.at(bucket)
    sleeper = Claim.acquire(store)
    monkeypatch.setattr(claims, "is_alive", lambda *_: False)
    successor = Claim.acquire(store)
    sleeper._write(holds=True)  # a late heartbeat
    with pytest.raises(RunDirectoryError, match="another driver has taken the run over"):
        sleeper.check()
    sleeper.release()
    successor.check()
    successor.release()


@pytest.mark.parametrize("gone", [{"started": "1"}, {"pid": 2**22 + 1}])  # no process gets such a pid
def test_claim_of_a_process_here_that_is_gone_is_free_at_once(bucket: str, gone: dict[str, Any]) -> None:
    store = Bucket.at(bucket)
    leave(store, replace(Owner.myself(), **gone))
    store.hold().release()


def test_heartbeat_renews_the_claim_until_it_is_released(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beaten = []
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.0)
    write = Claim._write

    def watched(claim: Claim, *, holds: bool) -> None:
        write(claim, holds=holds)
        beaten.append(holds)
        if len(beaten) == 5:
            claim._released.set()

    monkeypatch.setattr(Claim, "_write", watched)
    claim = Claim.acquire(Bucket.at(bucket))
    assert claim._released.wait(60)
    assert beaten == [False, True, True, True, True]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"host": "x"}', b"\xff\xfe"],
    ids=["empty", "cut", "list", "incomplete", "binary"],
)
def test_damaged_claim_is_somebodys_until_its_heartbeat_is_old(
    bucket: str, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    store = Bucket.at(bucket)
    store.replace("claims/odd.claim", content)
    with pytest.raises(RunDirectoryError, match="lock is damaged"):
        store.hold()
    monkeypatch.setattr(owner, "STALE_SECONDS", -1.0)
    store.hold().release()


def test_run_that_was_removed_is_called_gone_and_no_heartbeat_brings_it_back(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Bucket.at(bucket)
    claim = Claim.acquire(store)
    store.delete("claims")
    with pytest.raises(RunDirectoryError, match=f"^the run directory {bucket} is gone: it was removed"):
        claim.check()
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.0)
    looked = []

    def look(_: Claim) -> bool:
        looked.append(True)
        if len(looked) == 3:
            claim._released.set()
        return False

    monkeypatch.setattr(Claim, "_exists", look)
    claim._beat()
    assert (len(looked), store.names("claims")) == (3, [])


def test_claim_that_does_not_hold_yet_is_waited_for_a_few_times(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_MAX_WAIT_S", 0.0)
    store = Bucket.at(bucket)
    leave(store, ELSEWHERE, holds=False)
    with pytest.raises(RunDirectoryError, match="on elsewhere"):
        store.hold()
    assert store.names("claims") == ["other.claim"]
