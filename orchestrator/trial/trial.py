"""One fully resolved trial, composed of the configurations of its parts; its id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from orchestrator.config.base import Config, Field, field_validator, refuse
from orchestrator.config.families import OneOf
from orchestrator.config.text import show
from orchestrator.data.base import Data
from orchestrator.engines.base import Engine
from orchestrator.errors import Fault
from orchestrator.models.base import Model
from orchestrator.models.losses import LOSSES
from orchestrator.updates.base import Optimizer, Update

FORMAT = 1
"""Version of the canonical form; part of every id."""


class Batch(Config):
    """The size of a mini-batch, and the number of shards in which its sums are computed."""

    size: int = Field(default=1, ge=1)
    shards: int = Field(default=1, ge=1)


class Record(Config):
    """The values that the trace keeps. Never part of a trial's id."""

    every: int = Field(default=1, ge=1, description="record every k-th step; the last one always")
    histogram: bool = Field(default=False, description="keep the histogram of log2|g| of each group")
    evaluate: int = Field(
        default=0,
        ge=0,
        description="test loss and accuracy every k steps, where recorded; 0: at the end only",
    )
    parameters: Literal["none", "final"] = Field(default="none", description="keep the trained parameters")
    components: tuple[int | str, ...] = Field(
        default=(),
        strict=False,
        max_length=1000,
        description="components that are groups of their own, by index or by the parameter's name",
    )

    @field_validator("components", mode="before")
    @classmethod
    def _indices_or_names(cls, components: Any) -> Any:
        for component in components if isinstance(components, list) else ():
            if not (type(component) is int and component >= 0) and not (type(component) is str and component):
                raise refuse(f"has {show(component)}, must be indices from 0 or names of parameters")
        return components


class Trial(Config):
    """One configuration with its seed: everything that determines its results, and what to record."""

    mode: Literal["train", "probe"] = "train"
    data: Annotated[Data, OneOf()] | None = None
    model: Annotated[Model, OneOf()]
    loss: Literal[LOSSES] = Field(  # type: ignore[valid-type]
        description="mse after a softmax is the mean over classes; on a circuit, mse, hinge and linear are "
        "on labels -1 and 1, cross-entropies on (1+E)/2"
    )
    gradient: Annotated[Engine, OneOf()]
    updates: tuple[Annotated[Update, OneOf()], ...] = Field(default=(), strict=False)
    batch: Batch = Batch()
    steps: int = Field(ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    record: Record = Record()

    def identity(self) -> dict[str, Any]:
        """Returns the JSON values that the id covers: all but ``record``."""
        return {name: value for name, value in super().identity().items() if name != "record"}

    def check(self) -> list[Fault]:
        """Returns the faults between parts that are legal on their own."""
        optimizers = [i for i, update in enumerate(self.updates) if isinstance(update, Optimizer)]
        if self.mode == "train" and len(optimizers) != 1:
            return [Fault("updates", f"has {len(optimizers)} optimizers; mode: train needs exactly one")]
        if self.mode == "train":
            return []
        reasons = [_probe_conflict(update) for update in self.updates]
        return [Fault(f"updates.{i}", f"{text}; remove it") for i, text in enumerate(reasons) if text]


def _probe_conflict(update: Update) -> str | None:
    """Returns why an update has no meaning in a probe, or None."""
    if isinstance(update, Optimizer):
        return "has no effect in a probe, which applies no updates"
    needs = update.needs
    demands = {
        "memory of earlier steps": update.stateful,
        "trained parameters": needs.parameters,
        "the number of the step": needs.step,
        "losses at other parameters": needs.losses,
    }
    if not any(demands.values()):
        return None
    listed = " and ".join(text for text, needed in demands.items() if needed)
    return f"needs {listed}, which a probe does not have, as its steps are independent"


def trial_id(trial: Trial) -> str:
    """Returns the id of a trial: the ``digest`` of its identity, 16 hex digits."""
    return digest(members(trial.identity()))


def structure_key(trial: Trial) -> str:
    """Returns a hash of what trials of one call must share: all except seed and numbers of updates."""
    return key_of(shared(trial), trial.updates)


def shared(trial: Trial) -> dict[str, str]:
    """Returns the canonical JSON of each member of a trial's identity, except seed and updates."""
    return {name: text for name, text in members(trial.identity()).items() if name not in ("seed", "updates")}


def key_of(shared: Mapping[str, str], updates: Sequence[Update]) -> str:
    """Returns the ``structure_key`` of trials with these ``shared`` members and updates."""
    kinds = [
        {name: value for name, value in update.identity().items() if name not in update.number_names()}
        for update in updates
    ]
    return digest({**shared, **members({"updates": kinds})})


_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def members(identity: Mapping[str, Any]) -> dict[str, str]:
    """Returns the canonical JSON of each member of an identity."""
    return {name: _canonical(value) for name, value in identity.items()}


def digest(texts: Mapping[str, str]) -> str:
    """Returns the first 16 hex digits of SHA-256 over the canonical JSON of these members and ``FORMAT``."""
    texts = {**texts, "format": str(FORMAT)}
    text = ",".join([f'"{name}":{texts[name]}' for name in sorted(texts)])
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()[:16]
