"""Sampled values: draw i of a key depends on the sampling seed, the key's path and i alone."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

import numpy as np

from orchestrator.config.text import show, suggest
from orchestrator.process import track
from orchestrator.streams import philox

Transform = Callable[[float, float], Any]
"""Maps two independent numbers, uniform in [0, 1) with 53 bits, to a value."""

_BLOCK = 512
"""Number of draws whose uniform numbers are computed in one call."""


@dataclass(frozen=True)
class Draws(Sequence[Any]):
    """The first ``length`` draws of one key, computed on demand.

    Draw i is Philox4x32-10 with the sampling seed as key and (i, SHA-256 of the path) as counter. Pure
    ``math`` turns it into a value, rounded to 10 significant digits. So a longer sequence begins with the
    shorter one, and no other key changes a draw.

    Example:
        >>> list(Draws("batch.size", 0, 3, distribution({"integers": [1, 9]})[0]))
        [4, 5, 4]
    """

    path: str
    seed: int
    length: int
    transform: Transform

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(self.length)[index]]
        if not 0 <= index < self.length:
            raise IndexError(index)
        block, offset = divmod(index, _BLOCK)
        return self.transform(*_uniforms(self.path, self.seed, block)[offset])


@lru_cache(maxsize=64)
def _uniforms(path: str, seed: int, block: int) -> list[tuple[float, float]]:
    """Returns the pairs of uniform numbers for the draws of a block."""
    digest = hashlib.sha256(path.encode()).digest()
    high, low = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")
    index = np.arange(block * _BLOCK, (block + 1) * _BLOCK, dtype=np.uint64)
    words = philox((index & np.uint64(0xFFFFFFFF), index >> np.uint64(32), high, low), seed).astype(np.uint64)
    bits = (words[:, 0::2] << np.uint64(32) | words[:, 1::2]) >> np.uint64(11)
    return [(first, second) for first, second in (bits * 2.0**-53).tolist()]


def distinct(columns: Sequence[Sequence[Any]], key: Callable[[Any], Any]) -> Sequence[int]:
    """Returns the positions whose joint values occur at no earlier position.

    Reads all values, and takes about 30 bytes of memory for each position.

    Args:
        columns: sequences of equal length.
        key: maps a value to a hashable that is equal for equal values.
    """

    def joint(position: int) -> tuple[Any, ...]:
        return tuple(key(column[position]) for column in columns)

    count = len(columns[0])
    positions = track(range(count), count, "looking for repeated samples")
    hashes = np.fromiter((hash(joint(position)) for position in positions), np.int64, count)
    ordered = np.sort(hashes)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(shared):
        return range(count)
    first: dict[Any, int] = {}
    suspects = np.flatnonzero(np.isin(hashes, shared)).tolist()
    repeated = {position for position in suspects if first.setdefault(joint(position), position) != position}
    return array("q", (position for position in range(count) if position not in repeated))


def distribution(spec: Any) -> tuple[Transform, Sequence[Any]]:
    """Reads a distribution such as ``{uniform: [a, b]}``.

    Returns:
        The transform of two uniform numbers into a value, and values that are legal only if all draws
        are: the least and the greatest, or every choice. For ``normal``, which is unbounded, no values.

    Raises:
        ValueError: the message says what would be legal.
    """
    if not isinstance(spec, dict) or len(spec) != 1:
        raise ValueError(f"is {show(spec)}; a sampled key needs one of {', '.join(DISTRIBUTIONS)}")
    ((name, arguments),) = spec.items()
    if name not in DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {name!r}" + suggest(name, DISTRIBUTIONS))
    if not isinstance(arguments, list) or not arguments:
        raise ValueError(f"{name} needs a list, got {show(arguments)}")
    if name != "choice" and (len(arguments) != 2 or not all(map(_is_number, arguments))):
        raise ValueError(f"{name} needs two numbers, got {show(arguments)}")
    return DISTRIBUTIONS[name](arguments)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")


def _uniform(arguments: list[float]) -> tuple[Transform, Sequence[Any]]:
    low, high = arguments
    if not low < high:
        raise ValueError(f"uniform needs [low, high] with low < high, got {show(arguments)}")
    return lambda u, _: _rounded(low + (high - low) * u), [_rounded(low), _rounded(high)]


def _log_uniform(arguments: list[float]) -> tuple[Transform, Sequence[Any]]:
    low, high = arguments
    if not 0 < low < high:
        raise ValueError(f"log_uniform needs [low, high] with 0 < low < high, got {show(arguments)}")
    start, span = math.log(low), math.log(high) - math.log(low)
    return lambda u, _: _rounded(math.exp(start + span * u)), [_rounded(low), _rounded(high)]


def _normal(arguments: list[float]) -> tuple[Transform, Sequence[Any]]:
    mean, deviation = arguments
    if deviation <= 0:
        raise ValueError(
            f"normal needs [mean, standard deviation] with a positive one, got {show(arguments)}"
        )

    def draw(u: float, v: float) -> float:  # Box and Muller (1958)
        return _rounded(mean + deviation * math.sqrt(-2 * math.log1p(-u)) * math.cos(2 * math.pi * v))

    return draw, []


def _integers(arguments: list[int]) -> tuple[Transform, Sequence[Any]]:
    low, high = arguments
    if not all(type(bound) is int for bound in arguments) or low > high:
        raise ValueError(f"integers needs whole numbers [low, high], both included, got {show(arguments)}")
    return lambda u, _: low + math.floor(u * (high - low + 1)), [low, high]


def _choice(arguments: list[Any]) -> tuple[Transform, Sequence[Any]]:
    return lambda u, _: arguments[math.floor(u * len(arguments))], arguments


DISTRIBUTIONS: dict[str, Callable[[list[Any]], tuple[Transform, Sequence[Any]]]] = {
    "uniform": _uniform,
    "log_uniform": _log_uniform,
    "normal": _normal,
    "integers": _integers,
    "choice": _choice,
}
