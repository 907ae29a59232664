"""The arithmetic of the benchmarks of whole sweeps, without Ray and without a clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sweeps import plan as planned

from benchmarks import scale, timed, tune
from benchmarks.marginal import Marginal, table
from benchmarks.timed import Call
from orchestrator.driver.packs import Packer
from orchestrator.driver.scheduler import Scheduler
from orchestrator.fleet.inline import InlineTeam
from orchestrator.training.advance import Limits


def test_shares_are_of_the_time_between_first_and_last_call() -> None:
    one, other = [Call(0.0, 1.0, 0.5), Call(1.5, 2.0, 0.5)], [Call(0.5, 2.0, 1.0)]
    assert timed.share_busy([one, other]) == 3.0 / 4.0
    assert timed.share_of_gradients([*one, *other]) == 2.0 / 3.0


def test_calls_are_logged_with_the_time_of_their_gradients(tmp_path: Path) -> None:
    pack = next(Packer(planned("seed: {range: 4}"), lambda _: 4).packs()).pack
    with timed.calls(tmp_path / "calls"):
        chunk = timed.driver.advance(InlineTeam(), pack, Limits(None, 60.0))
    ((call,),) = timed.read(tmp_path / "calls")
    assert call.gradients == pytest.approx(chunk.rows["trials"]["seconds_compute"].sum())
    assert 0.0 < call.gradients < call.seconds


def test_marginal_cost_excludes_the_start_of_a_sweep() -> None:
    own, peer = Marginal((1_000, 11_000), 3.0 + 0.5, 3.0 + 5.5), Marginal((100, 300), 9.0 + 5.0, 9.0 + 15.0)
    assert (own.trial_s, peer.trial_s) == (0.0005, 0.05)
    slow, quick = replace(own, larger_s=13.5), replace(own, larger_s=5.5)
    lines = table([slow, quick, own], {"Ray Tune": peer}).splitlines()
    assert lines[0].endswith("0.2, 0.5, 1 ms.")
    assert lines[-3:] == [
        "| orchestrator, median | 1,000, 11,000 | 3.5, 8.5 | 0.5 |",
        "| Ray Tune | 100, 300 | 14.0, 24.0 | 50 |",
        "| Ray Tune / orchestrator | | | 100 |",
    ]


@pytest.mark.parametrize(("workers", "trials", "size"), [(1, 10, 3), (4, 10, 1), (20, 10, 1)])
def test_simulated_workers_do_every_pack(workers: int, trials: int, size: int) -> None:
    packs = Packer(planned(f"seed: {{range: {trials}}}"), lambda _: size).packs()
    assert scale.play(Scheduler(packs, 0.01), workers) == -(-trials // size)


def test_step_of_tunes_network_follows_the_gradient() -> None:
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(7, 8)), random.integers(0, 2, 7).astype(float)
    parameters = [random.normal(size=size) for size in ((8, 3), (3,), (3, 1), (1,))]
    moved = [parameter.copy() for parameter in parameters]
    tune.step(moved, inputs, labels)

    def loss(index: int, shift: float) -> float:
        shifted = [parameter.copy() for parameter in parameters]
        shifted[index].flat[0] += shift
        return tune.step(shifted, inputs, labels)

    for index, (before, after) in enumerate(zip(parameters, moved, strict=True)):
        slope = (loss(index, 1e-6) - loss(index, -1e-6)) / 2e-6
        # Central difference: rounding is some 1e-16 / 1e-6, the term in step² far below that.
        assert (before - after).flat[0] / tune.LEARNING_RATE == pytest.approx(slope, abs=1e-8)
