"""The scheduler under random orders of events: nothing is lost, nothing done twice, only the guilty fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import plan

from orchestrator.driver.failures import BUDGET, Failure, Kind
from orchestrator.driver.packs import Packer, PlannedPack
from orchestrator.driver.scheduler import Assignment, Scheduler, Work
from orchestrator.training.pack import Pack

STEPS = 3
EXPENSIVE, CHEAP, THRESHOLD = 1.0, 0.001, 0.01


def failure(kind: Kind, mark: str = "guilty") -> Failure:
    return Failure(kind, "killed", mark)


def packs(trials: int, size: int, shards: int = 4) -> Iterator[PlannedPack]:
    """Real packs of real trials, drawn one by one."""
    base = {"batch.shards": [shards], "seed": {"range": trials}}
    items = [f"{{{key}: {value}}}".replace("'", "") for key, value in base.items()]
    return Packer(plan(*items), lambda _: size).packs()


def scheduler(trials: int, size: int, shards: int = 4) -> Scheduler:
    return Scheduler(packs(trials, size, shards), THRESHOLD)


@dataclass
class Bench:
    """Plays the driver and its fleet: starts what it may, lets random work come back in random ways.

    Attributes:
        guilty: trials in whose company every attempt fails in the way of ``crime``.
        leavers: trials that end before their last step, as diverged ones do.
        kills: how many workers are lost by chance.
    """

    scheduler: Scheduler
    workers: int
    random: Random
    guilty: frozenset[str] = frozenset()
    leavers: frozenset[str] = frozenset()
    crime: Kind = Kind.ERROR
    kills: int = 0
    out: list[Assignment] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def idle(self) -> int:
        return max(0, self.workers - sum(1 + assignment.helpers for assignment in self.out))

    def run(self) -> None:
        """Until all is done, which takes a few hundred events."""
        for _ in range(10_000):
            if self.scheduler.finished:
                return
            self.start()
            if self.out:
                self.come_back(self.out.pop(self.random.randrange(len(self.out))).work)
        raise AssertionError("it does not end")

    def start(self) -> None:
        idle = self.idle
        started = self.scheduler.start(idle, self.workers)
        assert sum(1 + assignment.helpers for assignment in started) <= idle
        self.out += started
        if idle == len(started) and self.random.random() < 0.5:
            self.scheduler.look_ahead(2 * self.workers)
            behind = self.scheduler.behind(self.workers, self.workers)
            assert len(behind) <= self.workers
            assert all(not assignment.helpers for assignment in behind)
            self.out += behind

    def come_back(self, work: Work) -> None:
        if self.kills and self.random.random() < 0.2:
            self.kills -= 1
            given_up = self.scheduler.failed(work, failure(Kind.LOST))
        elif self.guilty & set(work.pack.ids):
            given_up = self.scheduler.failed(work, failure(self.crime))
        else:
            return self.advance(work)
        if given_up is not None:
            self.failed.update(given_up.work.pack.ids)
        return None

    def advance(self, work: Work) -> None:
        self.steps.update((trial, work.pack.step) for trial in work.pack.ids)
        stay = [row for row, trial in enumerate(work.pack.ids) if trial not in self.leavers]
        self.ended.update(trial for trial in work.pack.ids if trial in self.leavers)
        rest: Pack | None = replace(work.pack.take(stay), step=work.pack.step + 1)
        if rest is not None and rest.step == STEPS:
            self.ended.update(rest.ids)
            rest = None
        self.scheduler.advanced(work, rest if rest is not None and rest.ids else None, EXPENSIVE)


@given(
    trials=st.integers(1, 24),
    size=st.integers(1, 9),
    workers=st.integers(1, 6),
    shards=st.integers(1, 4),
    crime=st.sampled_from(Kind),
    kills=st.integers(0, BUDGET[Kind.LOST] - 1),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_every_trial_ends_once_and_only_the_guilty_fail(
    trials: int, size: int, workers: int, shards: int, crime: Kind, kills: int, random: Random
) -> None:
    ids = [trial for pack in packs(trials, size, shards) for trial in pack.pack.ids]
    guilty = frozenset(trial for trial in ids if random.random() < 0.15)
    leavers = frozenset(trial for trial in ids if random.random() < 0.15) - guilty
    bench = Bench(scheduler(trials, size, shards), workers, random, guilty, leavers, crime, kills)
    bench.run()
    assert bench.failed == Counter(guilty)
    assert bench.ended == Counter(set(ids) - guilty)
    assert set(bench.steps.values()) <= {1}
    expected = {(trial, step) for trial in set(ids) - guilty - leavers for step in range(STEPS)}
    assert {key for key in bench.steps if key[0] not in leavers} == expected


@given(workers=st.integers(1, 9), trials=st.integers(1, 9), random=st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_stopped_schedule_starts_nothing_and_waits_for_what_is_out(
    workers: int, trials: int, random: Random
) -> None:
    bench = Bench(scheduler(trials, 1), workers, random)
    bench.start()
    bench.scheduler.stopping = True
    while bench.out:
        assert not bench.scheduler.finished
        assert bench.scheduler.start(workers, workers) == []
        bench.advance(bench.out.pop().work)
    assert bench.scheduler.finished


@given(
    trials=st.integers(1, 24),
    size=st.integers(1, 9),
    workers=st.integers(1, 6),
    kills=st.integers(0, BUDGET[Kind.LOST] - 1),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_cancelled_trials_are_dropped_once_wherever_they_are_and_the_others_end(
    trials: int, size: int, workers: int, kills: int, random: Random
) -> None:
    ids = [trial for pack in packs(trials, size) for trial in pack.pack.ids]
    bench = Bench(scheduler(trials, size), workers, random, kills=kills)
    asked: set[str] = set()
    dropped: Counter[str] = Counter()
    while not bench.scheduler.finished:
        if random.random() < 0.3:
            late = {trial for trial in random.sample(ids, 1) if not bench.ended[trial]}
            bench.scheduler.cancel(late)
            asked |= late
        bench.start()
        if bench.out:
            bench.come_back(bench.out.pop(random.randrange(len(bench.out))).work)
        dropped.update(trial for work in bench.scheduler.dropped() for trial in work.pack.ids)
    assert set(dropped) <= asked
    assert bench.ended + dropped == Counter(ids)
    assert not bench.failed


def test_trial_that_waits_is_dropped_as_it_stands() -> None:
    one = scheduler(4, 2)
    (first,) = one.start(1, 1)
    one.advanced(first.work, replace(first.work.pack, step=1), CHEAP)
    gone, stays = first.work.pack.ids
    one.cancel([gone])
    (dropped,) = one.dropped()
    assert (dropped.pack.ids, dropped.pack.step, set(dropped.planned)) == ((gone,), 1, {gone})
    assert one.start(1, 1)[0].work.pack.ids == (stays,)
    assert one.dropped() == []


def test_packs_are_drawn_only_when_there_is_a_worker_for_them() -> None:
    drawn = packs(6, 1)
    Scheduler(drawn, THRESHOLD).start(2, 2)
    assert len(list(drawn)) == 4


def test_begun_pack_goes_on_before_a_new_one_starts() -> None:
    one = scheduler(3, 1)
    (assignment,) = one.start(1, 1)
    one.advanced(assignment.work, assignment.work.pack, CHEAP)
    assert one.start(1, 1)[0].work.pack == assignment.work.pack


def fail_alone(one: Scheduler, *kinds: Kind) -> None:
    """Lets the only work that is there fail so, and be taken up again each time."""
    for kind in kinds:
        assert one.failed(one.start(1, 1)[0].work, failure(kind)) is None


def test_attempts_count_what_was_handed_out_anew() -> None:
    one = scheduler(2, 2)
    (first,) = one.start(1, 1)
    assert one.failed(first.work, failure(Kind.CRASH)) is None
    (second,) = one.start(1, 1)
    assert one.failed(second.work, failure(Kind.ERROR)) is None
    (half,) = one.start(1, 1)
    given_up = one.failed(half.work, failure(Kind.ERROR))
    assert (first.work.attempts, second.work.attempts, half.work.attempts) == (1, 2, 3)
    assert given_up is not None
    assert (given_up.work.attempts, given_up.error) == (3, "error: killed")


@pytest.mark.parametrize("kind", Kind)
def test_budget_starts_anew_with_every_step_forward(kind: Kind) -> None:
    one, often = scheduler(1, 1), BUDGET[kind]
    for _ in range(3):
        fail_alone(one, *[kind] * (often - 1))
        work = one.start(1, 1)[0].work
        one.advanced(work, work.pack, CHEAP)
    fail_alone(one, *[kind] * (often - 1))
    given_up = one.failed(one.start(1, 1)[0].work, failure(kind))
    assert given_up is not None
    often_told = f", {often} times without a step between; the last" if often > 1 else ""
    assert given_up.error == f"{kind}{often_told}: killed"


def test_every_kind_of_failure_has_a_budget_of_its_own() -> None:
    one = scheduler(1, 1)
    fail_alone(one, *(kind for kind in Kind for _ in range(BUDGET[kind] - 1)))
    assert one.failed(one.start(1, 1)[0].work, failure(Kind.MEMORY)) is not None


def test_halves_have_budgets_of_their_own() -> None:
    one, often = scheduler(2, 2), BUDGET[Kind.CRASH]
    fail_alone(one, *[Kind.CRASH] * often)
    for _ in range(often - 1):
        work = one.start(1, 1)[0].work
        assert len(work.pack.ids) == 1
        assert one.failed(work, failure(Kind.CRASH)) is None
    assert one.failed(one.start(1, 1)[0].work, failure(Kind.CRASH)) is not None


def fail_all(marks: list[str], most_identical: int | None) -> Scheduler:
    """Single trials fail one after another, with these marks, until nothing more is started."""
    one = Scheduler(packs(len(marks), 1), THRESHOLD, most_identical)
    for mark in marks:
        for assignment in one.start(1, 1):
            one.failed(assignment.work, failure(Kind.ERROR, mark))
    return one


def test_so_many_identical_failures_stop_the_sweep() -> None:
    assert fail_all(["a", "b", "a", "b", "a", "a"], 3).fed_up == ("a", 3)
    assert fail_all(["a", "b", "c", "a", "b", "c"], 3).fed_up is None
    assert fail_all(["a", "a", "a", "a", "a", "a"], None).fed_up is None


def test_sweep_that_is_fed_up_waits_for_what_is_out() -> None:
    one = Scheduler(packs(3, 1), THRESHOLD, 1)
    first, second = one.start(2, 2)
    assert one.failed(first.work, failure(Kind.ERROR)) is not None
    assert (one.finished, one.start(2, 2)) == (False, [])
    one.advanced(second.work, None, CHEAP)
    assert one.finished


def test_error_that_holds_for_all_fails_the_whole_pack() -> None:
    one = scheduler(4, 4)
    (assignment,) = one.start(1, 1)
    given_up = one.failed(assignment.work, Failure(Kind.ERROR, "the check says 1", "check", permanent=True))
    assert given_up is not None
    assert given_up.work.pack.ids == assignment.work.pack.ids
    one.start(1, 1)
    assert one.finished


def helpers_of(shard_seconds: float | None, packs_left: int, workers: int, shards: int) -> list[int]:
    """Helpers of each pack when all of them start at once; ``shard_seconds`` is known from before."""
    one = scheduler(packs_left, 1, shards)
    started = one.start(packs_left, packs_left)
    if shard_seconds is not None:
        for assignment in reversed(started):
            one.advanced(assignment.work, assignment.work.pack, shard_seconds)
        started = one.start(workers, workers)
    return [assignment.helpers for assignment in started]


def test_workers_to_spare_are_shared_out_fairly() -> None:
    assert helpers_of(EXPENSIVE, packs_left=2, workers=4, shards=4) == [1, 1]
    assert helpers_of(EXPENSIVE, packs_left=2, workers=5, shards=4) == [2, 1]
    assert helpers_of(EXPENSIVE, packs_left=1, workers=4, shards=4) == [3]
    assert helpers_of(EXPENSIVE, packs_left=3, workers=3, shards=4) == [0, 0, 0]


def test_pack_has_no_more_helpers_than_shards_to_give_away() -> None:
    assert helpers_of(EXPENSIVE, packs_left=1, workers=9, shards=3) == [2]
    assert helpers_of(EXPENSIVE, packs_left=1, workers=9, shards=1) == [0]


def test_cheap_shards_stay_at_home() -> None:
    assert helpers_of(CHEAP, packs_left=1, workers=4, shards=4) == [0]


def test_busy_packs_keep_their_share_for_their_next_chunk() -> None:
    one = scheduler(2, 1)
    first, second = one.start(2, 4)
    one.advanced(first.work, first.work.pack, EXPENSIVE)
    (again,) = one.start(3, 4)
    assert again.helpers == 1  # though three are idle: the other pack is owed its half
    one.advanced(second.work, None, EXPENSIVE)
    one.advanced(again.work, again.work.pack, EXPENSIVE)
    assert one.start(4, 4)[0].helpers == 3


def test_cost_of_a_shard_is_measured_by_one_step_if_helpers_are_free() -> None:
    assert [a.one_step for a in scheduler(1, 1).start(2, 2)] == [True]
    assert [a.one_step for a in scheduler(1, 1, shards=1).start(2, 2)] == [False]
    assert [a.one_step for a in scheduler(2, 1).start(2, 2)] == [False, False]


def test_threshold_of_zero_always_calls_for_help() -> None:
    (assignment,) = Scheduler(packs(1, 1), 0.0).start(4, 4)
    assert (assignment.helpers, assignment.one_step) == (3, False)


def test_next_tasks_are_those_that_no_worker_will_be_idle_for() -> None:
    one = scheduler(trials=4, size=1)
    assert len(one.start(2, 2)) == 2
    one.look_ahead(4)
    assert one.behind(2, 2) == []  # the two that are left end the sweep at once, on two workers
    many = scheduler(trials=9, size=1)
    assert len(many.start(2, 2)) == 2
    many.look_ahead(4)
    assert [len(many.behind(room, 2)) for room in (1, 2)] == [1, 1]
    many.stopping = True
    assert many.behind(2, 0) == []
