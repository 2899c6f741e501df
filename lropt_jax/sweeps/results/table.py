"""Where do the values go? One table of all trials, seeds and evaluations, filled as they come."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.pieces import Arrays, Piece, Snapshot


class Table:
    """The values as they come in.

    Args:
      plan: what is trained.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        shape = (len(plan.configurations), len(plan.seeds))
        evaluations = len(plan.itinerary.evaluations)
        self.values: Arrays = {m: np.full((*shape, evaluations), np.nan) for m in plan.metrics}
        self.final: Arrays = {name: np.full(shape, np.nan) for name in plan.final}
        self.diverged_at = np.full(shape, -1)
        self.reached = np.zeros(shape, int)
        self.pruned = np.zeros(shape[0], bool)

    def record(self, piece: Piece, outcome: Snapshot) -> None:
        """Enters what a piece has come to."""
        trials, seeds = self.mark(piece, outcome)
        for name, values in outcome.metrics.items():
            self.values[name][trials, seeds, piece.first : piece.last] = values
        for name, values in outcome.final.items():
            self.final[name][trials, seeds] = values
        self.reached[trials, seeds] = piece.last

    def mark(self, piece: Piece, outcome: Snapshot) -> tuple[np.ndarray, np.ndarray]:
        """Enters which lanes of a piece have diverged so far; its trials and seeds."""
        trials, seeds = (np.array(column) for column in zip(*piece.lanes, strict=True))
        self.diverged_at[trials, seeds] = outcome.diverged_at
        return trials, seeds

    def at(self, metric: str, evaluation: int) -> np.ndarray:
        """A metric at an evaluation, (trials, seeds).

        Raises:
          ValueError: for an unknown metric; it lists the known ones.
        """
        if metric not in self.values:
            raise ValueError(f"metric must be one of {sorted(self.values)}, got {metric!r}")
        column: np.ndarray = self.values[metric][:, :, evaluation]
        return column

    def finish(self, **about: Any) -> SweepResult:
        """The result: what is in the table, and what else is known about the sweep."""
        status = np.full(self.diverged_at.shape, "finished", object)
        status[self.pruned] = "pruned"
        status[self.diverged_at >= 0] = "diverged"
        return SweepResult(
            list(self._plan.configurations),
            list(self._plan.seeds),
            np.asarray(self._plan.itinerary.evaluations),
            self.values,
            self.final,
            status,
            self.diverged_at,
            self.reached,
            of_task=self._plan.of_task,
            **about,
        )
