"""What has come out so far: what all trainings share, what was tried, who leads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lropt_jax.comparisons.proposals import as_spaces
from lropt_jax.sweeps.deciding.rules import Rule
from lropt_jax.sweeps.planning.plan import Plan, planned
from lropt_jax.sweeps.planning.values import same_as
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.metrics import is_share
from lropt_jax.tasks.task import Task
from lropt_jax.training.course import as_key
from lropt_jax.training.visits import Itinerary
from lropt_jax.tuning.contenders import Configuration, Contender
from lropt_jax.validation import is_scalar

CLOSE = 0.1  # of what lies between the best and the median: as good as the best, by one seed


@dataclasses.dataclass(frozen=True, eq=False)
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
    def what(self) -> Hashable:
        """What it shares with those of the same configuration."""
        return self.contender, same_as(self.configuration)

    @property
    def rate(self) -> float:
        """Its learning rate; NaN where it has none, or a schedule."""
        rate: Any = self.configuration.get("learning_rate")
        return float(rate) if is_scalar(rate) else math.nan

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


class Listed(NamedTuple):
    """A row of the list: its place, whose it is, and what came out, None where it was not tried."""

    place: int
    name: str
    came: Tried | None


class Side(NamedTuple):
    """Rows of one origin, in the list's order."""

    rows: list[Listed]
    sign: int

    @property
    def waiting(self) -> list[tuple[int, str]]:
        """The places of those that were not tried, and whose they are."""
        return [(row.place, row.name) for row in self.rows if row.came is None]

    @property
    def tried(self) -> list[Tried]:
        """What came out for the others."""
        return [row.came for row in self.rows if row.came is not None]

    @property
    def best(self) -> Tried | None:
        """The best of those that finished."""
        found = [t for t in self.tried if np.isfinite(t.value)]
        return min(found, key=lambda t: self.sign * t.value, default=None)

    def ahead_of(self, other: Side, by: float = 0.0) -> bool:
        """Whether its best is better than another side's by more than so much."""
        if self.best is None or other.best is None:
            return self.best is not None
        return self.sign * (other.best.value - self.best.value) > by


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

    def sides(self) -> tuple[Side, Side]:
        """The rows of the list that were learned, and those of its prior."""
        found: tuple[list[Listed], list[Listed]] = ([], [])
        for place, name in self.places:
            wanted = self.row_configuration(place, name)
            own = (t for t in self.tried if t.origin == "list" and t.contender == name)
            came = next((t for t in own if t.configuration == wanted), None)
            learned = self.contenders[name].rows[place].learned
            found[0 if learned else 1].append(Listed(place, name, came))
        return Side(found[0], self.sign), Side(found[1], self.sign)

    def row_configuration(self, place: int, name: str) -> Configuration:
        """The numbers of a row of the list."""
        row = self.contenders[name].rows[place]
        return row.configuration(self.steps, self.suggestions.get(name))

    def beginning(self) -> tuple[Contender, Configuration]:
        """What is tried first."""
        if not self.places:
            contender = next(iter(self.contenders.values()))
            return contender, contender.first()
        place, name = self.places[0]
        return self.contenders[name], self.row_configuration(place, name)

    def ranked(self) -> list[Tried]:
        """Those that finished with a finite value, each configuration once: the best first, those
        that were tried on several seeds before the others."""
        found = [t for t in self.tried if np.isfinite(t.value)]
        order = sorted(found, key=lambda t: (-len(t.values), self.sign * t.value))
        return list({t.what: t for t in reversed(order)}.values())[::-1]

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
