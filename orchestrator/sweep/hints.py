"""Warnings about legal plans: expectation values outside of the range that a loss takes."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.models.base import Model
from orchestrator.models.circuits.any_circuit import AnyCircuit
from orchestrator.models.circuits.gates import Observable
from orchestrator.models.hybrid import Hybrid
from orchestrator.sweep.plan import Plan
from orchestrator.trial.pinned import load_problem
from orchestrator.trial.problem import Problem

_NO_PROBABILITY = (
    "(1 + E)/2 is then no probability, and the loss has no meaning: it falls below 0, or diverges"
)
_OUT_OF_RANGE = {
    "mse": "labels are -1 and 1",
    "hinge": "a margin of 1 is then not the largest",
    "linear": "(1 - yE)/2 then leaves [0, 1]",
    "binary-cross-entropy": _NO_PROBABILITY,
    "cross-entropy": _NO_PROBABILITY,
}
"""What is wrong with E outside of [-1, 1], by loss."""

_ROUNDING = 1e-9


def hints(plan: Plan) -> list[str]:
    """Returns warnings, each once, about observables whose E can leave [-1, 1].

    They are legal: the bound on E, from the coefficients' absolute values, need not be reached.
    """
    texts: dict[str, None] = {}
    seen = set()
    for structure in plan.structures:
        trial = structure.template
        part = (trial.model, trial.loss, trial.data)
        if trial.loss in _OUT_OF_RANGE and part not in seen and _has_coefficients(trial.model):
            seen.add(part)
            texts |= dict.fromkeys(_hints(load_problem(structure.pinned), trial.model.summary))
    return list(texts)


def _has_coefficients(model: Model) -> bool:
    """Returns whether the prediction is an observable with coefficients."""
    last = model.layers[-1] if isinstance(model, Hybrid) else model
    if not isinstance(last, AnyCircuit):
        return False
    return any(isinstance(observable, dict) for observable in (last.observable, *last.observables))


def _hints(prepared: Problem, model: str) -> Iterator[str]:
    if prepared.model.head != "expectation" or (prepared.loss == "mse" and not prepared.data.classes):
        return
    for low, high in map(expectation_bounds, prepared.model.circuits[-1].observables):
        if (most := max(-low, high)) > 1.0 + _ROUNDING:
            yield (
                f"{model}: the observable's E can reach from {low:.4g} to {high:.4g}, "
                f"and loss: {prepared.loss} takes E in [-1, 1]: {_OUT_OF_RANGE[prepared.loss]}; "
                f"divide the coefficients by {most:.4g}"
            )


def expectation_bounds(observable: Observable) -> tuple[float, float]:
    """Returns bounds of an observable's expectation value, from its coefficients.

    A Pauli string lies in [-1, 1], the identity is 1, and |0…0><0…0| lies in [0, 1].

    Example:
        >>> from orchestrator.models.circuits.gates import Term
        >>> expectation_bounds(Observable((Term(1.0, 0, 0), Term(0.5, 0, 1)), -1.0))
        (-0.5, 1.5)
    """
    constant = sum(term.coefficient for term in observable.terms if not (term.x or term.z))
    spread = sum(abs(term.coefficient) for term in observable.terms if term.x or term.z)
    projector = observable.projector
    return constant - spread + min(0.0, projector), constant + spread + max(0.0, projector)
