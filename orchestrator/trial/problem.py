"""The problem of a structure: its data loaded, its model built for them, its engine prepared."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from orchestrator import user_code
from orchestrator.config.base import ConfigError
from orchestrator.config.families import discover
from orchestrator.config.text import label
from orchestrator.data.base import Data, Dataset
from orchestrator.engines.base import Engine
from orchestrator.engines.gradient import Differentiator
from orchestrator.engines.metric import Metric
from orchestrator.errors import Fault, InputError
from orchestrator.groups import Group
from orchestrator.models import losses
from orchestrator.models.base import Built, Model
from orchestrator.models.circuits.program import Program
from orchestrator.process import memory_bytes
from orchestrator.trial.fingerprints import Fingerprints, fingerprints, refuse_changed
from orchestrator.trial.trial import Batch, Trial
from orchestrator.updates.base import Update
from orchestrator.updates.context import MetricForm
from orchestrator.updates.natural import metric_blocks

_CERTIFICATE_SEED = 0

_NAMES_SEARCHED = 2000
"""Names of parameters that are searched for a similar one; a network may have millions."""


@dataclass(frozen=True)
class Problem:
    """Data, model and engine that all trials of a structure share. Built once per process and structure.

    Attributes:
        metric: the metric that an update of the structure needs; None if no update needs one.
    """

    data: Dataset
    model: Built
    engine: Engine
    loss: str
    metric: Metric | None

    @cached_property
    def differentiator(self) -> Differentiator:
        """The engine, prepared for the model and the loss."""
        return self.engine.prepare(self.model, self.loss, self.data.classes)

    @cached_property
    def certificate(self) -> float | None:
        """Deviation of the engine from an independent evaluation; None if no certificate is required.

        Raises:
            CertificateError: they differ; no trial of this structure can be trusted.
            InputError: the user's code, which draws the circuit again, raised an exception.
        """
        with user_code.errors_as_faults("model", "drawing the circuit again"):
            return self.engine.certify(self.model, _CERTIFICATE_SEED)

    def samples(self, batch: Batch) -> int:
        """Returns the number of samples in a mini-batch."""
        return self.model.samples.count(batch.size)

    @cached_property
    def weight_square(self) -> float:
        """Σ P_i² over the training part, with weights P normalised to 1; 1/N if all are equal."""
        weights = self.data.weights / self.data.weights.sum()
        return float((weights * weights).sum())

    def groups(self, components: tuple[int | str, ...]) -> tuple[Group, ...]:
        """Returns the groups of the model, then one group for each chosen component."""
        return (*self.model.groups, *map(self._component_group, components))

    def _component_group(self, component: int | str) -> Group:
        """Returns the group of one component: ``component7``, or ``component tilt`` if chosen by name."""
        if isinstance(component, int):
            return Group(f"component{component}", component, component + 1, self._depth(component))
        k = self.model.names.index(component)
        return Group(f"component {component}", k, k + 1, self._depth(k))

    def _depth(self, component: int) -> int:
        return next(group.depth for group in self.model.groups if group.start <= component < group.stop)


def problem(trial: Trial) -> Problem:
    """Returns the problem of a trial after all checks; computes the fingerprints of its files afresh.

    Raises:
        InputError: the parts of the trial do not fit together, or a file has changed while being read.
    """
    faults = _batch_faults(trial, _dataset(trial.data))
    parts = trial.data, trial.model, trial.gradient
    form = _metric_form(trial.updates)
    try:
        prepared = _problem(*parts, trial.loss, form, tuple(map(fingerprints, parts)), user_code.trusted())
    except InputError as error:
        raise InputError([*error.faults, *faults]) from None
    checks = (_shard_faults, _component_faults, _metric_faults, _memory_faults)
    faults += [fault for check in checks for fault in check(trial, prepared)]
    if faults:
        raise InputError(faults)
    return prepared


@lru_cache(maxsize=64)
def _problem(
    data: Data | None,
    model: Model,
    engine: Engine,
    loss: str,
    form: MetricForm | None,
    before: tuple[Fingerprints, ...],
    trust: user_code.Trust,  # noqa: ARG001 - a cache key: no results of code that is not trusted
) -> Problem:
    dataset = _dataset(data)
    try:
        built = _built(data, model, loss, dataset.classes)
    except InputError as error:
        raise InputError(_with_target_kind_hint(error.faults, data, model, loss)) from None
    if not engine.differentiates(built):
        legal = ", ".join(_engines_for(built))
        raise InputError.at(
            "gradient.engine", f"is {engine.engine}, which cannot differentiate this model (legal: {legal})"
        )
    engine.fits(built, loss)
    for path, files, part in zip(("data", "model", "gradient"), before, (data, model, engine), strict=True):
        refuse_changed(path, files, part)
    return Problem(dataset, built, engine, loss, _metric(built, form))


def _metric_form(updates: tuple[Update, ...]) -> MetricForm | None:
    """Returns the form of metric that the optimiser needs, or None; a trial has at most one optimiser."""
    return next((need for update in updates if (need := update.needs.metric)), None)


def _metric(model: Built, form: MetricForm | None) -> Metric | None:
    """Returns the metric of a circuit; None if none is needed, or if the model is no circuit."""
    if form is None or not isinstance(model, Program):
        return None
    return Metric(model, metric_blocks(form, model.groups))


def _built(data: Data | None, model: Model, loss: str, classes: int) -> Built:
    """Builds the model, and checks that it fits the loss, the data, and this number of classes."""
    built = model.build(_dataset(data).inputs.shape[1], classes)
    if data is None and loss != "expectation":
        raise InputError.at("loss", f"is {loss}, but there are no data (legal: expectation)")
    losses.check(loss, built.head, built.outputs, classes)
    return built


def _with_target_kind_hint(
    faults: tuple[Fault, ...], data: Data | None, model: Model, loss: str
) -> Iterator[Fault]:
    """Yields the faults; with a hint where reading the target as classes, or as values, would help."""
    other = _dataset(data).other_classes
    hint = "; or set data.target_kind: {}, as the target's whole numbers are read as {}"
    hint = hint.format("class", "values") if other else hint.format("value", "classes")
    remaining = [] if other is None else [fault.path for fault in _build_faults(data, model, loss, other)]
    for fault in faults:
        helps = other is not None and fault.path not in remaining
        yield replace(fault, message=fault.message + hint) if helps else fault


def _build_faults(data: Data | None, model: Model, loss: str, classes: int) -> tuple[Fault, ...]:
    try:
        _built(data, model, loss, classes)
    except InputError as error:
        return error.faults
    return ()


def _engines_for(model: Built) -> Iterator[str]:
    """Yields the engines that can differentiate the model, if they need no key but their name."""
    for tag, member in discover(Engine).items():
        name = tag.partition("=")[2]
        with suppress(ConfigError):
            if member.parse({"engine": name}).differentiates(model):
                yield name


def _dataset(data: Data | None) -> Dataset:
    """Returns the data set; without data, one sample without features."""
    if data is not None:
        return data.load()
    target, no_inputs = np.zeros(1), np.zeros((0, 0))
    return Dataset(np.zeros((1, 0)), target, np.ones(1), no_inputs, np.zeros(0), classes=0)


def _batch_faults(trial: Trial, dataset: Dataset) -> list[Fault]:
    batch, rows = trial.batch.size, len(dataset.inputs)
    if trial.data is None and batch > 1:
        return [Fault("batch.size", f"is {batch}, but without data a batch has one sample")]
    if batch > rows:
        return [Fault("batch.size", f"is {batch}, must be at most the {rows} rows of the training part")]
    return []


def _shard_faults(trial: Trial, prepared: Problem) -> list[Fault]:
    shards, samples = trial.batch.shards, prepared.samples(trial.batch)
    if samples >= shards:
        return []
    return [Fault("batch.shards", f"is {shards}, must be at most the {samples} samples of a mini-batch")]


def _component_faults(trial: Trial, prepared: Problem) -> list[Fault]:
    reasons = [_missing_component(component, prepared.model) for component in trial.record.components]
    return [Fault(f"record.components.{index}", text) for index, text in enumerate(reasons) if text]


def _missing_component(component: int | str, model: Built) -> str | None:
    """Returns why a model has no such component, or None."""
    if isinstance(component, str):
        close = difflib.get_close_matches(component, model.names[:_NAMES_SEARCHED], 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        message = f"is {component!r}, which names no parameter{hint} (`plan --parameters` lists them)"
        return None if component in model.names else message
    if component < model.parameters:
        return None
    return f"is {component}, but the model has components 0 … {model.parameters - 1}"


def _metric_faults(trial: Trial, prepared: Problem) -> list[Fault]:
    """Returns the faults of updates that need a metric where the model is no circuit."""
    state = "a circuit's state, which only a circuit without trained layers around it has"
    message = f"needs the metric of {state}; take sgd, momentum or adam"
    return [
        Fault(f"updates.{index}", message)
        for index, update in enumerate(trial.updates)
        if update.needs.metric and not isinstance(prepared.model, Program)
    ]


def _memory_faults(trial: Trial, prepared: Problem) -> list[Fault]:
    needed = shard_bytes(trial, prepared, rows=1)
    memory = memory_bytes()
    if needed <= memory:
        return []
    _, model = label(trial.model.identity())
    message = (
        f"{model} needs {format_bytes(needed)} for a shard of one trial, "
        f"this machine has {format_bytes(memory)}; "
        "take a smaller model, a smaller batch.size or more batch.shards"
    )
    if prepared.metric:
        message += ", or an optimizer without a metric"
    return [Fault("model", message)]


def shard_bytes(trial: Trial, prepared: Problem, rows: int) -> int:
    """Returns the working memory in bytes of engine and metric on the largest shard of ``rows`` trials."""
    samples = -(-prepared.samples(trial.batch) // trial.batch.shards)
    metric = prepared.metric
    needed = prepared.engine.shard_bytes(prepared.model, rows, samples)
    return needed if metric is None else needed + metric.bytes(rows, samples)


def format_bytes(count: float) -> str:
    """Returns a number of bytes as text with a unit.

    Example:
        >>> format_bytes(1000), format_bytes(1610612736), format_bytes(2**100)
        ('1000 B', '1.5 GiB', 'over 1024 EiB')
    """
    if count >= 2**70:
        return "over 1024 EiB"
    power = max(0, (int(count).bit_length() - 1) // 10)
    scaled = count / 1024**power
    unit = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")[power]
    return f"{scaled:.0f} {unit}" if scaled >= 10 or not power else f"{scaled:.1f} {unit}"
