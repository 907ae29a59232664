"""The chain of updates of a pack: applied in order, with the hyper-parameters of all trials stacked."""

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
    """The states of a chain's updates between two steps.

    Attributes:
        states: one state per update, in chain order.
    """

    states: tuple[State, ...]

    def take(self, rows: NDArray[np.intp]) -> ChainState:
        """Returns the state of some rows of the pack, in the order of ``rows``."""
        return ChainState(tuple(_take(state, rows) for state in self.states))


@dataclass(frozen=True)
class Applied:
    """Result of one pass through a chain.

    Attributes:
        clipped: [R, P] the gradient after the clips that precede the optimiser; None without such clips.
        update: [R, P] output of the chain, to be subtracted from the parameters.
        state: for the next step.
    """

    clipped: Array | None
    update: Array
    state: ChainState


@dataclass(frozen=True)
class Chain:
    """The chains of R trials that differ in hyper-parameters only.

    Attributes:
        rows: R.
        updates: the updates of one trial, in order; their own hyper-parameters are ignored.
        numbers: per update, the hyper-parameters by name, [R, 1] each.
        groups: the model's groups of parameters, for updates that treat each group separately.

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
            ValueError: the chains are not of equal kinds.
        """
        distinct = {tuple(map(id, chain)): chain for chain in chains}  # most trials share these objects
        if len({tuple(_kind(update) for update in chain) for chain in distinct.values()}) != 1:
            raise ValueError("the chains of a pack must be of equal kinds")
        numbers = tuple(_stack(updates) for updates in zip(*chains, strict=True))
        return cls(len(chains), tuple(chains[0]), numbers, groups)

    @property
    def learning_rate(self) -> Array:
        """Learning rates of the optimiser, [R]; NaN without an optimiser."""
        for update, numbers in zip(self.updates, self.numbers, strict=True):
            if isinstance(update, Optimizer):
                return numbers["learning_rate"][:, 0]
        return np.full(self.rows, np.nan)

    def take(self, rows: NDArray[np.intp]) -> Chain:
        """Returns the chain of some rows of the pack, in the order of ``rows``."""
        numbers = tuple(_take(numbers, rows) for numbers in self.numbers)
        return Chain(len(rows), self.updates, numbers, self.groups)

    def init(self, parameters: int) -> ChainState:
        """Returns the state before the first step, for ``parameters`` parameters per trial."""
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
        """Passes the gradient [R, P] through the chain; the keywords are described at ``StepContext``.

        Rows never mix: a trial's results have the same bits in any pack. No floating-point warning is raised.
        """
        clipped, vector = None, np.ascontiguousarray(gradient)
        states: list[State] = []
        stepped = False
        with np.errstate(all="ignore"):
            for update, numbers, old in zip(self.updates, self.numbers, state.states, strict=True):
                context = StepContext(numbers, self.groups, parameters, loss, step, steps, metric, losses)
                vector, new = update.update(vector, old, context)
                states.append(new)
                stepped |= isinstance(update, Optimizer)
                clipped = clipped if stepped else vector
        return Applied(clipped, vector, ChainState(tuple(states)))

    def flatten(self, state: ChainState) -> Array:
        """Returns the arrays of ``state`` concatenated, float64 [R, W]; W = 0 for a stateless chain."""
        arrays = [each[name].reshape(self.rows, -1) for each in state.states for name in sorted(each)]
        return np.concatenate([np.empty((self.rows, 0)), *arrays], axis=1)

    def unflatten(self, matrix: Array, parameters: int) -> ChainState:
        """Inverts ``flatten``: returns the state in ``matrix`` [R, W], for ``parameters`` parameters.

        Raises:
            ValueError: R or W is not that of this chain's state.
        """
        template = self.init(parameters)
        width = self.flatten(template).shape[1]
        if matrix.shape != (self.rows, width):
            raise ValueError(f"the state's shape is {matrix.shape}, must be {(self.rows, width)}")
        states, start = [], 0
        for initial in template.states:
            filled = {}
            for name in sorted(initial):
                stop = start + initial[name][0].size
                filled[name] = matrix[:, start:stop].reshape(initial[name].shape).copy()
                start = stop
            states.append(filled)
        return ChainState(tuple(states))


def _kind(update: Update) -> tuple[object, ...]:
    """Returns what the updates at one position of a pack's chains share: all but their hyper-parameters."""
    names = type(update).model_fields.keys() - update.number_names()
    return (type(update), *((name, getattr(update, name)) for name in sorted(names)))


def _stack(updates: Sequence[Update]) -> Mapping[str, Array]:
    """Stacks the hyper-parameters of R updates, [R, 1] each; NumPy converts None to NaN."""
    names = updates[0].number_names()
    return {name: np.array([[getattr(update, name)] for update in updates], np.float64) for name in names}


def _take(arrays: Mapping[str, Array], rows: NDArray[np.intp]) -> Mapping[str, Array]:
    return {name: array[rows] for name, array in arrays.items()}
