"""Are the data true? Some of their rows trained again, here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lropt_jax.atlas.design import Design, metric_of, strategy
from lropt_jax.atlas.entries import ENTRIES
from lropt_jax.atlas.part import DEFAULTS
from lropt_jax.problems.catalogue import problem as problem_named
from lropt_jax.sweeps.engine import sweep
from lropt_jax.validation import instead

CLOSE = 1e-3  # relative: what other processors may differ by in a training that is not chaotic


def verified(
    frame: Any,
    count: int,
    problems: Sequence[str] | None = None,
    seed: int | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> Any:
    """Trains random rows again and compares the deciding metric on the test split.

    Drawn are rows of chosen configurations, which have an interval over seeds: where a training
    is chaotic, another processor gives another value of the same distribution.

    Args:
      frame: as `load_atlas` gives it.
      count: of rows.
      problems: of these alone.
      seed: of the drawing; None: another each time.
      say: is told a line for each row.

    Returns:
      A frame: problem, optimizer, trial, seed, then, now, agrees.

    Raises:
      ValueError: where there is no such row.
    """
    import pandas as pd

    rows = frame[(frame.phase == "retrain") & frame.optimizer.isin(list(ENTRIES))]
    if problems is not None:
        known = sorted(set(rows.problem))
        for name in problems:
            if name not in known:
                raise ValueError(f"there are no data of problem {name!r}{instead(name, known)}")
        rows = rows[rows.problem.isin(list(problems))]
    drawn = rows.sample(min(count, len(rows)), random_state=seed)
    found = []
    for number, (_, row) in enumerate(drawn.iterrows()):
        name = f"test_{metric_of(row.problem)[0]}"
        now = _again(row, name)
        lanes = rows[
            (rows.problem == row.problem) & (rows.optimizer == row.optimizer)
            & (rows.trial == row.trial)
        ][name].to_numpy(float)  # fmt: skip
        agrees = alike(float(row[name]), now, lanes)
        found.append(
            {"problem": row.problem, "optimizer": row.optimizer, "trial": row.trial,
             "seed": row.seed, "then": float(row[name]), "now": now, "agrees": agrees}
        )  # fmt: skip
        verdict = "agrees" if agrees else "DIFFERS"
        say(
            f"{number + 1} of {len(drawn)}: {row.problem} {row.optimizer}, seed {row.seed}: "
            f"{name} {row[name]:.5g}, now {now:.5g}: {verdict}"
        )
    return pd.DataFrame(found)


def alike(then: float, now: float, lanes: np.ndarray) -> bool:
    """Whether two values are the same training's: close, both lost, or the new one lies where 95%
    of further seeds would."""
    from scipy import stats

    if not (np.isfinite(then) and np.isfinite(now)):
        return bool(np.isfinite(then) == np.isfinite(now))
    if abs(now - then) <= CLOSE * abs(then):
        return True
    lanes = lanes[np.isfinite(lanes)]
    if len(lanes) < 2:
        return False
    reach = stats.t.ppf(0.975, len(lanes) - 1) * lanes.std(ddof=1) * np.sqrt(1 + 1 / len(lanes))
    return bool(abs(now - lanes.mean()) <= reach)


def _again(row: Any, metric: str) -> float:
    entry, steps = ENTRIES[row.optimizer], int(row.updates)
    trial = int(row.trial)
    configuration = entry.default if trial == DEFAULTS else Design().tuning(entry)[trial]
    result = sweep(
        problem_named(row.problem), entry.planned(steps), [entry.numbers(configuration, steps)],
        seeds=[int(row.seed)], steps=steps, eval_every=int(row.every), devices=1, width=1,
        strategy=strategy(row.problem, 1)[0], progress=False, final_splits=("test",),
    )  # fmt: skip
    return float(result.final[metric][0, 0])
