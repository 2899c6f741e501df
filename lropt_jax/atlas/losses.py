"""The rows of the Atlas as losses: by pair, on the test split, in updates to a target.

Everything is a loss here: an accuracy counts as the share of errors. What diverged, or got worse
than a net that has learned nothing, counts as such a net.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.atlas.design import MICROSECONDS, metric_of
from lropt_jax.atlas.entries import ENTRIES, REFERENCES
from lropt_jax.sweeps.results.best_of_n import expected_best
from lropt_jax.sweeps.results.statistics import steps_to_target

Array = np.ndarray


class Results:
    """The rows of the Atlas, as losses.

    Args:
      frame: as `load_atlas` gives it.

    Attributes:
      problems: their names, the quickest first.
      optimizers: that there are results of on all of these problems, in the table's order.

    Raises:
      ValueError: for no rows, and where no optimizer was run on all of the problems.
    """

    def __init__(self, frame: Any):
        if not len(frame):
            raise ValueError("the Atlas has no rows: there is nothing to show or to score")
        frame = frame.copy()
        found = set(frame.problem)
        self.problems = [p for p in MICROSECONDS if p in found] + sorted(found - set(MICROSECONDS))
        named = [set(frame[frame.problem == p].optimizer) for p in self.problems]
        whole = set.intersection(*named)
        if not whole:
            raise ValueError(
                f"no optimizer was run on all problems of these rows, {', '.join(self.problems)}"
            )
        self.optimizers = [n for n in ENTRIES if n in whole] + sorted(whole - set(ENTRIES))
        accuracy = frame.problem.map(lambda p: metric_of(p)[1] == "max")
        frame["before"] = np.where(accuracy, 1 - frame.start, frame.start)
        for split in ("valid", "test"):
            loss = frame[f"{split}_loss"]
            if f"{split}_accuracy" in frame:
                loss = np.where(accuracy, 1 - frame[f"{split}_accuracy"], loss)
            frame[split] = np.minimum(np.nan_to_num(loss, nan=np.inf), frame.before)
        ordered = frame.sort_values(["trial", "seed"])
        self._groups = dict(list(ordered.groupby(["problem", "optimizer", "phase"])))
        self._nothing = frame.iloc[:0]
        self._tested: dict[str, Array] = {}

    def rows(self, problem: str, optimizer: str, phase: str) -> Any:
        """The rows of a pair, by the number of the configuration and the seed."""
        return self._groups.get((problem, optimizer, phase), self._nothing)

    def chosen(self, problem: str, optimizer: str, budget: str) -> Any:
        """The rows of the configuration that a budget chose, a seed each; none where nothing
        finished."""
        rows = self.rows(problem, optimizer, "retrain")
        return rows[[budget in words.split() for words in rows.budgets]]

    def before(self, problem: str) -> float:
        """The loss of a net that has learned nothing."""
        return float(self.rows(problem, self.optimizers[0], "tune").before.iloc[0])

    def tested(self, budget: str) -> Array:
        """Losses on the test split, (problems, optimizers, seeds)."""
        if budget not in self._tested:
            found = [
                [self.chosen(p, o, budget).test.to_numpy(float) for o in self.optimizers]
                for p in self.problems
            ]
            seeds = max(len(v) for row in found for v in row)
            self._tested[budget] = np.array([
                [v if len(v) else np.full(seeds, self.before(p)) for v in row]
                for p, row in zip(self.problems, found, strict=True)
            ])  # fmt: skip
        return self._tested[budget]

    def target(self, problem: str) -> float:
        """What is to be reached: the median over the reruns of the best of the references, which
        is the one that was best when it was chosen. NaN where none of them took part."""
        reruns = [self.rows(problem, o, "target") for o in REFERENCES if o in self.optimizers]
        reruns = [rows for rows in reruns if len(rows)]
        if not reruns:
            return float("nan")
        tuned = [self.rows(problem, rows.optimizer.iloc[0], "tune").valid.min() for rows in reruns]
        return float(reruns[int(np.argmin(tuned))].valid.median())

    def times(self, budget: str = "all") -> Array:
        """Updates to the target, (problems, optimizers, seeds); infinite where it is not reached,
        for all where there is none."""
        found = np.full(self.tested(budget).shape, np.inf)
        for i, problem in enumerate(self.problems):
            target = self.target(problem)
            for j, optimizer in enumerate(self.optimizers):
                rows = self.chosen(problem, optimizer, budget)
                if len(rows) and np.isfinite(target):
                    curves = np.stack(rows.curve.to_list()).astype(float)
                    curves = 1 - curves if metric_of(problem)[1] == "max" else curves
                    steps = _steps(int(rows.every.iloc[0]), int(rows.updates.iloc[0]), curves)
                    found[i, j] = steps_to_target(steps, curves, target, "min")
        return found

    def tuning_curve(self, problem: str, optimizer: str) -> tuple[Array, Array, Array]:
        """The best of n configurations, for each n: mean, and the band of the median."""
        losses = self.rows(problem, optimizer, "tune").valid.to_numpy(float)
        top = 1.0 if metric_of(problem)[1] == "max" else max(self.before(problem), 0.0)
        floor = min(0.0, losses.min())
        found: tuple[Array, Array, Array] = expected_best(
            losses, mode="min", bounds=(floor, top + 1e-9)
        )
        return found


def _steps(every: int, updates: int, curves: Array) -> Array:
    steps: Array = np.minimum(np.arange(1, curves.shape[1] + 1) * every, updates)
    return steps
