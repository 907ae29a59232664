"""Every column of a run: its type, unit, meaning, and whether its bits are promised.

Pure Python. The writers, the readers, the digest and ``docs/columns.md`` all follow these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["string", "int64", "float64", "bool", "int64 list", "json"]

BINS = 64
"""Number of bins of ``gradients.histogram``."""

LOWEST_EXPONENT = -48
"""Bin k counts 2^(k + LOWEST_EXPONENT) ≤ |g| < 2^(k + 1 + LOWEST_EXPONENT). The first and the last bin are
open towards 0 and infinity. Exact zeros, infinities and NaN are in no bin."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        type: ``json`` is JSON text, written as a string.
        unit: ``1`` for a bare number, else ``s``, ``loss``, ``parameter`` …; empty for what is not a number.
        deterministic: whether equal trials have equal bits here (the digest covers these columns).
    """

    name: str
    type: Type
    unit: str
    meaning: str
    deterministic: bool = True


_TRIAL = Column("trial", "string", "", "id of the trial: 16 hexadecimal digits, a hash of its content")
_STEP = Column("step", "int64", "1", "step, counted from 0")

_COST = (
    Column("executions", "int64", "1", "circuits executed; 0 without circuits"),
    Column("shots", "int64", "1", "shots taken; 0 where expectation values are exact"),
    Column("qpu_seconds", "float64", "s", "time charged by a quantum processor; 0 without one", False),
)

_SECONDS = (
    Column("seconds_compute", "float64", "s", "time spent computing, an equal share of the pack's", False),
    Column("seconds_wait", "float64", "s", "time spent waiting for work or results", False),
)

TRIALS: tuple[Column, ...] = (
    _TRIAL,
    Column(
        "index",
        "int64",
        "1",
        "place of the trial in the plan, counted from 0; null where `current` is false",
        False,
    ),
    Column(
        "current",
        "bool",
        "",
        "whether the plan names the trial that the run was last opened for; false for trials of other sweeps "
        "(other `steps`, other data, a seed that was taken out …), whose rows stay in all tables",
        False,
    ),
    Column(
        "status",
        "string",
        "",
        "`done`: all steps ran; `diverged`: ended at the first step whose loss or gradient is not finite; "
        "`failed`: ended by an error; `cancelled`: stopped on request before its end",
    ),
    Column(
        "error",
        "string",
        "",
        "what ended a `failed` or `diverged` trial: `worker lost`, `out of memory`, `crash`, `changed file`, "
        "`error` or `non-finite`, and what was said, a traceback if there is one; null otherwise",
        False,
    ),
    Column("attempts", "int64", "1", "how often the trial was started or taken up again", False),
    Column("steps", "int64", "1", "steps that ran, the non-finite one of a `diverged` trial included"),
    Column("final_loss", "float64", "loss", "`loss` of the last step that ran"),
    Column("best_loss", "float64", "loss", "smallest finite `loss` of any step; null if there is none"),
    Column(
        "test_loss",
        "float64",
        "loss",
        "mean loss on the test part after the last step, every row counted alike; null without one",
    ),
    Column(
        "test_accuracy",
        "float64",
        "1",
        "share of the test part that is classified correctly after the last step; null for regression and "
        "without one",
    ),
    Column("seed", "int64", "1", "seed of the trial's random streams"),
    Column("pack", "int64", "1", "number of the pack in which the trial was computed", False),
    Column("parameters", "int64", "1", "length of the parameter vector, dead parameters included"),
    Column(
        "parameters_dead",
        "int64",
        "1",
        "parameters whose gradient is zero by structure (outside the observable's light cone)",
    ),
    Column(
        "configuration",
        "json",
        "",
        "the whole configuration of the trial, with the places where its files lie; what counts is in its id",
        False,
    ),
    *_COST,
    Column("bias", "bool", "", "whether the loss is estimated from shots with a bias"),
    Column(
        "repeatable",
        "bool",
        "",
        "whether running the trial again gives the same bits; false where a remote service computes it: its "
        "rows are in no digest",
        False,
    ),
    Column(
        "certificate",
        "float64",
        "1",
        "largest deviation from an independent evaluation of one value and two gradient components; "
        "null where none was due",
        False,
    ),
    Column("started_at", "string", "", "start of the first attempt, ISO 8601 in UTC", False),
    *_SECONDS,
    Column(
        "versions", "json", "", "versions of the package, of Python and of the libraries that compute", False
    ),
)

STEPS: tuple[Column, ...] = (
    _TRIAL,
    _STEP,
    Column("loss", "float64", "loss", "loss of the mini-batch, Σ p_i l_i, before the update"),
    Column(
        "loss_shot_variance",
        "float64",
        "loss²",
        "variance that finite shots add to `loss`, Σ p_i² u_i; estimated without bias for mse, linear and "
        "expectation, so below 0 at times, to first order for other losses; null without shots",
    ),
    Column(
        "test_loss",
        "float64",
        "loss",
        "mean loss on the test part before the update, every row counted alike; null where not evaluated",
    ),
    Column(
        "test_accuracy",
        "float64",
        "1",
        "share of the test part that is classified correctly before the update; null where not evaluated",
    ),
    Column("gradient_norm", "float64", "loss/parameter", "Euclidean norm of the gradient before any clip"),
    Column("clipped_norm", "float64", "loss/parameter", "Euclidean norm of the gradient after all clips"),
    Column(
        "clip_scale", "float64", "1", "clipped_norm / gradient_norm, 1 without clips; null when the norm is 0"
    ),
    Column("update_norm", "float64", "parameter", "Euclidean norm of what was subtracted; null in a probe"),
    Column("parameter_norm", "float64", "parameter", "Euclidean norm of the parameters before the update"),
    Column(
        "learning_rate",
        "float64",
        "1",
        "learning rate of the optimiser in this step; null without an optimiser",
    ),
    Column(
        "noise_trace",
        "float64",
        "(loss/parameter)²",
        "trace of the covariance of the per-sample gradients, estimated without bias: sample variances (see "
        "`gradients`) summed over components, not cut off at 0, so it may be slightly below 0 with "
        "shots or by rounding; with `spsa` that of its estimates; null for a mini-batch of one sample",
    ),
    Column(
        "signal_square",
        "float64",
        "(loss/parameter)²",
        "gradient_norm² − noise_trace·(Σp_i² − ΣP_j²) − Σ noise_k, P_j the weights of the whole training "
        "part normalised to 1 (ΣP_j² is 1/N if they are equal): square of the full training gradient's norm, "
        "without the bias of mini-batches, which are drawn without replacement, and of shots, so it may be "
        "negative. Exact, but for shots, where the mini-batch is the whole training part; approximate for "
        "smaller mini-batches of rows with unequal weights. Null for `spsa`, whose square is larger by its "
        "random directions, and where noise_trace is, unless the mini-batch is the whole training part",
    ),
    Column(
        "cosine_previous",
        "float64",
        "1",
        "cosine between this gradient and that of the step before; null in the first step, in a probe, and "
        "when a norm is 0",
    ),
    Column("finite", "bool", "", "whether the loss and every component of the gradient are finite"),
    *_COST,
    *_SECONDS,
)

GRADIENTS: tuple[Column, ...] = (
    _TRIAL,
    _STEP,
    Column("group", "string", "", "name of the group"),
    Column(
        "kind", "string", "", "`parameter`: g is a slice of the gradient; `signal`: g is a layer's signal"
    ),
    Column("depth", "int64", "1", "depth of the group, counted from 0 at the input"),
    Column("parameters", "int64", "1", "components of g: live parameters, or units of the layer"),
    Column("mean", "float64", "loss/parameter", "mean of g"),
    Column("std", "float64", "loss/parameter", "standard deviation of g over its components (divisor n)"),
    Column("min", "float64", "loss/parameter", "smallest component of g"),
    Column("max", "float64", "loss/parameter", "largest component of g"),
    Column("l1", "float64", "loss/parameter", "Σ |g_k|"),
    Column("l2", "float64", "loss/parameter", "sqrt(Σ g_k²)"),
    Column("linf", "float64", "loss/parameter", "max |g_k|"),
    Column("q05", "float64", "loss/parameter", "5 % quantile of |g_k|, interpolated linearly"),
    Column("q25", "float64", "loss/parameter", "25 % quantile of |g_k|"),
    Column("q50", "float64", "loss/parameter", "median of |g_k|"),
    Column("q75", "float64", "loss/parameter", "75 % quantile of |g_k|"),
    Column("q95", "float64", "loss/parameter", "95 % quantile of |g_k|"),
    Column("fraction_zero", "float64", "1", "share of components that are exactly 0"),
    Column(
        "fraction_tiny",
        "float64",
        "1",
        "share of components up to their own standard error, |g_k| ≤ sqrt(noise_k), so those too that are 0 "
        "as no shot saw an event; or, without shots, below 64·eps·max|g| over the whole gradient "
        "(eps = 2⁻⁵²); null for signals, and where a noise_k or that maximum is not finite",
    ),
    Column("fraction_nonfinite", "float64", "1", "share of components that are infinite or not a number"),
    Column(
        "fraction_clipped", "float64", "1", "share of components that the clips changed; null for signals"
    ),
    Column("clipped_l2", "float64", "loss/parameter", "l2 after all clips; null for signals"),
    Column(
        "sample_variance",
        "float64",
        "(loss/parameter)²",
        "variance of the per-sample values x_i, averaged over components: mean of "
        "max(0, (Σp_i x_i² − (Σp_i x_i)² − Σ(p_i − p_i²)v_i)/(1 − Σp_i²)), v_i the variance that shots add "
        "to x_i; null for a mini-batch of one sample",
    ),
    Column(
        "shot_variance",
        "float64",
        "(loss/parameter)²",
        "variance that finite shots add to a component, noise_k, averaged over components; estimated without "
        "bias where the loss is, so below 0 at times; null without shots and for signals",
    ),
    Column(
        "snr",
        "float64",
        "1",
        "signal to shot noise, sqrt(max(0, l2² − Σ noise_k) / Σ noise_k); null where Σ noise_k is not "
        "above 0, so without shots, and for signals",
    ),
    Column("update_l2", "float64", "parameter", "l2 of what was subtracted; null in a probe and for signals"),
    Column(
        "parameter_l2", "float64", "parameter", "l2 of the parameters before the update; null for signals"
    ),
    Column(
        "cosine_previous",
        "float64",
        "1",
        "cosine between g and g of the step before; null in the first step, in a probe, when a norm is 0, "
        "and for signals",
    ),
    Column(
        "histogram",
        "int64 list",
        "1",
        f"counts of |g_k| in {BINS} fixed bins of log2|g_k|; null unless the sweep file asks for it",
    ),
)

PARAMETERS: tuple[Column, ...] = (
    _TRIAL,
    Column("component", "int64", "1", "index in the parameter vector, counted from 0"),
    Column(
        "name",
        "string",
        "",
        "name of the parameter: as the circuit has it (`w[3]`), or group and place in it "
        "(`layer0.weight[2,0]`)",
    ),
    Column("group", "string", "", "name of the group that the component belongs to"),
    Column("value", "float64", "parameter", "value after the last step"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "trials": TRIALS,
    "steps": STEPS,
    "gradients": GRADIENTS,
    "parameters": PARAMETERS,
}
"""The columns of each table, in order; the swept keys of a sweep are added to these."""

SORT: dict[str, tuple[str, ...]] = {
    "trials": ("trial",),
    "steps": ("trial", "step"),
    "gradients": ("trial", "step", "group"),
    "parameters": ("trial", "component"),
}
"""The columns that a finished table is sorted by; together they name one row."""
