"""A population under way: segment after segment, evaluation after evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters import wants_observation
from lropt_jax.itinerary import Itinerary
from lropt_jax.population import Population
from lropt_jax.schedules.base import float_type
from lropt_jax.segment import Lane


def _ignore(updates: int) -> None:
    pass


@dataclasses.dataclass
class Run:
    """A population under way.

    Attributes:
      population: its programs.
      lanes: the lanes as they stand.
      diverged_at: (width,), updates taken before the first non-finite value, or -1.
      step: updates taken.
      totals: the sum of each training metric since the last evaluation, (width,), float64.
      since: the update after which `totals` begin.
      wanted: (width,), the lanes whose results are read, None for all. Where it is given, lanes
        that are not wanted or have diverged may rest.
    """

    population: Population
    lanes: Lane
    diverged_at: np.ndarray
    step: int = 0
    totals: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    since: int = 0
    wanted: np.ndarray | None = None

    @classmethod
    def begin(
        cls,
        population: Population,
        keys: jax.Array,
        numbers: dict[str, Any],
        wanted: np.ndarray | None = None,
    ) -> Run:
        """Lanes before their first update: one key, and one of each number, a lane."""
        lanes = population.start(keys, numbers)
        return cls(population, lanes, np.full(len(keys), -1), wanted=wanted)

    @property
    def observes(self) -> bool:
        """Whether a schedule of the lanes waits for the evaluations."""
        return wants_observation(self.lanes.opt_state)

    def visit(
        self,
        plan: Itinerary,
        stop: int,
        advance: Callable[[int], None] = _ignore,
        observed: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Trains up to an evaluation, evaluates, and shows the schedules that observe.

        Args:
          plan: the itinerary.
          stop: the update that the evaluation comes after.
          advance: called after each segment with its updates.
          observed: the metric that schedules are shown; by default the validation loss, or the
            training loss where there is no validation split.

        Returns:
          Each metric by its name, (width,); NaN for lanes that have diverged.
        """
        metrics = self.train(plan, self.step, stop, advance)
        validated = self.population.task.valid is not None
        if validated:
            metrics |= self.evaluate(stop, "valid")
        if self.observes:
            name = observed or ("valid_loss" if validated else "train_loss")
            if name not in metrics:
                raise ValueError(f"observe must be one of {sorted(metrics)}, got {name!r}")
            self.observe(metrics[name])
        return metrics

    def train(
        self,
        plan: Itinerary,
        start: int,
        stop: int,
        advance: Callable[[int], None] = _ignore,
    ) -> dict[str, np.ndarray]:
        """Takes all lanes from update `start` to `stop`; the mean of each metric, (width,).

        The mean is over the updates since the last evaluation.
        """
        orders = self.population.orders(self.lanes)
        segments = list(plan.segments(start, stop))
        feed = plan.feed(orders, *segments[0])
        for i, (first, last) in enumerate(segments):
            self.lanes, recorded = self.population.run(
                self.lanes, feed, (last - first) * self._working()
            )
            if i + 1 < len(segments):  # the host prepares while the devices train
                feed = plan.feed(orders, *segments[i + 1])
            values = {k: np.asarray(v)[:, : last - first] for k, v in recorded.items()}
            self._mark(~np.isfinite(values["loss"]), np.arange(first, last))
            self.totals = {k: _added(self.totals.get(k), v) for k, v in values.items()}
            self.step = last
            advance(last - first)
        means = {f"train_{k}": v / (stop - self.since) for k, v in self.totals.items()}
        self.totals, self.since = {}, stop
        return self._masked(means)

    def evaluate(self, step: int, split: str) -> dict[str, np.ndarray]:
        """The means of the task's metrics over a split, (width,)."""
        values = {
            k: np.asarray(v, float)
            for k, v in self.population.evaluate(self.lanes, split, self._working()).items()
        }
        bad = np.any([~np.isfinite(v) for v in values.values()], axis=0)
        self._mark(bad[:, None], np.array([step]))
        return self._masked(values)

    def observe(self, values: np.ndarray) -> None:
        """Shows each lane's schedules its value."""
        self.lanes = self.population.observe(self.lanes, jnp.asarray(values, float_type()))

    def _working(self) -> np.ndarray | bool:
        """The lanes that may not rest."""
        return True if self.wanted is None else self.wanted & (self.diverged_at < 0)

    def _mark(self, bad: np.ndarray, steps: np.ndarray) -> None:
        new = bad.any(axis=1) & (self.diverged_at < 0)
        self.diverged_at = np.where(new, steps[bad.argmax(axis=1)], self.diverged_at)

    def _masked(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {k: np.where(self.diverged_at < 0, v, np.nan) for k, v in values.items()}


def _added(total: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """`total` plus each column of `values` in turn, so that where a segment ends changes no bit."""
    start = np.zeros(len(values)) if total is None else total
    columns = np.concatenate([start[:, None], values.astype(float)], axis=1)
    summed: np.ndarray = np.add.accumulate(columns, axis=1)[:, -1]
    return summed
