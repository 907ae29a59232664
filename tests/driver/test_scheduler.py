"""The scheduler under random orders of events: no trial is lost or run twice, only sick ones fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import plan

from orchestrator.driver.failures import BUDGET, Failure, FailureClass
from orchestrator.driver.packs import Packer, PlannedPack
from orchestrator.driver.scheduler import Assignment, Scheduler, Work
from orchestrator.training.pack import Pack

STEPS = 3
EXPENSIVE, CHEAP, THRESHOLD = 1.0, 0.001, 0.01
SHORT, LONG = 0.05, 1.0
"""Seconds of a pack: a task has twenty short ones, or one long one."""

LOSSES = (FailureClass.LOST, FailureClass.MEMORY, FailureClass.CRASH)
"""Classes of failure in which the worker is lost, and with it all packs of its task."""


def failure(kind: FailureClass, mark: str = "sick") -> Failure:
    return Failure(kind, "killed", mark)


def packs(trials: int, size: int, shards: int = 4) -> Iterator[PlannedPack]:
    """Real packs of real trials, drawn one by one."""
    base = {"batch.shards": [shards], "seed": {"range": trials}}
    items = [f"{{{key}: {value}}}".replace("'", "") for key, value in base.items()]
    return Packer(plan(*items), lambda _: size).packs()


def scheduler(trials: int, size: int, shards: int = 4) -> Scheduler:
    return Scheduler(packs(trials, size, shards), THRESHOLD)


@dataclass
class Simulation:
    """Simulates the driver and its fleet: starts tasks, and ends random ones in random ways.

    Attributes:
        sick: trials with which every attempt of a pack fails, with the class ``kind``.
        leavers: trials that end before their last step, as diverged ones do.
        kills: number of workers that are lost by chance.
        step_by_step: whether a chunk ends after one step; else after the last one.
    """

    scheduler: Scheduler
    workers: int
    random: Random
    sick: frozenset[str] = frozenset()
    leavers: frozenset[str] = frozenset()
    kind: FailureClass = FailureClass.ERROR
    kills: int = 0
    step_by_step: bool = True
    running: list[Assignment] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def idle(self) -> int:
        return max(0, self.workers - sum(1 + assignment.helpers for assignment in self.running))

    def run(self) -> None:
        """Runs to the end, which takes a few hundred events."""
        for _ in range(10_000):
            if self.scheduler.finished:
                return
            self.start()
            self.come_back()
        raise AssertionError("the simulation does not end")

    def start(self) -> None:
        idle = self.idle
        started = self.scheduler.start(idle, self.workers)
        assert sum(1 + assignment.helpers for assignment in started) <= idle
        for assignment in started:
            check_task(assignment)
        self.running += started
        for _ in range(self.random.randrange(30)):
            self.scheduler.look_ahead(self.workers)

    def come_back(self) -> None:
        """Ends one of the running tasks."""
        if not self.running:
            return
        works = self.running.pop(self.random.randrange(len(self.running))).works
        if self.kills and self.random.random() < 0.2:
            self.kills -= 1
            self.lose(works, FailureClass.LOST)
        elif self.kind in LOSSES and any(self.is_sick(work) for work in works):
            self.lose(works, self.kind)
        else:
            for work in works:
                self.lose([work], self.kind) if self.is_sick(work) else self.advance(work)

    def is_sick(self, work: Work) -> bool:
        return not self.sick.isdisjoint(work.pack.ids)

    def lose(self, works: Sequence[Work], kind: FailureClass) -> None:
        for work in works:
            failed = self.scheduler.failed(work, failure(kind))
            if failed is not None:
                self.failed.update(failed.work.pack.ids)

    def advance(self, work: Work) -> None:
        after = work.pack.step + 1 if self.step_by_step else STEPS
        for step in range(work.pack.step, after):
            self.steps.update((trial, step) for trial in work.pack.ids)
        stay = [row for row, trial in enumerate(work.pack.ids) if trial not in self.leavers]
        self.ended.update(trial for trial in work.pack.ids if trial in self.leavers)
        rest: Pack | None = replace(work.pack.take(stay), step=after)
        if rest is not None and rest.step == STEPS:
            self.ended.update(rest.ids)
            rest = None
        seconds = self.random.choice([SHORT, 3 * SHORT, LONG])
        self.scheduler.advanced(work, rest if rest is not None and rest.ids else None, seconds, EXPENSIVE)


def check_task(assignment: Assignment) -> None:
    """Packs of one task come from the plan, have one structure, and no helpers."""
    if len(assignment.works) > 1:
        assert len(assignment.works) <= 32
        assert all((work.attempts, work.pack.step, work.failures) == (1, 0, {}) for work in assignment.works)
        assert len({work.pack.pinned.key for work in assignment.works}) == 1
        assert (assignment.helpers, assignment.one_step) == (0, False)


@given(
    trials=st.integers(1, 24),
    size=st.integers(1, 9),
    workers=st.integers(1, 6),
    shards=st.integers(1, 4),
    kind=st.sampled_from(FailureClass),
    kills=st.integers(0, BUDGET[FailureClass.LOST] - 1),
    step_by_step=st.booleans(),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_every_trial_ends_once_and_only_sick_ones_fail(
    trials: int,
    size: int,
    workers: int,
    shards: int,
    kind: FailureClass,
    kills: int,
    step_by_step: bool,
    random: Random,
) -> None:
    ids = [trial for pack in packs(trials, size, shards) for trial in pack.pack.ids]
    sick = frozenset(trial for trial in ids if random.random() < 0.15)
    leavers = frozenset(trial for trial in ids if random.random() < 0.15) - sick
    simulation = Simulation(
        scheduler(trials, size, shards), workers, random, sick, leavers, kind, kills, step_by_step
    )
    simulation.run()
    assert simulation.failed == Counter(sick)
    assert simulation.ended == Counter(set(ids) - sick)
    assert set(simulation.steps.values()) <= {1}
    expected = {(trial, step) for trial in set(ids) - sick - leavers for step in range(STEPS)}
    assert {key for key in simulation.steps if key[0] not in leavers} == expected


@given(workers=st.integers(1, 9), trials=st.integers(1, 9), random=st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_stopped_scheduler_starts_nothing_and_waits_for_running_packs(
    workers: int, trials: int, random: Random
) -> None:
    simulation = Simulation(scheduler(trials, 1), workers, random)
    simulation.start()
    simulation.scheduler.stopping = True
    while simulation.running:
        assert not simulation.scheduler.finished
        assert simulation.scheduler.start(workers, workers) == []
        for work in simulation.running.pop().works:
            simulation.advance(work)
    assert simulation.scheduler.finished


@given(
    trials=st.integers(1, 24),
    size=st.integers(1, 9),
    workers=st.integers(1, 6),
    kills=st.integers(0, BUDGET[FailureClass.LOST] - 1),
    step_by_step=st.booleans(),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_cancelled_trials_are_dropped_once_wherever_they_are_and_the_others_end(
    trials: int, size: int, workers: int, kills: int, step_by_step: bool, random: Random
) -> None:
    ids = [trial for pack in packs(trials, size) for trial in pack.pack.ids]
    simulation = Simulation(scheduler(trials, size), workers, random, kills=kills, step_by_step=step_by_step)
    asked: set[str] = set()
    dropped: Counter[str] = Counter()
    while not simulation.scheduler.finished:
        if random.random() < 0.3:
            late = {trial for trial in random.sample(ids, 1) if not simulation.ended[trial]}
            simulation.scheduler.cancel(late)
            asked |= late
        simulation.start()
        simulation.come_back()
        dropped.update(trial for work in simulation.scheduler.dropped() for trial in work.pack.ids)
    assert set(dropped) <= asked
    assert simulation.ended + dropped == Counter(ids)
    assert not simulation.failed


def started(one: Scheduler, workers: int = 1) -> list[Work]:
    """Starts tasks on idle workers and returns their packs."""
    return [work for assignment in one.start(workers, workers) for work in assignment.works]


def test_queued_trial_is_dropped_at_its_current_step() -> None:
    one = scheduler(4, 2)
    (first,) = started(one)
    one.advanced(first, replace(first.pack, step=1), SHORT, CHEAP)
    cancelled, kept = first.pack.ids
    one.cancel([cancelled])
    (dropped,) = one.dropped()
    assert (dropped.pack.ids, dropped.pack.step, set(dropped.planned)) == ((cancelled,), 1, {cancelled})
    assert started(one)[0].pack.ids == (kept,)
    assert one.dropped() == []


def test_packs_are_drawn_only_for_idle_workers() -> None:
    drawn = packs(6, 1)
    Scheduler(drawn, THRESHOLD).start(2, 2)
    assert len(list(drawn)) == 4


def test_begun_pack_goes_on_before_a_new_one_starts() -> None:
    one = scheduler(3, 1)
    (first,) = started(one)
    one.advanced(first, first.pack, SHORT, CHEAP)
    assert started(one)[0].pack == first.pack


def fail_only_pack(one: Scheduler, *kinds: FailureClass) -> None:
    """Fails the only pack with these classes of failure, restarting it each time."""
    for kind in kinds:
        assert one.failed(started(one)[0], failure(kind)) is None


def test_attempts_count_retries() -> None:
    one = scheduler(2, 2)
    (first,) = started(one)
    assert one.failed(first, failure(FailureClass.CRASH)) is None
    (second,) = started(one)
    assert one.failed(second, failure(FailureClass.ERROR)) is None
    (half,) = started(one)
    failed = one.failed(half, failure(FailureClass.ERROR))
    assert (first.attempts, second.attempts, half.attempts) == (1, 2, 3)
    assert failed is not None
    assert (failed.work.attempts, failed.error) == (3, "error: killed")


@pytest.mark.parametrize("kind", FailureClass)
def test_budget_is_restored_by_every_step(kind: FailureClass) -> None:
    one, often = scheduler(1, 1), BUDGET[kind]
    for _ in range(3):
        fail_only_pack(one, *[kind] * (often - 1))
        (work,) = started(one)
        one.advanced(work, work.pack, SHORT, CHEAP)
    fail_only_pack(one, *[kind] * (often - 1))
    failed = one.failed(started(one)[0], failure(kind))
    assert failed is not None
    repeated = f", {often} times without a step in between; the last" if often > 1 else ""
    assert failed.error == f"{kind}{repeated}: killed"


def test_every_kind_of_failure_has_a_budget_of_its_own() -> None:
    one = scheduler(1, 1)
    fail_only_pack(one, *(kind for kind in FailureClass for _ in range(BUDGET[kind] - 1)))
    assert one.failed(started(one)[0], failure(FailureClass.MEMORY)) is not None


def test_halves_have_budgets_of_their_own() -> None:
    one, often = scheduler(2, 2), BUDGET[FailureClass.CRASH]
    fail_only_pack(one, *[FailureClass.CRASH] * often)
    for _ in range(often - 1):
        (work,) = started(one)
        assert len(work.pack.ids) == 1
        assert one.failed(work, failure(FailureClass.CRASH)) is None
    assert one.failed(started(one)[0], failure(FailureClass.CRASH)) is not None


def fail_all(marks: list[str], most_identical: int | None) -> Scheduler:
    """Single trials fail one after another, with these marks, until nothing more is started."""
    one = Scheduler(packs(len(marks), 1), THRESHOLD, most_identical)
    for mark in marks:
        for work in started(one):
            one.failed(work, failure(FailureClass.ERROR, mark))
    return one


def test_identical_failures_stop_the_sweep_at_their_limit() -> None:
    assert fail_all(["a", "b", "a", "b", "a", "a"], 3).stopped_by == ("a", 3)
    assert fail_all(["a", "b", "c", "a", "b", "c"], 3).stopped_by is None
    assert fail_all(["a", "a", "a", "a", "a", "a"], None).stopped_by is None


def test_sweep_stopped_by_failures_waits_for_running_packs() -> None:
    one = Scheduler(packs(3, 1), THRESHOLD, 1)
    first, second = started(one, 2)
    assert one.failed(first, failure(FailureClass.ERROR)) is not None
    assert (one.finished, one.start(2, 2)) == (False, [])
    one.advanced(second, None, SHORT, CHEAP)
    assert one.finished


def test_permanent_failure_fails_the_whole_pack() -> None:
    one = scheduler(4, 4)
    (work,) = started(one)
    failed = one.failed(work, Failure(FailureClass.ERROR, "the check says 1", "check", permanent=True))
    assert failed is not None
    assert failed.work.pack.ids == work.pack.ids
    one.start(1, 1)
    assert one.finished


def helpers_of(shard_seconds: float | None, packs_left: int, workers: int, shards: int) -> list[int]:
    """Helpers of each pack when all packs start together, with ``shard_seconds`` known or None."""
    one = scheduler(packs_left, 1, shards)
    assignments = one.start(packs_left, packs_left)
    if shard_seconds is not None:
        for assignment in reversed(assignments):
            (work,) = assignment.works
            one.advanced(work, work.pack, SHORT, shard_seconds)
        assignments = one.start(workers, workers)
    return [assignment.helpers for assignment in assignments]


def test_spare_workers_are_shared_out_fairly() -> None:
    assert helpers_of(EXPENSIVE, packs_left=2, workers=4, shards=4) == [1, 1]
    assert helpers_of(EXPENSIVE, packs_left=2, workers=5, shards=4) == [2, 1]
    assert helpers_of(EXPENSIVE, packs_left=1, workers=4, shards=4) == [3]
    assert helpers_of(EXPENSIVE, packs_left=3, workers=3, shards=4) == [0, 0, 0]


def test_pack_has_fewer_helpers_than_shards() -> None:
    assert helpers_of(EXPENSIVE, packs_left=1, workers=9, shards=3) == [2]
    assert helpers_of(EXPENSIVE, packs_left=1, workers=9, shards=1) == [0]


def test_cheap_shards_get_no_helpers() -> None:
    assert helpers_of(CHEAP, packs_left=1, workers=4, shards=4) == [0]


def test_busy_packs_keep_their_share_for_their_next_chunk() -> None:
    one = scheduler(2, 1)
    first, second = started(one, 2)
    one.advanced(first, first.pack, LONG, EXPENSIVE)
    (again,) = one.start(3, 4)
    assert again.helpers == 1  # of three idle workers: half of all is for the other pack
    one.advanced(second, None, LONG, EXPENSIVE)
    one.advanced(again.works[0], first.pack, LONG, EXPENSIVE)
    assert one.start(4, 4)[0].helpers == 3


def test_cost_of_a_shard_is_measured_by_one_step_if_workers_are_spare() -> None:
    assert [a.one_step for a in scheduler(1, 1).start(2, 2)] == [True]
    assert [a.one_step for a in scheduler(1, 1, shards=1).start(2, 2)] == [False]
    assert [a.one_step for a in scheduler(2, 1).start(2, 2)] == [False, False]


def test_with_a_threshold_of_zero_helpers_are_always_lent() -> None:
    (assignment,) = Scheduler(packs(1, 1), 0.0).start(4, 4)
    assert (assignment.helpers, assignment.one_step) == (3, False)


def timed(*seconds: float, trials: int = 1_000, workers: int = 1) -> Scheduler:
    """A scheduler to which packs of one trial have come back, each after these seconds."""
    one = scheduler(trials, 1)
    for time in seconds:
        (work,) = started(one)
        one.advanced(work, None, time, CHEAP)
    return filled(one, workers)


def filled(one: Scheduler, workers: int = 1) -> Scheduler:
    """The scheduler after it has drawn all packs that it queues ahead."""
    while one.look_ahead(workers):
        pass
    return one


def sizes(assignments: list[Assignment]) -> list[int]:
    """Number of packs in each task."""
    return [len(assignment.works) for assignment in assignments]


@pytest.mark.parametrize(
    ("seconds", "together"), [(0.05, 20), (0.25, 4), (0.75, 2), (1.0, 1), (5.0, 1), (1e-5, 32), (0.0, 32)]
)
def test_task_has_as_many_packs_as_take_a_second(seconds: float, together: int) -> None:
    assert sizes(timed(seconds, workers=2).start(2, 2)) == [together, together]


def test_packs_run_alone_until_one_of_their_structure_has_ended() -> None:
    assert sizes(timed(workers=2).start(2, 2)) == [1, 1]
    two = Scheduler(two_structures(), THRESHOLD)
    two.advanced(started(two)[0], None, SHORT, CHEAP)
    assert [sizes(filled(two).start(1, 1)) for _ in range(3)] == [[3], [1], [1]]


def two_structures() -> Iterator[PlannedPack]:
    """Four packs of one trial and one structure, then four of another."""
    return Packer(plan("batch.size: [4, 5]", "seed: {range: 4}"), lambda _: 1).packs()


def test_last_pack_that_came_back_predicts_the_time_of_the_next() -> None:
    assert sizes(timed(LONG, SHORT).start(1, 1)) == [20]
    assert sizes(timed(SHORT, LONG, LONG, LONG).start(1, 1)) == [1]


def test_packs_that_reach_the_limits_of_a_chunk_run_alone() -> None:
    one = timed(SHORT)
    (assignment,) = one.start(1, 1)
    for work in assignment.works:
        one.advanced(work, replace(work.pack, step=1), SHORT, CHEAP)
    for _ in assignment.works:
        (rest,) = started(filled(one))
        one.advanced(rest, None, SHORT, CHEAP)  # the time of the rest of a pack is not that of a whole one
    assert sizes(filled(one).start(1, 1)) == [1]


def test_packs_that_go_on_run_alone_though_others_are_short() -> None:
    one = timed(SHORT)
    first, second, *others = started(one)
    for work in (first, second):
        one.advanced(work, replace(work.pack, step=1), SHORT, CHEAP)
    for work in others:
        one.advanced(work, None, SHORT, CHEAP)
    assert [sizes(filled(one).start(1, 1)) for _ in range(3)] == [[1], [1], [20]]


def test_last_packs_are_shared_out_among_all_workers() -> None:
    one = timed(SHORT, trials=1 + 7)
    assert sizes(one.start(2, 2)) == [3, 3]
    assert sizes(one.start(2, 2)) == [1]


def test_look_ahead_draws_the_next_task_of_every_worker_in_portions() -> None:
    drawn = packs(1_000, 1)
    one = Scheduler(drawn, THRESHOLD)
    assert [one.look_ahead(3), one.look_ahead(3), one.look_ahead(3)] == [True, False, False]
    assert len(list(drawn)) == 1_000 - 6
    assert sizes(timed(SHORT, workers=3).start(3, 3)) == [20, 20, 20]


def test_packs_of_a_lost_task_run_alone_until_their_next_step() -> None:
    one = timed(SHORT)
    (assignment,) = one.start(1, 1)
    assert len(assignment.works) == 20
    for work in assignment.works:
        assert one.failed(work, failure(FailureClass.CRASH)) is None
    again = [started(one) for _ in assignment.works]
    assert {work.number for (work,) in again} == {work.number for work in assignment.works}
    assert [work.failures for (work,) in again] == 20 * [{FailureClass.CRASH: 1}]


def test_halves_of_a_failed_pack_run_alone() -> None:
    one = scheduler(8, 2)
    one.advanced(started(one)[0], None, SHORT, CHEAP)
    for work in started(filled(one)):
        one.failed(work, failure(FailureClass.ERROR))
    assert sizes(one.start(9, 1)) == 6 * [1]
