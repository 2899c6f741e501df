"""One optimizer on one problem: tuned, chosen at three budgets, retrained, tested once."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lropt_jax.atlas.design import Design, metric_of, strategy
from lropt_jax.atlas.entries import Configuration, Entry
from lropt_jax.atlas.rows import as_parquet
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.problems.catalogue import problem as problem_named
from lropt_jax.sweeps.engine import sweep
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.training.untrained import untrained

DEFAULTS = -1  # the number of the configuration of somebody who tunes nothing
EXAMPLES = 512  # that a net is looked at on before it has learned anything


def trained_part(
    design: Design, problem: str, entry: Entry, folder: pathlib.Path | None = None
) -> bytes:
    """The rows of a part, as the bytes of a parquet file.

    On one device of this process, so that it is the same wherever it runs.

    Args:
      design: what is trained.
      problem: its name.
      entry: the optimizer.
      folder: where progress is kept, so that it goes on after a kill; None keeps nothing.
    """
    import pandas as pd

    train = _Training(design, problem, entry, folder)
    tuning = design.tuning(entry)
    tuned = train("tune", tuning, [0])
    metric, mode = metric_of(problem)
    chosen = choices(tuned.values[f"valid_{metric}"][:, 0, -1], design, mode)
    distinct = list(dict.fromkeys(chosen.values()))
    configurations = [entry.default if t == DEFAULTS else tuning[t] for t in distinct]
    again = train("retrain", configurations, design.fresh())
    drawn = design.configurations
    frames = [
        _rows("tune", tuned, tuning, range(drawn), metric),
        _rows("rates", tuned, tuning, range(drawn, len(tuning)), metric),
        _rows("retrain", again, configurations, range(len(distinct)), metric, train.every),
    ]
    frames[-1]["trial"] = np.repeat(distinct, design.seeds)
    budgets = [" ".join(name for name, t in chosen.items() if t == d) for d in distinct]
    frames[-1]["budgets"] = np.repeat(budgets, design.seeds)
    others = design.for_targets(entry)
    if len(others) and "all" in chosen:
        best = [tuning[chosen["all"]]]
        reruns = train("target", best, others)
        frames.append(_rows("target", reruns, best, [0], metric, train.every))
        frames[-1]["trial"] = chosen["all"]
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(0, "problem", problem)
    frame.insert(1, "optimizer", entry.name)
    frame["updates"] = np.int32(design.steps(problem))
    frame["start"] = np.float32(before_training(problem, metric))
    return as_parquet(frame)


def choices(scores: np.ndarray, design: Design, mode: str) -> dict[str, int]:
    """The number of the configuration that each tuning budget chooses; none where none finished.

    Args:
      scores: of the configurations that were tried, the drawn ones first, (trials,).
      design: the budgets.
      mode: whether the "min" or the "max" is best.
    """
    found = {"defaults": DEFAULTS}
    sign = 1.0 if mode == "min" else -1.0
    for name, count in (("few", design.few), ("all", design.configurations)):
        losses = np.where(np.isfinite(scores[:count]), sign * scores[:count], np.inf)
        if np.isfinite(losses).any():
            found[name] = int(losses.argmin())
    return found


@functools.cache
def before_training(problem: str, metric: str) -> float:
    """A metric of a net that has learned nothing, on the first examples of the validation split."""
    values = untrained(problem_named(problem), metric, seeds=1, examples=EXAMPLES)
    assert values is not None, "the problems' metrics are means over examples in memory"
    return float(values[0])


class _Training:
    """What the sweeps of a part share: one width, so that they share their programs too."""

    def __init__(self, design: Design, problem: str, entry: Entry, folder: pathlib.Path | None):
        self.folder, self.entry, self.steps = folder, entry, design.steps(problem)
        self.task, self.every = problem_named(problem), design.eval_every(problem)
        self.optimizer = entry.planned(self.steps)
        self.how, self.width = strategy(problem, design.configurations + design.rates)

    def __call__(self, label: str, configurations: list[Configuration], seeds: Any) -> SweepResult:
        return sweep(
            self.task,
            self.optimizer,
            [self.entry.numbers(c, self.steps) for c in configurations],
            seeds=list(seeds),
            steps=self.steps,
            eval_every=None if label == "tune" else self.every,
            strategy=self.how,
            width=self.width,
            devices=1,
            directory=None if self.folder is None else self.folder / label,
            progress=False,
            final_splits=("test",) if label == "retrain" else (),
        )


def _rows(
    phase: str,
    result: SweepResult,
    configurations: list[Configuration],
    trials: Sequence[int],
    metric: str,
    every: int = 0,
) -> Any:
    """A row a training, seeds running fastest; with a curve where it was evaluated on the way."""
    import pandas as pd

    trial, seed = (i.ravel() for i in np.meshgrid(trials, range(len(result.seeds)), indexing="ij"))
    shown = [configurations[t] for t in trial]
    columns: dict[str, Any] = {
        "phase": phase,
        "trial": trial,
        "seed": np.array(result.seeds)[seed],
        "budgets": "",
        "schedule": [SCHEDULE_FAMILIES[round(c["family"])] for c in shown],
    }
    names = [n for n in configurations[0] if n != "family"]
    columns |= {n: np.array([c[n] for c in shown], float) for n in names}
    columns["status"] = result.status[trial, seed].astype(str)
    columns["diverged_at"] = result.diverged_at[trial, seed].astype(np.int32)
    for name, values in result.values.items():
        # The mean of a whole training's losses says nothing.
        if name.startswith("valid_") or (every and name == "train_loss"):
            columns[name] = values[trial, seed, -1].astype(np.float32)
    for name, values in result.final.items():
        columns[name] = values[trial, seed].astype(np.float32)
    frame = pd.DataFrame(columns)
    if every:
        frame["curve"] = list(result.values[f"valid_{metric}"][trial, seed].astype(np.float32))
        frame["every"] = np.int32(every)
    return frame
