"""The updates of a pack, one after another, with the numbers of its trials side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.groups import Array, Group
from orchestrator.updates.base import Optimizer, State, Update
from orchestrator.updates.context import Losses, StepContext, no_losses


@dataclass(frozen=True)
class ChainState:
    """What the updates of a chain remember between steps.

    Attributes:
        states: one state per update, in chain order.
    """

    states: tuple[State, ...]

    def take(self, rows: NDArray[np.intp]) -> ChainState:
        """The state of some rows of the pack, in the order given."""
        return ChainState(tuple(_take(state, rows) for state in self.states))


@dataclass(frozen=True)
class Applied:
    """What one pass through a chain leaves.

    Attributes:
        clipped: [R, P] the gradient after the clips that stand before the optimiser; None if none does.
        update: [R, P] the end of the chain, to be subtracted from the parameters.
        state: for the next step.
    """

    clipped: Array | None
    update: Array
    state: ChainState


@dataclass(frozen=True)
class Chain:
    """The chains of R trials that differ in numbers only.

    Attributes:
        rows: R.
        updates: the kinds, in order; their own numbers do not count.
        numbers: for each update its hyper-parameters by name, [R, 1] each.
        groups: those of the model's parameters, for updates that treat each by itself.

    Example:
        >>> from orchestrator.updates.optimizers import Sgd
        >>> chain = Chain.of([[Sgd(optimizer="sgd", learning_rate=rate)] for rate in (0.1, 0.2)])
        >>> ones = np.ones((2, 1))
        >>> chain.apply(ones, chain.init(1), parameters=ones, loss=ones[:, 0]).update.tolist()
        [[0.1], [0.2]]
    """

    rows: int
    updates: tuple[Update, ...]
    numbers: tuple[Mapping[str, Array], ...]
    groups: tuple[Group, ...] = ()

    @classmethod
    def of(cls, chains: Sequence[Sequence[Update]], groups: tuple[Group, ...] = ()) -> Chain:
        """Stacks the chains of the trials of a pack.

        Raises:
            ValueError: they are not of equal kinds.
        """
        distinct = {tuple(map(id, chain)): chain for chain in chains}  # most trials share the very objects
        if len({tuple(_kind(update) for update in chain) for chain in distinct.values()}) != 1:
            raise ValueError("the chains of a pack must be of equal kinds")
        numbers = tuple(_stack(updates) for updates in zip(*chains, strict=True))
        return cls(len(chains), tuple(chains[0]), numbers, groups)

    @property
    def learning_rate(self) -> Array:
        """[R] the optimiser's learning rate; NaN without an optimiser."""
        for update, numbers in zip(self.updates, self.numbers, strict=True):
            if isinstance(update, Optimizer):
                return numbers["learning_rate"][:, 0]
        return np.full(self.rows, np.nan)

    def take(self, rows: NDArray[np.intp]) -> Chain:
        """The chain of some rows of the pack, in the order given."""
        numbers = tuple(_take(numbers, rows) for numbers in self.numbers)
        return Chain(len(rows), self.updates, numbers, self.groups)

    def init(self, parameters: int) -> ChainState:
        """The state before the first step of models of ``parameters`` parameters."""
        return ChainState(tuple(update.init(self.rows, parameters) for update in self.updates))

    def apply(
        self,
        gradient: Array,
        state: ChainState,
        *,
        parameters: Array,
        loss: Array,
        step: int = 0,
        steps: int = 1,
        metric: Array | None = None,
        losses: Losses = no_losses,
    ) -> Applied:
        """Sends the gradient [R, P] through the chain; the rest is in each update's ``StepContext``.

        Rows never mix: a row's numbers are the same to the last bit in any pack, whatever else is
        in it, and no floating-point warning is raised.
        """
        clipped, vector = None, np.ascontiguousarray(gradient)
        states: list[State] = []
        stepped = False
        with np.errstate(all="ignore"):
            for update, numbers, before in zip(self.updates, self.numbers, state.states, strict=True):
                context = StepContext(numbers, self.groups, parameters, loss, step, steps, metric, losses)
                vector, after = update.update(vector, before, context)
                states.append(after)
                stepped |= isinstance(update, Optimizer)
                clipped = clipped if stepped else vector
        return Applied(clipped, vector, ChainState(tuple(states)))

    def flatten(self, state: ChainState) -> Array:
        """All that ``state`` holds, [R, W] float64; W = 0 if it remembers nothing."""
        arrays = [one[name].reshape(self.rows, -1) for one in state.states for name in sorted(one)]
        return np.concatenate([np.empty((self.rows, 0)), *arrays], axis=1)

    def unflatten(self, matrix: Array, parameters: int) -> ChainState:
        """The state that ``flatten`` laid out as ``matrix`` [R, W], for ``parameters`` parameters.

        Raises:
            ValueError: the width is not that of this chain's state.
        """
        template = self.init(parameters)
        width = self.flatten(template).shape[1]
        if matrix.shape != (self.rows, width):
            raise ValueError(f"the state's shape is {matrix.shape}, must be {(self.rows, width)}")
        states, start = [], 0
        for empty in template.states:
            filled = {}
            for name in sorted(empty):
                stop = start + empty[name][0].size
                filled[name] = matrix[:, start:stop].reshape(empty[name].shape).copy()
                start = stop
            states.append(filled)
        return ChainState(tuple(states))


def _kind(update: Update) -> tuple[object, ...]:
    """What the updates at one place of a pack's chains share: all but their numbers."""
    names = type(update).model_fields.keys() - update.number_names()
    return (type(update), *((name, getattr(update, name)) for name in sorted(names)))


def _stack(updates: Sequence[Update]) -> Mapping[str, Array]:
    """[R, 1] each; NumPy makes NaN of None."""
    names = updates[0].number_names()
    return {name: np.array([[getattr(update, name)] for update in updates], np.float64) for name in names}


def _take(arrays: Mapping[str, Array], rows: NDArray[np.intp]) -> Mapping[str, Array]:
    return {name: array[rows] for name, array in arrays.items()}
