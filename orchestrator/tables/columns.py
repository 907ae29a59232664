"""Generates ``docs/columns.md``: ``python -m orchestrator.tables.columns > docs/columns.md``."""

from __future__ import annotations

import sys

from orchestrator.tables.schema import BINS, LOWEST_EXPONENT, SORT, TABLES, Column

_BIN = f"2^(k{LOWEST_EXPONENT:+d}) ≤ |g_k| < 2^(k{LOWEST_EXPONENT + 1:+d})"

_PREFACE = f"""\
# Columns

<!-- Generated: python -m orchestrator.tables.columns > docs/columns.md -->

A finished run has four tables of Parquet files. `trials`, `steps` and `gradients` have additional columns
for the swept keys and case names of the sweep.

**Null.** Undefined values are null, never NaN: a cosine with a zero vector, a variance from one sample, a
loss that is not a number. Infinite values are kept. All arithmetic is in double precision. Columns computed
from squares (`l2`, norms, variances) therefore lose values below about 1e-154 or above 1e154; `linf` and the
quantiles do not.

**Deterministic.** On one type of CPU, deterministic columns have the same bits whenever a trial is run
again: with other trials in the pack, on more workers, after any interruption. The digest of a run is the
SHA-256 of their values, sorted by (trial, step, group); it does not depend on the bytes of files. It leaves
out the columns marked "no". It also leaves out all rows of trials that are not `repeatable`, because a remote
service does not return the same bits again.

**Symbols.** p_i is the weight of sample i in its mini-batch (Σ p_i = 1), and l_i is its loss. The gradient
before any clip is g = Σ p_i ∂l_i. The update is the vector subtracted from the parameters. Finite shots add
variance v_ik to component k of ∂l_i, and u_i to l_i; noise_k = Σ p_i² v_ik. Dead parameters, whose gradient
is zero by structure, are left out of all statistics. A group of dead parameters only has 0 `parameters` and 0
in every bin; its other statistics are null.

**Signals.** A group of kind `signal` is the back-propagated gradient of a layer, δ_i = dl_i/da, where a is
the input of the layer's activation function. Its components are the layer's units. The value of a unit is its
root mean square over the mini-batch, g_k = sqrt(Σ p_i δ_ik²), so that l2² = Σ p_i |δ_i|². `sample_variance`
is the variance of δ_ik. For signals, the unit "loss/parameter" means "loss/pre-activation".

**Histogram.** Bin k, from 0 to {BINS - 1}, counts the components with {_BIN}. Bin 0
also counts smaller components, bin {BINS - 1} larger ones. Zeros, infinite components and NaN are in
no bin: the counts sum to `parameters`·(1 − `fraction_zero` − `fraction_nonfinite`).

**Gradient noise scale** (McCandlish et al. 2018): the mean of `noise_trace` divided by the mean of
`signal_square`, over trials that differ in the seed only. The steps of a trial are correlated, so the trial
is the statistical unit: average over the steps of each trial, and take errors from the scatter between
trials. The scale is undefined unless the denominator is clearly positive; the query returns null within two
standard errors. It changes during training, so choose the steps (`AND step BETWEEN … AND …`).

```sql
SELECT CASE WHEN avg(signal) > 2 * stddev_samp(signal) / sqrt(count(*))
            THEN avg(noise) / avg(signal) END AS noise_scale
FROM (SELECT avg(noise_trace) AS noise, avg(signal_square) AS signal
      FROM 'steps/*.parquet'
      WHERE noise_trace IS NOT NULL AND signal_square IS NOT NULL
      GROUP BY trial)
```
"""


def markdown() -> str:
    """Returns the text of ``docs/columns.md``: a preface, and each table's columns from the schema."""
    return "\n".join([_PREFACE, *(_table(name, columns) for name, columns in TABLES.items())])


def _table(name: str, columns: tuple[Column, ...]) -> str:
    rows = ["| name | type | unit | deterministic | meaning |", "|---|---|---|---|---|"]
    rows += [_row(column) for column in columns]
    return f"## {name}\n\nSorted by {', '.join(SORT[name])}.\n\n" + "\n".join(rows) + "\n"


def _row(column: Column) -> str:
    deterministic = "yes" if column.deterministic else "no"
    cells = (f"`{column.name}`", column.type, column.unit, deterministic, column.meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
