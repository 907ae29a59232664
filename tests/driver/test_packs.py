"""From the plan to packs: every trial that has not ended, once, with others at its step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sweeps import ids, plan, read, swept

from orchestrator.driver.packs import Done, Packer, pack_size
from orchestrator.tables.rows import SavedState
from orchestrator.trial.problem import problem, shard_bytes

TWO_STRUCTURES = plan("model.hidden: [[2], [3]]", "seed: {range: 7}")
"""14 trials."""


def done(ended: list[str], begun: Mapping[str, int]) -> Done:
    """Contents of a run; the state of a begun trial is its step, twice."""
    numbers = np.sort(np.array([int(trial, 16) for trial in ended], np.uint64))
    states = {trial: SavedState(step, np.array([step, step], np.float64)) for trial, step in begun.items()}
    return Done(numbers, states)


@given(
    size=st.integers(1, 9),
    steps=st.lists(st.sampled_from([0, 1, 2, None]), min_size=14, max_size=14),
)
def test_every_trial_that_has_not_ended_is_packed_once(size: int, steps: list[int | None]) -> None:
    step_of = dict(zip(ids(TWO_STRUCTURES), steps, strict=True))
    ended = [trial for trial, step in step_of.items() if step is None]
    begun = {trial: step for trial, step in step_of.items() if step}
    packs = list(Packer(TWO_STRUCTURES, lambda _: size, done(ended, begun)).packs())
    assert sorted(trial for p in packs for trial in p.pack.ids) == sorted(step_of.keys() - set(ended))
    for packed in packs:
        pack = packed.pack
        assert 1 <= len(pack.ids) <= size
        assert {step_of[trial] for trial in pack.ids} == {pack.step}
        assert len({trial.model for trial in pack.trials}) == 1
        assert [packed.planned[trial].trial for trial in pack.ids] == list(pack.trials)
        assert (pack.vectors is None) == (pack.step == 0)
        if pack.vectors is not None:
            assert pack.vectors.tolist() == [[pack.step, pack.step]] * len(pack.ids)


def test_packs_fill_before_another_starts() -> None:
    sizes = [len(packed.pack.ids) for packed in Packer(TWO_STRUCTURES, lambda _: 3).packs()]
    assert sizes == [3, 3, 1, 3, 3, 1]


def test_ended_trials_are_found_by_their_ids() -> None:
    names = ids(TWO_STRUCTURES)
    half = done(names[::2], {})
    assert [half.has_ended(trial) for trial in names] == [i % 2 == 0 for i in range(14)]
    assert not done([], {}).has_ended(names[0])


def test_halves_split_the_trials_between_them() -> None:
    (packed,) = Packer(plan("seed: {range: 5}"), lambda _: 64, done([], {})).packs()
    first, second = packed.pack.halves()
    assert first.ids + second.ids == packed.pack.ids
    assert (len(first.trials), len(second.trials)) == (2, 3)


def size(*items: str, workers: int, placement: str = "{}", left: int | None = None) -> int:
    """Trials in a pack of the only structure of a sweep."""
    sweep = read(swept(*items), f"placement={placement}")
    (structure,) = sweep.plan.structures
    return pack_size(sweep, structure, workers, left or sweep.plan.count)


def test_pack_size_gives_several_packs_to_every_worker() -> None:
    assert size("seed: {range: 32}", workers=2) == 4
    assert size("seed: {range: 2}", workers=8) == 1


def test_pack_size_follows_the_trials_still_to_be_run() -> None:
    assert size("seed: {range: 1000}", workers=2) == 125
    assert size("seed: {range: 1000}", workers=2, left=16) == 2


def test_pack_size_is_that_of_placement() -> None:
    assert size("seed: {range: 32}", workers=2, placement="{pack: 7}") == 7


def test_pack_size_is_bounded_by_count_and_by_memory() -> None:
    assert size("seed: {range: 100000}", workers=1) == 256
    items = ("model.hidden: [[500, 500]]", "batch.size: [16]", "seed: {range: 100000}")
    template = plan(*items).structures[0].template
    large = size(*items, workers=1)
    assert 1 < large < 256
    assert shard_bytes(template, problem(template), large) <= 256 << 20
