"""The sweep loop with all its parts, in this process."""

from __future__ import annotations

import math
from typing import Any

from fleets import nothing
from sweeps import plan

from orchestrator.driver.driver import Driver, Progress
from orchestrator.driver.ledger import Ledger
from orchestrator.driver.packs import Packer
from orchestrator.driver.scheduler import Scheduler
from orchestrator.fleet.inline import InlineFleet
from orchestrator.training.advance import Limits


class Discarding:
    """Discards all rows."""

    def commit(self, *_: Any) -> None:
        pass


def test_watchers_are_called_in_turn_and_once_more_when_all_is_committed() -> None:
    swept = plan("seed: {range: 3}")
    scheduler = Scheduler(Packer(swept, lambda _: 1).packs(), 0.01)
    progress, limits = Progress(swept.count), Limits(None, math.inf)
    driver = Driver(scheduler, InlineFleet(nothing), Discarding(), Ledger("{}"), progress, limits, math.inf)
    seen: list[tuple[str, int, int]] = []
    driver.run([lambda now, name=name: seen.append((name, now.ended, now.commits)) for name in "ab"])
    assert [name for name, *_ in seen] == ["a", "b"] * (len(seen) // 2)
    assert [counts for _, *counts in seen[::2]] == [counts for _, *counts in seen[1::2]]
    assert {ended for _, ended, _ in seen} == {1, 2, 3}
    assert seen[-1] == ("b", 3, 1)
