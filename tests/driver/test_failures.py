"""The class of a failure, and which failures count as identical."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.driver.failures import Failure, FailureClass
from orchestrator.errors import CertificateError, ChangedFile, WorkerCrashed, WorkerLost, WorkerOutOfMemory
from orchestrator.fleet.calls import attempt


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (WorkerLost("preempted"), FailureClass.LOST),
        (WorkerOutOfMemory("killed"), FailureClass.MEMORY),
        (MemoryError("1 TiB"), FailureClass.MEMORY),
        (WorkerCrashed("SIGSEGV"), FailureClass.CRASH),
        (ChangedFile("points.csv changed"), FailureClass.CHANGED),
        (ZeroDivisionError("division by zero"), FailureClass.ERROR),
    ],
)
def test_class_follows_from_the_error_of_the_call(error: BaseException, kind: FailureClass) -> None:
    assert Failure.of(error, "Traceback").kind == kind


def raised(call: Callable[[], object]) -> Failure:
    """The failure of a call that raises."""
    outcome = attempt(1, call)
    assert outcome.error
    return Failure.of(outcome.error, outcome.trace)


def refuse(number: int) -> None:
    raise ValueError(f"cannot stand {number}")


def refuse_elsewhere(number: int) -> None:
    raise ValueError(f"cannot stand {number}")


def test_failures_are_identical_if_the_same_line_raises_the_same() -> None:
    first, second, other = (raised(call) for call in (lambda: refuse(1), lambda: refuse(2), lambda: int("x")))
    assert first.mark == second.mark
    assert first.text != second.text
    assert len({first.mark, other.mark, raised(lambda: refuse_elsewhere(1)).mark}) == 3
    assert first.mark.startswith("ValueError at File ")
    assert first.mark.endswith("in refuse")


def test_lost_workers_of_a_class_are_identical_whatever_the_message() -> None:
    assert (
        Failure.of(WorkerCrashed("pid 1"), "").mark == Failure.of(WorkerCrashed("pid 2"), "").mark == "crash"
    )


def test_only_a_failed_check_and_a_changed_file_hold_for_the_whole_pack() -> None:
    assert Failure.of(ChangedFile("points.csv changed"), "").permanent
    assert Failure.of(CertificateError("1, not 2"), "").permanent
    assert not Failure.of(ValueError("1, not 2"), "").permanent


def test_changed_file_has_no_traceback_and_counts_as_identical_by_its_name() -> None:
    first, other = (Failure.of(ChangedFile(f"{name} changed"), "Traceback") for name in ("a.csv", "b.csv"))
    assert first.message(1) == first.mark == "changed file: a.csv changed"
    assert first.mark != other.mark


def test_message_of_the_last_of_several_gives_their_number() -> None:
    failure = Failure.of(WorkerCrashed("SIGSEGV"), "")
    assert failure.message(1) == "crash: SIGSEGV"
    assert failure.message(3) == "crash, 3 times without a step in between; the last: SIGSEGV"
