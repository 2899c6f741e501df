"""A sweep's values as a tidy frame, as a dataset, as a file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.values import plain_or_named
from lropt_jax.validation import installed, require

SUFFIXES = (".csv", ".parquet")
TAKEN = ("trial", "seed", "step", "metric", "value", "status", "diverged_at")
LARGEST = 2**63  # of a column of whole numbers

Trials = Sequence[Mapping[str, Any]]


def pandas() -> Any:
    """The package, or an `ImportError` that names the extra that installs it."""
    require("a table", "sweeps", "pandas")
    import pandas as pd

    return pd


def tidy(
    trials: Trials,
    seeds: Sequence[int],
    steps: np.ndarray,
    values: Mapping[str, np.ndarray],
    status: np.ndarray,
    diverged_at: np.ndarray,
    evaluated: np.ndarray,
) -> Any:
    """A row for each trial, seed, metric and evaluation that was made (see `SweepResult`)."""
    pd = pandas()
    trial, seed, step = (i.ravel() for i in np.indices((len(trials), len(seeds), len(steps))))
    columns = {
        "trial": trial,
        "seed": np.asarray(seeds)[seed],
        **{name: column.to_numpy()[trial] for name, column in _columns(pd, trials, TAKEN).items()},
        "step": steps[step],
    }
    at = diverged_at[trial, seed]
    tail = {"status": status[trial, seed], "diverged_at": pd.array(at, dtype="Int64").copy()}
    tail["diverged_at"][at < 0] = pd.NA
    made = evaluated.ravel()
    parts = [
        pd.DataFrame({**columns, "metric": metric, "value": value.ravel(), **tail})[made]
        for metric, value in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def dataset(
    trials: Trials,
    seeds: Sequence[int],
    steps: np.ndarray,
    values: Mapping[str, np.ndarray],
    status: np.ndarray,
    diverged_at: np.ndarray,
) -> Any:
    """A variable for each metric over (trial, seed, step) (see `SweepResult`)."""
    require("to_xarray", "sweeps", "xarray", "pandas")
    import xarray

    lanes = ("trial", "seed")
    named = _columns(pandas(), trials, (*TAKEN, *values))
    columns = {n: ("trial", c.to_numpy()) for n, c in named.items()}
    return xarray.Dataset(
        {
            **{name: ((*lanes, "step"), value) for name, value in values.items()},
            "status": (lanes, status.astype(str)),
            "diverged_at": (lanes, diverged_at),
        },
        coords={"trial": np.arange(len(trials)), "seed": seeds, "step": steps, **columns},
    )


def save(frame: Callable[[], Any], path: str | os.PathLike[str]) -> None:
    """Writes a frame, which is made when the path is known to be good, to a file.

    Raises:
      ValueError: for a suffix that is neither .parquet nor .csv.
    """
    suffix = os.path.splitext(path)[1]
    if suffix not in SUFFIXES:
        raise ValueError(f"path must end in .parquet or .csv, got {os.fspath(path)!r}")
    if suffix == ".csv":
        frame().to_csv(path, index=False)
    else:
        frame().to_parquet(path, index=False)


def file_of(frame: Any) -> tuple[str, bytes]:
    """The name and the bytes of a table's file: parquet, or CSV without pyarrow."""
    if not installed("pyarrow"):
        return "results.csv", frame.to_csv(index=False).encode()
    return "results.parquet", frame.to_parquet(index=False)


def plain_csv(
    trials: Trials,
    seeds: Sequence[int],
    steps: np.ndarray,
    values: Mapping[str, np.ndarray],
    status: np.ndarray,
    diverged_at: np.ndarray,
    evaluated: np.ndarray,
) -> bytes:
    """The rows of `tidy` as CSV, for where pandas is not installed."""
    names = list(dict.fromkeys(name for trial in trials for name in trial))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tail = ["step", "metric", "value", "status", "diverged_at"]
    writer.writerow(["trial", "seed", *(free(name, TAKEN) for name in names), *tail])
    for metric, value in values.items():
        for t, s, e in zip(*np.nonzero(evaluated), strict=True):
            number, at = float(value[t, s, e]), int(diverged_at[t, s])
            words = [plain_or_named(trials[t].get(name)) for name in names]
            shown = "" if np.isnan(number) else repr(number)
            end = [int(steps[e]), metric, shown, status[t, s], "" if at < 0 else at]
            writer.writerow([int(t), seeds[s], *words, *end])
    return text.getvalue().encode()


def free(name: str, taken: Container[str]) -> str:
    """What a column of a hyperparameter is called: its name, if no other column is."""
    return f"config_{name}" if name in taken else name


def beside(configuration: Mapping[str, Any], taken: Container[str]) -> dict[str, Any]:
    """A configuration as further cells of a row, whose columns these are."""
    return {free(name, taken): value for name, value in configuration.items()}


def of_one_kind(values: Iterable[Any]) -> list[Any]:
    """Values as a column can hold and a file can take them: all numbers, all bools or all words.
    What is none of these, and what is beside something else, is a word; None stays."""
    found = [plain_or_named(v) for v in values]
    given = [v for v in found if not (v is None or (isinstance(v, float) and np.isnan(v)))]
    if all(isinstance(v, bool) for v in given) or all(isinstance(v, str) for v in given):
        return found
    if any(isinstance(v, (bool, str)) for v in given):
        return [v if v is None or isinstance(v, str) else repr(v) for v in found]
    if any(isinstance(v, int) and not -LARGEST <= v < LARGEST for v in given):
        return [None if v is None else float(v) for v in found]
    return found


def _columns(pd: Any, trials: Trials, taken: Container[str]) -> dict[str, Any]:
    """The values of each name, a row a trial, under a name that is not taken."""
    names = dict.fromkeys(name for trial in trials for name in trial)
    return {
        free(name, taken): pd.Series(of_one_kind(trial.get(name) for trial in trials))
        for name in names
    }
