"""Waiting for something to come true, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 90.0
"""Deadline of what takes a second or two; a test that reaches it has failed."""


def until(condition: Callable[[], T]) -> T:
    """The first true value of ``condition``, asked again and again."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)
    return value
