"""The rule that decides from markers which commits count."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.manifest import FANOUT, Commit, chain, due_for_merge


def grow(count: int) -> tuple[tuple[Commit, ...], list[Commit], dict[int, list[int]]]:
    """Makes ``count`` commits and merges them when a merge is due.

    Returns:
        The commits that count, all commits ever made, and the original commits in each commit.
    """
    counted: tuple[Commit, ...] = ()
    ever: list[Commit] = []
    stands_for: dict[int, list[int]] = {}
    for original in range(count):
        number, follows = len(ever) + 1, counted[-1].number if counted else 0
        counted += (Commit(number, follows, 0, (), {}),)
        ever.append(counted[-1])
        stands_for[number] = [original]
        while tail := due_for_merge(counted):
            replaces = tuple(commit.number for commit in tail)
            merged = Commit(len(ever) + 1, tail[0].follows, tail[0].level + 1, replaces, {})
            stands_for[merged.number] = [original for number in replaces for original in stands_for[number]]
            ever.append(merged)
            counted = (*counted[: -len(tail)], merged)
    return counted, ever, stands_for


def originals(commits: Iterable[Commit], stands_for: dict[int, list[int]]) -> list[int]:
    return [original for commit in commits for original in stands_for[commit.number]]


@given(st.integers(0, 3000))
def test_merging_keeps_all_commits_in_order_and_few_folders(count: int) -> None:
    counted, _, stands_for = grow(count)
    levels = [commit.level for commit in counted]
    assert originals(counted, stands_for) == list(range(count))
    assert all(levels.count(level) < FANOUT for level in levels)
    assert chain(counted, 0) == counted


@given(st.integers(0, 600), st.data())
def test_chain_holds_everything_once_whatever_replaced_commits_are_still_there(
    count: int, data: st.DataObject
) -> None:
    counted, ever, stands_for = grow(count)
    left_over = data.draw(st.lists(st.sampled_from(ever)) if ever else st.just([]))
    assert originals(chain([*counted, *left_over], 0), stands_for) == list(range(count))


@given(st.integers(1, 600), st.data())
def test_chain_without_some_commits_is_an_unbroken_beginning(count: int, data: st.DataObject) -> None:
    counted, _, stands_for = grow(count)
    damaged = data.draw(st.sets(st.integers(0, len(counted) - 1), min_size=1))
    intact = [commit for position, commit in enumerate(counted) if position not in damaged]
    assert originals(chain(intact, 0), stands_for) == originals(counted[: min(damaged)], stands_for)


@given(st.integers(1, 600))
def test_chain_from_the_last_compacted_commit_on_is_empty(count: int) -> None:
    counted, ever, _ = grow(count)
    assert chain(ever, counted[-1].number) == ()
