"""What has come out so far: what all trainings share, what was tried, who leads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.comparisons.proposals import as_spaces
from lropt_jax.sweeps.deciding.rules import Rule
from lropt_jax.sweeps.planning.plan import Plan, planned
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.metrics import is_share
from lropt_jax.tasks.task import Task
from lropt_jax.training.course import as_key
from lropt_jax.training.visits import Itinerary
from lropt_jax.tuning.contenders import Configuration, Contender

CLOSE = 0.1  # of what lies between the best and the median: as good as the best, by one seed


@dataclasses.dataclass(frozen=True)
class Tried:
    """A configuration that was tried.

    Attributes:
      contender: whose it is.
      configuration: its numbers.
      values: the metric after the last update on each seed that it was tried on; NaN where it
        did not finish.
      status: "finished", "pruned" or "diverged".
      origin: "list", "space" (a person's own), "near" a leader, or "smaller" rates.
      updates: that it trained.
    """

    contender: str
    configuration: Configuration
    values: tuple[float, ...]
    status: str
    origin: str
    updates: int

    @property
    def value(self) -> float:
        """The mean over its seeds."""
        return float(np.mean(self.values))


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all trainings of a tuning share.

    Attributes:
      task: the problem.
      when: each training's itinerary.
      metric: what decides.
      mode: which way.
      key: that everything random comes from.
      placement: where it is trained.
    """

    task: Task
    when: Itinerary
    metric: str
    mode: str
    key: Any
    placement: Placement

    @property
    def words(self) -> list[int]:
        """The key as numbers."""
        words = np.asarray(jax.random.key_data(as_key(self.key)))
        return [int(word) for word in words.ravel()]

    def plan(
        self,
        contender: Contender,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        rule: Rule | None = None,
        splits: Sequence[str] = (),
    ) -> Plan:
        """The plan of some configurations, checked on shapes alone.

        Raises:
          ValueError: naming the optimizer.
        """
        space: Any = [dict(c) for c in configurations]
        if contender.space is not None:  # what is structure stays structure
            space = as_spaces(contender.space, space)
        try:
            return planned(
                self.task, contender.factory, space, None, list(seeds),
                itinerary=self.when, key=self.key, rule=rule, splits=splits,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise ValueError(f"{contender.name}: {error}") from error


@dataclasses.dataclass(eq=False)
class Board:
    """What has come out so far.

    Attributes:
      setting: what all trainings share.
      contenders: who may be tried.
      suggestions: of the range tests, by contender.
      tried: in order.
      results: the sweeps, by contender.
      rounds: of neighbours.
    """

    setting: Setting
    contenders: Mapping[str, Contender]
    suggestions: Mapping[str, float | None]
    tried: list[Tried] = dataclasses.field(default_factory=list)
    results: dict[str, SweepResult] = dataclasses.field(default_factory=dict)
    rounds: int = 0

    @property
    def steps(self) -> int:
        """Updates of a training."""
        return self.setting.when.steps

    @property
    def width(self) -> int:
        """Lanes of the program."""
        return self.setting.placement.width or 1

    @property
    def sign(self) -> int:
        """1 where the least is best, -1 where the most is."""
        return 1 if self.setting.mode == "min" else -1

    @property
    def places(self) -> list[tuple[int, str]]:
        """The rows of the list, in its order, and whose they are."""
        return sorted((place, name) for name, c in self.contenders.items() for place in c.rows)

    def beginning(self) -> tuple[Contender, Configuration]:
        """What is tried first."""
        if not self.places:
            contender = next(iter(self.contenders.values()))
            return contender, contender.first()
        place, name = self.places[0]
        contender = self.contenders[name]
        row = contender.rows[place]
        return contender, row.configuration(self.steps, self.suggestions.get(name))

    def ranked(self) -> list[Tried]:
        """Those that finished with a finite value, each configuration once: the best first, those
        that were tried on several seeds before the others."""
        found = [t for t in self.tried if np.isfinite(t.value)]
        order = sorted(found, key=lambda t: (-len(t.values), self.sign * t.value))
        return [t for i, t in enumerate(order) if t not in order[:i]]

    @property
    def tolerance(self) -> float:
        """How far from the best a value of one seed may be and still be as good: a tenth of what
        lies between the best and the median; of a share, what the number of examples explains."""
        values = np.array([t.value for t in self.ranked()])
        if not len(values):
            return 0.0
        spread = CLOSE * abs(float(np.median(values)) - float(values[0]))
        if not is_share(self.setting.metric):
            return spread
        share = min(max(float(values[0]), 0.0), 1.0)
        examples = self.setting.task.num_examples["valid"]
        return max(spread, math.sqrt(2 * share * (1 - share) / examples))
