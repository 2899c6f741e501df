"""The way up: the programs of a range test, and the rates that it sets before each update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.training.lanes import BatchOrder, Feed
from lropt_jax.training.layout import Layout

LEARNING_RATE = "learning_rate"


class Ladder:
    """The programs of a group of configurations, and the way up.

    Args:
      plan: what is trained.
      group: whose programs.
      layout: how lanes lie on the machine.
      rates: the ladder.
      split: whose loss is recorded.
    """

    def __init__(
        self, plan: Plan, group: int, layout: Layout, rates: np.ndarray[Any, Any], split: str
    ):
        self._plan, self._names = plan, plan.groups[group].numbers
        self._rates, self._split = rates.astype(np.float32), split
        self._population = plan.jobs[group].population(layout, plan.numbers(group))

    def climb(self, lanes: Sequence[tuple[int, int]]) -> np.ndarray[Any, Any]:
        """The losses of `(configuration, seed number)` lanes, (lanes, steps)."""
        population, visits = self._population, self._plan.itinerary
        numbers = {
            name: np.array([self._plan.configurations[t][name] for t, _ in lanes], np.float32)
            for name in self._names
        }
        state = population.start(self._plan.keys([s for _, s in lanes]), numbers)
        orders = _shared(population.orders(state), [s for _, s in lanes])
        recorded = []
        start = 0
        for stop in visits.evaluations:
            for first, last in visits.segments(start, stop, visits.room(orders)):
                feed = self._feed(orders, first, last)
                state, metrics = population.run(state, feed, last - first)
                recorded.append(np.asarray(metrics["loss"])[:, : last - first])
            if self._split == "valid":
                recorded[-1] = np.asarray(population.evaluate(state, "valid")["valid_loss"])[
                    :, None
                ]
            start = stop
        return np.concatenate([np.asarray(r, float) for r in recorded], axis=1)

    def _feed(self, orders: list[BatchOrder], first: int, last: int) -> Feed:
        visits = self._plan.itinerary
        rates = np.full((len(orders), visits.room(orders).updates), self._rates[-1])
        rates[:, : last - first] = self._rates[first:last]
        return visits.feed(orders, first, last)._replace(settings={LEARNING_RATE: rates})


def _shared(orders: list[BatchOrder], seeds: list[int]) -> list[BatchOrder]:
    """One order a seed, whatever the configuration, so that its epochs are drawn once."""
    first = dict(zip(reversed(seeds), reversed(orders), strict=True))
    return [first[seed] for seed in seeds]
