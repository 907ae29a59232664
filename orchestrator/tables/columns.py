"""Writes ``docs/columns.md``: ``python -m orchestrator.tables.columns > docs/columns.md``."""

from __future__ import annotations

import sys

from orchestrator.tables.schema import BINS, LOWEST_EXPONENT, SORT, TABLES, Column

_BIN = f"2^(k{LOWEST_EXPONENT:+d}) ≤ |g_k| < 2^(k{LOWEST_EXPONENT + 1:+d})"

_PREFACE = f"""\
# Columns

<!-- Generated: python -m orchestrator.tables.columns > docs/columns.md -->

A finished run is four tables of Parquet files. `trials`, `steps` and `gradients` also carry the swept keys
and case names of the sweep, as columns of their own.

**Null.** What is undefined is null, never NaN: a cosine with a zero vector, a variance from one sample, a
loss that is not a number. Infinite values stay. All arithmetic is in double precision, so columns that are
built from squares (`l2`, norms, variances) lose values below about 1e-154 or above 1e154; `linf` and the
quantiles do not.

**Deterministic.** On one type of CPU, deterministic columns are equal to the last bit whenever the same
trial is run again: with other trials beside it, on more workers, after any interruption. The digest of a run
is SHA-256 over their values, sorted by (trial, step, group), never over the bytes of files. It leaves out
the columns marked "no", and all rows of trials that are not `repeatable`: a remote service does not give the
same bits again.

**Words.** p_i is the weight of sample i in its mini-batch (Σ p_i = 1) and l_i its loss; g = Σ p_i ∂l_i is
the gradient before any clip, and noise_k = Σ p_i² v_ik, where v_ik is the variance that finite shots add to
component k of ∂l_i; u_i is what they add to l_i. Parameters whose gradient is zero by structure are left out
of all statistics; a group that has no others counts 0 `parameters` and 0 in every bin, and its other
statistics are null.

**Signals.** A group of kind `signal` is what back-propagation brings to a layer: δ_i = dl_i/da, where a is
the input of the layer's activation function. Its components are the layer's units, and the value of a unit
is its root mean square over the mini-batch, g_k = sqrt(Σ p_i δ_ik²), so that l2² = Σ p_i |δ_i|². The
`sample_variance` is that of δ_ik. Read "loss/pre-activation" for the unit "loss/parameter".

**Histogram.** Bin k, from 0 to {BINS - 1}, counts the components with {_BIN}. Bin 0
also takes what is smaller, bin {BINS - 1} what is larger. Exact zeros, infinite components and those that are
not a number are in no bin: the counts sum to `parameters`·(1 − `fraction_zero` − `fraction_nonfinite`).

**Gradient noise scale** (McCandlish et al. 2018): the mean of `noise_trace` over the mean of
`signal_square`, over trials that are equal but for the seed. The trial is the unit: steps of one trial follow
from one another, so each trial gives its means over steps, and errors come from the scatter between trials.
The scale has no meaning where the denominator is not clearly above 0; take it as null within two standard
errors. It changes while a trial trains: choose the steps (`AND step BETWEEN … AND …`).

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
    """The text of ``docs/columns.md``: a preface, and each table's columns from the schema."""
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
