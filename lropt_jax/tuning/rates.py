"""Where do the rates lie? The range tests of a tuning: whose, how long, and for whom they speak."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from lropt_jax.progress import Progress
from lropt_jax.range_tests import RangeTest, lr_range_test
from lropt_jax.tasks.task import Task
from lropt_jax.tuning.configurations import plain
from lropt_jax.tuning.contenders import Contender
from lropt_jax.tuning.journal import Journal

SHARE = 0.06  # of the budget, each of two at most
RUNGS, FEWEST = 100, 40
SEEDS = 4
LEAST_TRAININGS = 4  # below, every training counts more than a range test
# A rate of one means about the same as the rate of another, up to a factor.
KINDS: dict[str, tuple[str, float]] = {"nadamw": ("adamw", 1.0), "adam": ("adamw", 1.0),
                                       "qhadam": ("adamw", 1.0), "qhadamw": ("adamw", 1.0),
                                       "nadam": ("adamw", 1.0)}  # fmt: skip
TESTED = 2  # optimizers: the first two of the list that no other speaks for


@dataclasses.dataclass(frozen=True)
class PlannedTest:
    """A range test that is going to be run.

    Attributes:
      name: the optimizer's.
      rungs: updates of each lane.
      seeds: lanes.
      share: of the time that is left, at most, where time is what counts.
    """

    name: str
    rungs: int
    seeds: int
    share: float = 2 * SHARE

    @property
    def model_steps(self) -> int:
        return self.rungs * self.seeds


def planned_tests(
    contenders: Mapping[str, Contender], total: float, steps: int
) -> list[PlannedTest]:
    """The range tests that a budget allows, none where it is of a few trainings.

    Args:
      contenders: who may be tried.
      total: model-steps in all; infinite where time is what counts.
      steps: updates of a training.
    """
    if total < LEAST_TRAININGS * steps:
        return []
    names = [n for n, c in contenders.items() if c.rows and KINDS.get(n, (n, 1.0))[0] == n]
    each = min(SHARE * total, RUNGS * SEEDS)
    seeds = max(1, min(SEEDS, int(each // FEWEST)))
    rungs = min(RUNGS, int(each // seeds))
    if rungs < FEWEST:
        return []
    return [PlannedTest(name, rungs, seeds) for name in names[:TESTED]]


def tested(
    task: Task, planned: PlannedTest, key: Any, journal: Journal, bar: Progress
) -> RangeTest:
    """A range test, run or read back."""
    held = journal.curve(planned.name)
    if held is None:
        bar.describe(f"{planned.name}: range test")
        found = lr_range_test(
            task, plain(planned.name), steps=planned.rungs, seeds=planned.seeds, key=key,
            progress=bar,
        )  # fmt: skip
        held = {"learning_rates": found.learning_rates, "losses": found.losses}
        journal.keep_curve(planned.name, held)
    seeds = list(range(planned.seeds))
    return RangeTest(held["learning_rates"], held["losses"], seeds=seeds)


def of_kind(name: str, suggested: Mapping[str, float | None]) -> float | None:
    """What the tests suggest for an optimizer, its own or that of one whose rates mean the same."""
    other, factor = KINDS.get(name, (name, 1.0))
    found = suggested.get(other)
    return None if found is None or not math.isfinite(found) else factor * float(found)
