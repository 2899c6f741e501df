"""How long does an update take? A strategy on trial."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from lropt_jax.sweeps.planning.jobs import Job
from lropt_jax.training.lanes import Lane
from lropt_jax.training.layout import Layout

TIMING = 0.1  # seconds of a timed run, about
FEWEST = 8  # updates of a timed run, where they are shorter than that


class Timed:
    """A strategy on trial.

    Args:
      job: what the lanes share.
      numbers: the hyperparameters of some of them.
      width: how many train.
      layout: the strategy, and the devices.
      beside: another one of the same job, width and devices, whose lanes it trains further, so
        that they are started once and lie in memory once.

    Attributes:
      compiling: the seconds until the first update was done, known after the first timing.
    """

    def __init__(
        self,
        job: Job,
        numbers: Mapping[str, np.ndarray],
        width: int,
        layout: Layout,
        beside: Timed | None = None,
    ) -> None:
        self.job, self.compiling = job, 0.0
        self._population = job.population(layout, numbers)
        self._numbers, self._width = dict(some_numbers(numbers, width)), width
        self._shared: list[Lane] = beside._shared if beside else []
        self._feed: Any = None
        self._capacity, self._once = 1, 0.0

    def seconds(self, spend: float = TIMING, most: int | None = None) -> float:
        """The time of one update of all lanes.

        Args:
          spend: seconds that the timed run should take, about.
          most: updates that it makes at most, but for the fewest that say something.
        """
        fresh = self._feed is None
        if fresh:
            self._prepare()
        if self._once >= TIMING or self._capacity == 1:
            return self._once if fresh else self._run(1)
        # What a run costs however short it is falls out: training has long ones.
        updates = max(FEWEST, min(int(spend / self._once), most or self._capacity))
        updates = min(updates, self._capacity)
        took = self._run(updates)
        return max(took - self._once, took / (2 * updates)) / max(updates - 1, 1)

    def _prepare(self) -> None:
        itinerary, population = self.job.itinerary, self._population
        began = time.perf_counter()
        if not self._shared:
            keys = jax.random.split(jax.random.key(0), self._width)
            self._shared.append(_ready(population.start(keys, self._numbers)))
        orders = population.orders(self._shared[0])
        self._capacity = itinerary.fitting(itinerary.room(orders), 0, itinerary.steps)
        # Long beforehand, as while training, and not in what is timed.
        self._feed = population.placed(itinerary.feed(orders, 0, self._capacity))
        self._run(1)
        self.compiling = time.perf_counter() - began
        self._once = max(self._run(1), 1e-6)

    def _run(self, updates: int) -> float:
        lanes = _ready(self._shared.pop())
        began = time.perf_counter()
        lanes, _ = _ready(self._population.run(lanes, self._feed, updates))
        self._shared.append(lanes)
        return time.perf_counter() - began


def _ready(x: Any) -> Any:
    return jax.block_until_ready(x)  # type: ignore[no-untyped-call]


def some_numbers(numbers: Mapping[str, np.ndarray], width: int) -> Mapping[str, np.ndarray]:
    """The hyperparameters of so many lanes, which take them in turns."""
    return {k: np.resize(v, width).astype(np.result_type(float)) for k, v in numbers.items()}
