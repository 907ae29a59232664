"""The network of ``benchmarks.sweep`` in Ray Tune: plain NumPy, a report after every step, reused actors."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEPS, BATCH, HIDDEN, LEARNING_RATE = 10, 64, 10, 0.01


@cache
def data() -> tuple[Array, Array]:
    """Returns breast cancer: eight principal components [rows, 8] and labels [rows]. Cached."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.decomposition import PCA

    inputs, labels = load_breast_cancer(return_X_y=True)
    return PCA(8, svd_solver="full").fit_transform(inputs), labels.astype(float)


def step(parameters: list[Array], inputs: Array, labels: Array) -> float:
    """Does one step of gradient descent, in place; returns the binary cross-entropy before it."""
    first, first_bias, second, second_bias = parameters
    hidden = np.maximum(0.0, inputs @ first + first_bias)
    logit = (hidden @ second + second_bias)[:, 0]
    slope = ((1.0 / (1.0 + np.exp(-logit)) - labels) / len(labels))[:, None]
    hidden_slope = (slope @ second.T) * (hidden > 0.0)
    gradients = inputs.T @ hidden_slope, hidden_slope.sum(0), hidden.T @ slope, slope.sum(0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        np.subtract(parameter, LEARNING_RATE * gradient, out=parameter)
    return float((np.logaddexp(0.0, logit) - labels * logit).mean())


def train(config: Mapping[str, int]) -> None:
    """Runs one trial of Tune."""
    from ray import tune

    inputs, labels = data()
    random = np.random.default_rng(config["seed"])
    sizes = [(inputs.shape[1], HIDDEN), (HIDDEN,), (HIDDEN, 1), (1,)]
    parameters = [random.uniform(-0.3, 0.3, size) for size in sizes]
    order = random.permutation(len(inputs))
    with np.errstate(over="ignore"):
        for number in range(STEPS):
            rows = order[number * BATCH % len(order) :][:BATCH]
            tune.report({"loss": step(parameters, inputs[rows], labels[rows])})


def missing() -> str:
    """Returns why Tune cannot be imported; empty if it can."""
    try:
        from ray import tune  # noqa: F401 - only looked for
    except ImportError as error:
        return str(error)
    return ""


def seconds(trials: int, folder: Path, loggers: bool) -> float:
    """Returns the seconds of a whole call with ``trials`` trials, on the cluster of this process.

    Args:
        loggers: whether Tune logs the reports, which is its default: JSON, CSV and TensorBoard per trial.
    """
    from ray import tune

    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": str(int(not loggers))}
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    begun = time.perf_counter()
    tuner = tune.Tuner(
        train,
        param_space={"seed": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    results = tuner.fit()
    whole = time.perf_counter() - begun
    if results.num_errors:
        raise SystemExit(f"Tune: {results.num_errors} trials failed: {results.errors[0]}")
    return whole
