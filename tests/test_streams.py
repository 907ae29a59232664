"""Random streams: the published generator, and numbers that depend on nothing but their coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.streams import Purpose, Streams, philox

# Known answers of philox4x32-10 from Random123 (Salmon et al.), file kat_vectors.
KNOWN = [
    ((0, 0, 0, 0), 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0A4093822,
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_answers(
    counter: tuple[int, int, int, int], key: int, expected: str
) -> None:
    assert " ".join(f"{word:08x}" for word in philox(counter, key).tolist()) == expected


SEEDS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8)


@given(seeds=SEEDS, step=st.integers(0, 2**31), count=st.integers(1, 17), row=st.integers(0, 7))
def test_numbers_are_those_that_a_row_has_alone(seeds: list[int], step: int, count: int, row: int) -> None:
    row %= len(seeds)
    together, alone = Streams(seeds, step), Streams([seeds[row]], step)
    for draw in (Streams.bits, Streams.uniform, Streams.normal, Streams.permutations):
        both = (draw(streams, Purpose.PARAMETERS, count) for streams in (together, alone))
        assert np.array_equal(next(both)[row], next(both)[0])


@given(seeds=SEEDS, count=st.integers(1, 9), more=st.integers(1, 9))
def test_more_numbers_begin_with_fewer(seeds: list[int], count: int, more: int) -> None:
    streams = Streams(seeds, 0)
    for draw in (Streams.bits, Streams.uniform, Streams.normal):
        longer = draw(streams, Purpose.AXES, count + more)
        assert np.array_equal(longer[:, :count], draw(streams, Purpose.AXES, count))


def test_streams_differ_in_every_coordinate() -> None:
    base = Streams([1], 0).bits(Purpose.PARAMETERS, 4)
    others = [
        Streams([2], 0).bits(Purpose.PARAMETERS, 4),
        Streams([1], 1).bits(Purpose.PARAMETERS, 4),
        Streams([1], 0).bits(Purpose.BATCHES, 4),
        Streams([1], 0).bits(Purpose.PARAMETERS, 4, lane=1),
        Streams([1], 0).part(1).bits(Purpose.PARAMETERS, 4),
        Streams([1], 0).measurement(1).bits(Purpose.PARAMETERS, 4),
        Streams([1], 0).measurement(2).bits(Purpose.PARAMETERS, 4),
        Streams([1], 0).measurement(2**24 - 1).bits(Purpose.PARAMETERS, 4),
        Streams([1], 0).measurement(1).part(1).bits(Purpose.PARAMETERS, 4),
    ]
    assert len(np.unique([base, *others])) == 4 * (1 + len(others))


def test_parts_and_their_parts_share_no_number() -> None:
    streams = Streams([1], 0)
    parts = [streams.part(index) for index in (1, 2, 4095)]
    inner = [part.part(index) for part in parts for index in (1, 2, 4095)]
    drawn = np.concatenate([part.bits(Purpose.PARAMETERS, 50) for part in (streams, *parts, *inner)])
    assert len(np.unique(drawn)) == drawn.size


def test_numbers_of_purposes_are_pinned() -> None:
    """The bits of every run depend on them."""
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "PARAMETERS": 1, "BATCHES": 2, "AXES": 3, "DATA": 4, "SHOTS": 5, "DIRECTIONS": 6,
    }  # fmt: skip


def test_uniform_is_uniform() -> None:
    numbers = Streams(range(100), 0).uniform(Purpose.DATA, 1000)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # 100,000 numbers: the standard errors of mean and variance are 9e-4 and 2.4e-4; five of them
    assert numbers.mean() == pytest.approx(1 / 2, abs=5 * 9e-4)
    assert numbers.var() == pytest.approx(1 / 12, abs=5 * 2.4e-4)


def test_normal_is_normal() -> None:
    numbers = Streams(range(100), 0).normal(Purpose.DATA, 1000)
    # 100,000 numbers: standard errors of mean, variance, fourth moment 3.2e-3, 4.5e-3, 3.1e-2; five of them
    assert numbers.mean() == pytest.approx(0, abs=5 * 3.2e-3)
    assert numbers.var() == pytest.approx(1, abs=5 * 4.5e-3)
    assert (numbers**4).mean() == pytest.approx(3, abs=5 * 3.1e-2)


def test_permutations_are_permutations_and_all_occur() -> None:
    orders = Streams(range(600), 0).permutations(Purpose.BATCHES, 3)
    assert (np.sort(orders, axis=1) == range(3)).all()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert (abs(counts - 100) < 5 * np.sqrt(100 * 5 / 6)).all()  # five standard deviations of a binomial
