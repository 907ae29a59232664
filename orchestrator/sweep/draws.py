"""Sampled values: draw i of a key depends on the sampling seed, the key's path and i alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from orchestrator.config import near, show
from orchestrator.streams import philox

Transform = Callable[[float, float], Any]


@dataclass(frozen=True)
class Draws(Sequence[Any]):
    """The first ``length`` draws of one key, computed when asked for.

    Draws are Philox4x32-10 with the sampling seed as key and (i, SHA-256 of the path) as counter,
    turned into values by ``math`` alone and rounded to 10 significant digits: a longer sequence
    begins with the shorter one, and no other key changes it.
    """

    path: str
    seed: int
    length: int
    transform: Transform
    discrete: bool

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.length))]
        digest = hashlib.sha256(self.path.encode()).digest()
        high, low = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")
        words = philox((index & 0xFFFFFFFF, index >> 32, high, low), self.seed).tolist()
        first, second = ((a << 32 | b) >> 11 for a, b in (words[:2], words[2:]))
        return self.transform(first * 2.0**-53, second * 2.0**-53)


def distribution(spec: Any) -> tuple[Transform, bool, list[Any]]:
    """Reads ``{uniform: [a, b]}`` and its kin.

    Returns:
        The transform of two uniform numbers into a value, whether its values are discrete, and
        the extreme values that a draw can take (for ``normal``: none, it has no bounds).

    Raises:
        ValueError: the message says what would be legal.
    """
    if not isinstance(spec, dict) or len(spec) != 1:
        raise ValueError(f"is {show(spec)}; a sampled key needs one of {', '.join(_DISTRIBUTIONS)}")
    ((name, arguments),) = spec.items()
    if name not in _DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {name!r}" + near(name, _DISTRIBUTIONS))
    if not isinstance(arguments, list) or not arguments:
        raise ValueError(f"{name} needs a list, got {show(arguments)}")
    if name != "choice" and (len(arguments) != 2 or not all(map(_is_number, arguments))):
        raise ValueError(f"{name} needs two numbers, got {show(arguments)}")
    return _DISTRIBUTIONS[name](arguments)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")


def _ordered(name: str, low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"{name} needs its lower bound first, got [{low}, {high}]")


def _uniform(arguments: list[float]) -> tuple[Transform, bool, list[Any]]:
    low, high = arguments
    _ordered("uniform", low, high)
    return lambda u, _: _rounded(low + (high - low) * u), False, [_rounded(low), _rounded(high)]


def _log_uniform(arguments: list[float]) -> tuple[Transform, bool, list[Any]]:
    low, high = arguments
    _ordered("log_uniform", low, high)
    if low <= 0:
        raise ValueError(f"log_uniform needs positive bounds, got {show(arguments)}")
    ratio = math.log(high / low)
    return lambda u, _: _rounded(low * math.exp(ratio * u)), False, [_rounded(low), _rounded(high)]


def _normal(arguments: list[float]) -> tuple[Transform, bool, list[Any]]:
    mean, deviation = arguments
    if deviation <= 0:
        raise ValueError(f"normal needs [mean, positive standard deviation], got {show(arguments)}")

    def draw(u: float, v: float) -> float:  # Box and Muller (1958)
        return _rounded(mean + deviation * math.sqrt(-2 * math.log1p(-u)) * math.cos(2 * math.pi * v))

    return draw, False, []


def _integers(arguments: list[int]) -> tuple[Transform, bool, list[Any]]:
    low, high = arguments
    if not all(isinstance(bound, int) for bound in arguments) or low > high:
        raise ValueError(f"integers needs two whole numbers [low, high], got {show(arguments)}")
    return lambda u, _: low + math.floor(u * (high - low + 1)), True, [low, high]


def _choice(arguments: list[Any]) -> tuple[Transform, bool, list[Any]]:
    return lambda u, _: arguments[math.floor(u * len(arguments))], True, arguments


_DISTRIBUTIONS: dict[str, Callable[[list[Any]], tuple[Transform, bool, list[Any]]]] = {
    "uniform": _uniform,
    "log_uniform": _log_uniform,
    "normal": _normal,
    "integers": _integers,
    "choice": _choice,
}
