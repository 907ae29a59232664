"""Every column of a run: its type, unit and meaning, and whether it is deterministic.

Pure Python. Writers, readers, the digest and ``docs/columns.md`` are derived from these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["string", "int64", "float64", "bool", "int64 list", "json"]

BINS = 64
"""Number of bins of ``gradients.histogram``."""

LOWEST_EXPONENT = -48
"""Bin k counts 2^(k + LOWEST_EXPONENT) ≤ |g| < 2^(k + 1 + LOWEST_EXPONENT). The first bin extends to 0, the
last one to infinity. Exact zeros, infinities and NaN are in no bin."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        type: ``json`` is JSON text, stored as a string.
        unit: ``1`` for a dimensionless number, else ``s``, ``loss``, ``parameter`` …; empty for other types.
        deterministic: whether equal trials have equal bits in this column; the digest covers such columns.
    """

    name: str
    type: Type
    unit: str
    meaning: str
    deterministic: bool = True


_TRIAL = Column("trial", "string", "", "id of the trial: 16 hexadecimal digits, a hash of its content")
_STEP = Column("step", "int64", "1", "step, counted from 0")

_COST = (
    Column("executions", "int64", "1", "number of circuits executed; 0 without circuits"),
    Column("shots", "int64", "1", "number of shots; 0 if expectation values are exact"),
    Column("qpu_seconds", "float64", "s", "time charged by a quantum processor; 0 without one", False),
)

_SECONDS = (
    Column("seconds_compute", "float64", "s", "computing time, an equal share of the pack's", False),
    Column(
        "seconds_wait", "float64", "s", "time spent waiting for shards, an equal share of the pack's", False
    ),
)

TRIALS: tuple[Column, ...] = (
    _TRIAL,
    Column(
        "index",
        "int64",
        "1",
        "index of the trial in the plan, counted from 0; null if `current` is false",
        False,
    ),
    Column(
        "current",
        "bool",
        "",
        "whether the plan for which the run was last opened contains the trial; false for trials of other "
        "sweeps (other `steps`, other data, a removed seed …), whose rows stay in all tables",
        False,
    ),
    Column(
        "status",
        "string",
        "",
        "`done`: all steps ran; `diverged`: ended at the first step whose loss or gradient is not finite; "
        "`failed`: ended by an error; `cancelled`: stopped on request before its last step",
    ),
    Column(
        "error",
        "string",
        "",
        "why a `failed` or `diverged` trial ended: `worker lost`, `out of memory`, `crash`, `changed file`, "
        "`error` or `non-finite`, then the message or traceback; null otherwise",
        False,
    ),
    Column("attempts", "int64", "1", "number of times that the trial was started or resumed", False),
    Column("steps", "int64", "1", "number of steps run, including the non-finite one of a `diverged` trial"),
    Column("final_loss", "float64", "loss", "`loss` of the last step that ran"),
    Column("best_loss", "float64", "loss", "smallest finite `loss` of any step; null if there is none"),
    Column(
        "test_loss",
        "float64",
        "loss",
        "mean loss on the test part after the last step, all rows weighted equally; null without a test part",
    ),
    Column(
        "test_accuracy",
        "float64",
        "1",
        "share of the test part that is classified correctly after the last step; null for regression and "
        "without a test part",
    ),
    Column("seed", "int64", "1", "seed of the trial's random streams"),
    Column("pack", "int64", "1", "number of the pack in which the trial was computed", False),
    Column("parameters", "int64", "1", "length of the parameter vector, including dead parameters"),
    Column(
        "parameters_dead",
        "int64",
        "1",
        "number of dead parameters (outside the observable's light cone: zero gradient by structure)",
    ),
    Column(
        "configuration",
        "json",
        "",
        "the whole configuration of the trial; paths of files and `record` are not part of the trial's id",
        False,
    ),
    *_COST,
    Column("bias", "bool", "", "whether the estimate of the loss from shots is biased"),
    Column(
        "repeatable",
        "bool",
        "",
        "whether running the trial again gives the same bits; false if a remote service computes it; the "
        "digest then leaves its rows out",
        False,
    ),
    Column(
        "certificate",
        "float64",
        "1",
        "largest deviation from an independent evaluation of one value and two gradient components; "
        "null if there was no such check",
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
        "variance that finite shots add to `loss`, Σ p_i² u_i; for mse, linear and expectation an unbiased "
        "estimate, which may be negative; to first order for other losses; null without shots",
    ),
    Column(
        "test_loss",
        "float64",
        "loss",
        "mean loss on the test part before the update, all rows weighted equally; null if not evaluated",
    ),
    Column(
        "test_accuracy",
        "float64",
        "1",
        "share of the test part that is classified correctly before the update; null if not evaluated",
    ),
    Column("gradient_norm", "float64", "loss/parameter", "Euclidean norm of the gradient before any clip"),
    Column("clipped_norm", "float64", "loss/parameter", "Euclidean norm of the gradient after all clips"),
    Column(
        "clip_scale", "float64", "1", "clipped_norm / gradient_norm, 1 without clips; null if the norm is 0"
    ),
    Column("update_norm", "float64", "parameter", "Euclidean norm of the update; null in a probe"),
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
        "unbiased estimate of the trace of the covariance of the per-sample gradients: sample variances (see "
        "`gradients`) summed over components, not cut off at 0, so it may be slightly negative with "
        "shots or by rounding; for `spsa`, of its gradient estimates; null for a mini-batch of one sample",
    ),
    Column(
        "signal_square",
        "float64",
        "(loss/parameter)²",
        "gradient_norm² − noise_trace·(Σp_i² − ΣP_j²) − Σ noise_k, where P_j are the weights of the whole "
        "training part normalised to 1 (ΣP_j² is 1/N if they are equal): an estimate of the squared norm of "
        "the gradient over the whole training part. The bias of shots and of mini-batches, which are drawn "
        "without replacement, is subtracted, so it may be negative. If the mini-batch is the whole training "
        "part, it is exact except for shots; for smaller mini-batches of rows with unequal weights it is "
        "approximate. Null for `spsa`, because its random directions increase the norm. Null if noise_trace "
        "is, unless the mini-batch is the whole training part",
    ),
    Column(
        "cosine_previous",
        "float64",
        "1",
        "cosine between this gradient and that of the previous step; null in the first step, in a probe, and "
        "if a norm is 0",
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
    Column("parameters", "int64", "1", "number of components of g: live parameters, or units of the layer"),
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
        "with shots: share of components up to their own standard error, |g_k| ≤ sqrt(noise_k), including "
        "those that are 0 because no shot saw an event; without shots: share of components below "
        "64·eps·max|g| over the whole gradient (eps = 2⁻⁵²); null for signals, and if a noise_k or that "
        "maximum is not finite",
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
        "max(0, (Σp_i x_i² − (Σp_i x_i)² − Σ(p_i − p_i²)v_i)/(1 − Σp_i²)), where v_i is the variance that "
        "shots add to x_i; null for a mini-batch of one sample",
    ),
    Column(
        "shot_variance",
        "float64",
        "(loss/parameter)²",
        "variance that finite shots add to a component, noise_k, averaged over components; an unbiased "
        "estimate, which may be negative, if `loss_shot_variance` is; null without shots and for signals",
    ),
    Column(
        "snr",
        "float64",
        "1",
        "signal-to-noise ratio of shots, sqrt(max(0, l2² − Σ noise_k) / Σ noise_k); null if Σ noise_k is not "
        "positive, without shots, and for signals",
    ),
    Column("update_l2", "float64", "parameter", "l2 of the update; null in a probe and for signals"),
    Column(
        "parameter_l2", "float64", "parameter", "l2 of the parameters before the update; null for signals"
    ),
    Column(
        "cosine_previous",
        "float64",
        "1",
        "cosine between g and g of the previous step; null in the first step, in a probe, if a norm is 0, "
        "and for signals",
    ),
    Column(
        "histogram",
        "int64 list",
        "1",
        f"counts of |g_k| in {BINS} fixed bins of log2|g_k|; null unless `record.histogram` is set",
    ),
)

PARAMETERS: tuple[Column, ...] = (
    _TRIAL,
    Column("component", "int64", "1", "index in the parameter vector, counted from 0"),
    Column(
        "name",
        "string",
        "",
        "name of the parameter: the circuit's own (`w[3]`), or group and index (`layer0.weight[2,0]`)",
    ),
    Column("group", "string", "", "name of the group of the component"),
    Column("value", "float64", "parameter", "value after the last step"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "trials": TRIALS,
    "steps": STEPS,
    "gradients": GRADIENTS,
    "parameters": PARAMETERS,
}
"""The columns of each table, in order; the swept keys of a sweep are additional columns."""

SORT: dict[str, tuple[str, ...]] = {
    "trials": ("trial",),
    "steps": ("trial", "step"),
    "gradients": ("trial", "step", "group"),
    "parameters": ("trial", "component"),
}
"""The columns by which a finished table is sorted; together they identify a row."""
