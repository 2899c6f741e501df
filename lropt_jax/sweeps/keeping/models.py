"""Which trained models are kept? All seeds of the best configurations, as far as is known yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lropt_jax.tasks.metrics import direction, known_metric, usual_metric
from lropt_jax.validation import whole_number

Lane = tuple[int, int]
Leaves = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Keep:
    """How many of the best configurations to keep the trained models of, and the best by what.

    Attributes:
      count: of the configurations; all seeds of each.
      metric: whose mean over the seeds ranks them, after the last update.
      mode: which way it is better, "min" or "max".
      seeds: of each configuration.
    """

    count: int
    metric: str
    mode: str
    seeds: int

    def ranked(self, means: np.ndarray) -> list[int]:
        """The best trials from the first on: by their means, those not finite left out."""
        losses = means if self.mode == "min" else -means
        order = np.argsort(losses, kind="stable")
        return [int(t) for t in order if np.isfinite(means[t])][: self.count]


def check_keep(count: Any, by: Any, metrics: Sequence[str], seeds: int) -> Keep | None:
    """What `sweep` is asked to keep: `keep` and `keep_by`, among these metrics.

    Raises:
      ValueError: for a count that is no whole number, and a metric that there is not.
    """
    if count is None:
        if by is not None:
            raise ValueError(
                f"keep_by={by!r} says what the best are: give keep=k, how many to keep"
            )
        return None
    count = whole_number("keep", count, allowed=" or None")
    if by is None:
        metric = usual_metric(metrics, what="keep_by")
        return Keep(count, metric, direction(metric), seeds)
    if isinstance(by, str):
        by = (by, None)
    if not isinstance(by, (tuple, list)) or len(by) != 2:
        raise ValueError(f"keep_by must be (metric, mode), got {by!r}")
    metric = known_metric(by[0], metrics, "keep_by")
    return Keep(count, metric, direction(metric, by[1]), seeds)


class Champions:
    """Lets lanes' arrays go as soon as others are known to be better.

    Which these are in the end is told by the result; until then this holds no lane of a trial that
    diverged on a seed, and of those whose seeds have all ended the best alone.

    Args:
      keep: how many, and by what.
      put: takes a lane's arrays.
      drop: lets go of those of a lane.
    """

    def __init__(
        self, keep: Keep, put: Callable[[Lane, Leaves], None], drop: Callable[[Lane], Any]
    ):
        self._keep, self._put, self._drop = keep, put, drop
        self._values: dict[int, dict[int, float]] = {}
        self._means: dict[int, float] = {}
        self._out: set[int] = set()

    def knows(self, lane: Lane) -> bool:
        """Whether a lane has been offered."""
        return lane[1] in self._values.get(lane[0], {})

    def offer(self, lane: Lane, value: float, leaves: Leaves | None) -> None:
        """A lane that has ended.

        Args:
          lane: its trial, and the number of its seed.
          value: of the metric that ranks; not finite where it diverged.
          leaves: its arrays, or None where they lie in their place already.
        """
        trial, seed = lane
        values = self._values.setdefault(trial, {})
        values[seed] = value
        if trial in self._out or not np.isfinite(value):
            return self._lose(trial)
        if leaves is not None:
            self._put(lane, leaves)
        if len(values) == self._keep.seeds:
            self._means[trial] = float(np.mean([values[s] for s in sorted(values)]))
            known = sorted(self._means)
            best = self._keep.ranked(np.array([self._means[t] for t in known]))
            for place, loser in enumerate(known):
                if place not in best:
                    del self._means[loser]
                    self._lose(loser)
        return None

    def _lose(self, trial: int) -> None:
        self._out.add(trial)
        for seed in self._values[trial]:
            self._drop((trial, seed))


def rows_of(leaves: Sequence[np.ndarray], row: int) -> Leaves:
    """The arrays of one lane, copied out of those of several."""
    return [np.array(x[row]) for x in leaves]
