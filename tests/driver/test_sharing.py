"""How many workers a step can use: the plan's prediction, and the scheduler's decision."""

from __future__ import annotations

import pytest
from sweeps import NETWORK, read, swept

from orchestrator.driver.estimate import Estimate, estimates
from orchestrator.driver.packs import Packer
from orchestrator.driver.scheduler import Scheduler
from orchestrator.driver.sharing import Sharing, sharing
from orchestrator.sweep.file import Sweep

WORTH_S = 0.01


def planned(shards: int, trials: int = 1, mode: str = "train") -> Sweep:
    """A sweep with mini-batches of 16 samples and packs of one trial."""
    base = NETWORK.replace("{size: 4, shards: 2}", f"{{size: 16, shards: {shards}}}")
    if mode == "probe":
        base = base.replace("    - {optimizer: sgd, learning_rate: 0.1}\n", "  mode: probe\n")
    return read(swept(f"seed: {{range: {trials}}}", base=base) + "placement: {pack: 1}\n")


def estimated(sweep: Sweep, workers: int) -> Estimate:
    return next(estimates(sweep, workers))


@pytest.mark.parametrize(
    ("shards", "gradient_s", "workers", "used", "better"),
    [
        (8, 1.0, 8, 8, None),
        (16, 1.0, 8, 8, None),
        (2, 1.0, 8, 2, 8),
        (1, 1.0, 8, 1, 8),
        (2, 1.0, 100, 2, 16),  # a shard has at least one sample
        (8, 0.041, 8, 1, 4),  # each of four just takes long enough
        (2, 0.041, 8, 2, 4),
        (8, 0.009, 8, 1, None),
    ],
)
def test_step_can_use_as_many_workers_as_it_has_shards_that_are_worth_it(
    shards: int, gradient_s: float, workers: int, used: int, better: int | None
) -> None:
    planned_step = estimated(planned(shards), workers)
    assert sharing(planned_step, gradient_s, 1, workers, WORTH_S) == Sharing(workers, used, shards, better)


def test_step_of_a_pack_takes_as_long_as_the_steps_of_all_its_trials() -> None:
    sweep = read(planned(8, trials=4).text.replace("pack: 1", "pack: 3"))
    assert sharing(estimated(sweep, 8), 0.03, 2, 8, WORTH_S).used == 4


def test_probe_computes_its_steps_in_one_call() -> None:
    assert sharing(estimated(planned(8, mode="probe"), 8), 0.03, 1, 8, WORTH_S).used == 8  # 3 steps of 30 ms


@pytest.mark.parametrize("workers", [2, 3, 5, 8])
@pytest.mark.parametrize("trials", [1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize("gradient_s", [0.02, 1.0])
def test_scheduler_lends_the_helpers_that_the_plan_predicts(
    workers: int, trials: int, shards: int, gradient_s: float
) -> None:
    """For the first pack; the last one may get fewer."""
    sweep = planned(shards, trials)
    scheduler = Scheduler(Packer(sweep.plan, lambda _: 1).packs(), WORTH_S)
    first, *others = scheduler.start(min(trials, workers), workers)
    (work,) = first.works
    scheduler.advanced(work, work.pack, gradient_s, gradient_s / shards)
    (again,) = scheduler.start(workers - len(others), workers)
    predicted = sharing(estimated(sweep, workers), gradient_s, trials, workers, WORTH_S)
    assert 1 + again.helpers == predicted.used
