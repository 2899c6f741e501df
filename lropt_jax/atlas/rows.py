"""The results as data: files of rows that ship with the package, or come out of a run."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lropt_jax.validation import require

DATA = "data"
ABOUT = "about.json"  # beside the data: versions, machine


def load_atlas(directory: str | os.PathLike[str] | None = None) -> Any:
    """The Atlas as a frame: one row a training.

    All optimizers were tuned alike, on spaces that were frozen before; only the rows whose `phase`
    is "retrain" have met a test split.

    | column | meaning |
    |---|---|
    | problem, optimizer | names |
    | phase | "tune": drawn; "rates": a rate, all else as by default; "retrain": a chosen \
configuration on a fresh seed; "target": reruns that set the target |
    | trial | number of the configuration; -1 for the defaults |
    | seed | of initial weights and batches |
    | budgets | the tuning budgets that chose it: "defaults", "few" (of 8), "all" (of 64) |
    | schedule, learning_rate, warm | family, peak, and the part of the updates that rises |
    | momentum, b1, b2, weight_decay, ... | the rest of the configuration; NaN where it has none |
    | status, diverged_at | "finished" or "diverged", and after how many updates, else -1 |
    | valid_loss, valid_accuracy | after the last update |
    | test_loss, test_accuracy | the same on the test split, of phase "retrain" |
    | train_loss | mean of the batches since the last evaluation |
    | curve, every | the deciding validation metric every so many updates |
    | updates, start | of the training; the metric before any |

    When to use:
      To look up how an optimizer did on a problem like yours, and at which configuration, or to
      draw your own conclusions. Its problems are small and few: it ranks optimizers on them
      alone.

    Args:
      directory: the output of `lropt atlas`; None for what ships with the package.

    Returns:
      A `pandas.DataFrame`. Its `.attrs["data"]` names the data by their hash; versions and the
      machine are in `.attrs` too.

    Raises:
      ImportError: without pandas and pyarrow; it says what to install.
      FileNotFoundError: where there are no data; it says how to make them.

    See also:
      `problem`, `profile_scores`, `tune`.

    Example:
      >>> from lropt_jax import load_atlas
      >>> atlas = load_atlas()
      >>> tested = atlas[(atlas.phase == "retrain") & atlas.budgets.str.contains("all")]
      >>> losses = tested.groupby(["problem", "optimizer"]).test_loss.mean()
      >>> losses["heavy_tails"].nsmallest(3).index.to_list()
      ['lion', 'muon', 'qhadamw']
    """
    require("load_atlas", "sweeps", "pandas", "pyarrow")
    files = shipped() if directory is None else _of_run(directory)
    if not files:
        where = "This version ships no data" if directory is None else f"{directory} has no data"
        raise FileNotFoundError(
            f"{where}. `lropt atlas` makes them (`lropt atlas --plan` says what that takes), and "
            "load_atlas(its --output) reads them"
        )
    return combined(files)


def shipped() -> list[pathlib.Path]:
    """The files that ship with the package, one a problem."""
    folder = pathlib.Path(str(importlib.resources.files("lropt_jax.atlas"))) / DATA
    return sorted(folder.glob("*.parquet"))


def _of_run(directory: str | os.PathLike[str]) -> list[pathlib.Path]:
    folder = pathlib.Path(directory).expanduser()
    return sorted((folder / DATA).glob("*.parquet")) or sorted(folder.glob("parts/*/*.parquet"))


def gathered(
    directory: str | os.PathLike[str],
    problems: Sequence[str],
    beside: Sequence[pathlib.Path] = (),
) -> Any:
    """The rows of a run, written as they ship: one file a problem.

    Args:
      directory: the output of a run.
      problems: these alone.
      beside: files of further rows, of optimizers that the run has not.

    Returns:
      All these rows.
    """
    folder = pathlib.Path(directory).expanduser()
    files = []
    for problem in problems:
        frame = combined(sorted((folder / "parts" / problem).glob("*.parquet")))
        for file in beside:
            if file.stem == problem:
                others = combined([file])
                frame = stacked([others[~others.optimizer.isin(set(frame.optimizer))], frame])
        path = folder / DATA / f"{problem}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(as_parquet(small(frame)))
        files.append(path)
    return combined(files)


def stacked(frames: Sequence[Any]) -> Any:
    """Frames below each other; a column that one lacks is missing there."""
    import pandas as pd

    bare = [frame.copy() for frame in frames]
    for frame in bare:
        frame.attrs = {}
    return pd.concat(bare, ignore_index=True)


def combined(files: Sequence[pathlib.Path]) -> Any:
    """The rows of several files, in their order."""
    import pandas as pd

    found = stacked([pd.read_parquet(file) for file in files])
    marks = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    about = files[0].parent / ABOUT
    told = json.loads(about.read_text(encoding="utf-8")) if about.exists() else {}
    found.attrs = {**told, "data": marks.hexdigest()[:12]}
    return found


def as_parquet(frame: Any) -> bytes:
    """A frame as the bytes of a file: the same for the same rows."""
    held = io.BytesIO()
    frame.to_parquet(held, index=False, compression="zstd")
    return held.getvalue()


def small(frame: Any) -> Any:
    """The rows as they ship: numbers to seven figures, curves to four."""
    frame = frame.copy()
    frame.attrs = {}
    for name in frame.columns:
        if frame[name].dtype == np.float64:
            frame[name] = frame[name].astype(np.float32)
    frame["curve"] = [None if c is None else _figures(np.asarray(c)) for c in frame["curve"]]
    return frame


def _figures(values: np.ndarray, figures: int = 4) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (figures - 1 - np.floor(np.log10(np.abs(values, dtype=float))))
        rounded = np.round(values * scale) / scale
    whole: np.ndarray = np.where(np.isfinite(rounded), rounded, values).astype(np.float32)
    return whole
