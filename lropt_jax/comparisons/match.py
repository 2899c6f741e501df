"""A comparison on one split of the data: who trains what, and how budgets are made equal."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optax

from lropt_jax.comparisons import proposals
from lropt_jax.comparisons.comparison import Comparison
from lropt_jax.comparisons.contestant import Contestant, contestant
from lropt_jax.comparisons.outcome import Protocol
from lropt_jax.comparisons.splits import with_deviations
from lropt_jax.optimizers.code_lines import code_of
from lropt_jax.progress import Progress
from lropt_jax.sweeps.engine import trained
from lropt_jax.sweeps.planning.plan import Plan, planned
from lropt_jax.sweeps.planning.space import Spaces, free_names, listed
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.running.costs import Ran, before_training, state_ratio
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.sweeps.running.strategy import Resolved
from lropt_jax.tasks.task import Task
from lropt_jax.training.visits import Itinerary

FRESH_SEEDS = 1_000_000  # the first seed of the retraining, far from those of the tuning
WIDENINGS = 6  # times that a grid may grow before its edge is accepted
TUNING, RETRAINING = "tuning", "retraining"  # the folders of what is trained in any case
AT_ONCE = 3  # further values that are tried at once, at most

Optimizers = Mapping[str, tuple[Callable[..., optax.GradientTransformation], Spaces]]


class Match:
    """A comparison on one split of the data.

    Args:
      task: the problem.
      optimizers: as in `compare`.
      trials: as in `compare`.
      when: each training's itinerary.
      key: as in `compare`.
      placement: where all is trained.
      protocol: how.
      folder: where progress is kept.
      bar: what a person sees.
    """

    def __init__(
        self,
        task: Task | Callable[..., Task],
        optimizers: Optimizers,
        trials: int | None,
        when: Itinerary,
        key: Any,
        placement: Placement,
        protocol: Protocol,
        folder: pathlib.Path | None,
        bar: Progress,
    ):
        self.task, self.optimizers, self.trials, self.when = task, optimizers, trials, when
        self.key, self.placement, self.protocol = key, placement, protocol
        self.folder, self.bar = folder, bar
        self.tuned: dict[str, SweepResult] = {}
        self.widened = dict.fromkeys(optimizers, 0)
        self.refined = dict.fromkeys(optimizers, 0)
        self.ran: dict[str, Ran] = {}
        self._rounds = dict.fromkeys(optimizers, 0)

    def play(self, evaluations: list[str]) -> Comparison:
        """Tunes all, widens where a choice lies on an edge, equals the budgets, retrains."""
        for name in self.optimizers:
            self.bar.describe(f"{name}: tuning")
            self._tune(name)
            self._widen(name)
        budget = max(map(self._spent, self.optimizers))
        for name in self.optimizers:
            self._equal(name, budget)
        start = before_training(next(iter(self.ran.values())))
        protocol = dataclasses.replace(self.protocol, start=start, strategy=self.placement.strategy)
        contestants = {name: self._retrained(name, start) for name in self.optimizers}
        return Comparison(contestants, protocol, evaluations, ran=self.ran)

    def _tune(self, name: str) -> None:
        factory, space = self.optimizers[name]
        seeds = self.protocol.tuning_seeds
        plan = plan_of(name, self.task, factory, space, self.trials, seeds, self.when, self.key)
        self.tuned[name] = self._trained(name, plan, TUNING)

    def _widen(self, name: str) -> None:
        """Grows a grid that the choice lies on the edge of."""
        for _ in range(WIDENINGS):
            number = self._best(name)
            if number is None:
                return
            space, best = self.optimizers[name][1], self._tried(name)[number]
            new = proposals.beyond_the_edge(space, self._tried(name), best, self._at_once)
            if not new:
                return
            tried = self._try(name, new, "widening the grid")
            self.widened[name] += tried
            if not tried:
                return

    def _equal(self, name: str, budget: int) -> None:
        """Spends what others have spent more, where it is likely to help."""
        space = self.optimizers[name][1]
        while (left := budget - self._spent(name)) > 0:
            count, tried, number = min(left, self._at_once), self._tried(name), self._best(name)
            words = np.asarray(self._words).ravel().tolist()
            new = proposals.further_samples(space, tried, count, words)
            if not new and number is None:
                new = proposals.towards_smaller(space, tried, count)
            elif not new and number is not None:
                new = proposals.within(space, tried, tried[number], count)
            if not new:
                return
            more = self._try(name, new, "as many configurations as the others")
            self.refined[name] += more
            if not more:
                return

    def _retrained(self, name: str, start: dict[str, float]) -> Contestant:
        factory, space = self.optimizers[name]
        fresh = range(FRESH_SEEDS, FRESH_SEEDS + self.protocol.seeds)

        def retrain(chosen: dict[str, Any]) -> SweepResult:
            self.bar.describe(f"{name}: retraining on fresh seeds")
            plan = plan_of(
                name, with_deviations(self.task), factory, proposals.as_spaces(space, [chosen]),
                None, fresh, self.when, self.key, ("train", "test"),
            )  # fmt: skip
            return self._trained(name, plan, RETRAINING)

        select = self.protocol.select
        first = start.get(select, float("nan"))
        played = contestant(
            name,
            self.tuned[name],
            self._best(name),
            retrain,
            fresh,
            select,
            self.protocol.mode,
            first if np.isfinite(first) else None,
            self.widened[name],
            self.refined[name],
            lambda chosen: code_of(f"optimizers[{name!r}][0]", factory, chosen),
        )
        own = {k: v for k, v in played.chosen.items() if k not in played.tuning.of_task}
        if own:
            job = self.ran[name].plan.jobs[0]
            played.memory = state_ratio(factory(**own), job.task)
        return played

    def _try(self, name: str, new: list[dict[str, Any]], why: str) -> int:
        """Trains further configurations of an optimizer, those that it can be given: a momentum
        beyond 1 is not. How many."""
        seeds, number = self.protocol.tuning_seeds, self._rounds[name]
        factory, space = self.optimizers[name]

        def planned(points: list[dict[str, Any]]) -> Plan:
            spaces = proposals.as_spaces(space, points)
            return plan_of(name, self.task, factory, spaces, None, seeds, self.when, self.key)

        new = [point for point in new if _can_be(lambda point=point: planned([point]))]  # type: ignore[misc]
        if not new:
            return 0
        self.bar.describe(f"{name}: {why}")
        self.bar.skip(-len(new) * seeds * self.when.steps)
        plan = planned(new)
        more = self._trained(name, plan, f"further-{number}")
        self.tuned[name] = self.tuned[name].joined(more)
        self._rounds[name] = number + 1
        return len(new)

    def _trained(self, name: str, plan: Plan, phase: str) -> SweepResult:
        place = list(self.optimizers).index(name)
        where = None if self.folder is None else folder_of(self.folder, place, name, phase)
        result = trained(plan, self.placement, where, self.bar)
        # What is left open is resolved once, so that all are trained alike.
        self.placement = dataclasses.replace(
            self.placement, strategy=result.strategy[0], width=result.width[0]
        )
        resolved = Resolved(result.strategy[0], result.width[0])
        self.ran.setdefault(name, Ran(plan, tuple(self.placement.here(plan)), resolved))
        self._words = plan.key
        return result

    @property
    def _at_once(self) -> int:
        """How many new values are tried at once: what fills a chunk of lanes."""
        return min(AT_ONCE, max(1, (self.placement.width or 1) // self.protocol.tuning_seeds))

    def _tried(self, name: str) -> list[dict[str, Any]]:
        return self.tuned[name].trials

    def _spent(self, name: str) -> int:
        return proposals.distinct(self._tried(name))

    def _best(self, name: str) -> int | None:
        """The number of the best configuration; of equally good ones, one that lies on no edge."""
        scores = self.tuned[name].means(self.protocol.select)
        if not np.isfinite(scores).any():
            return None
        best = np.nanmin(scores) if self.protocol.mode == "min" else np.nanmax(scores)
        tied = np.flatnonzero(scores == best).tolist()
        return proposals.inside(self.optimizers[name][1], self._tried(name), tied)


def plan_of(
    name: str,
    task: Task | Callable[..., Task],
    factory: Callable[..., optax.GradientTransformation],
    space: Spaces,
    trials: int | None,
    seeds: int | Sequence[int],
    when: Itinerary,
    key: Any,
    final: Sequence[str] = (),
) -> Plan:
    """What `sweep` would train, checked on shapes alone.

    Raises:
      ValueError: naming the optimizer, for what does not fit.
    """
    try:
        # Nothing can be sampled from fixed values and listed configurations.
        sampled = trials if any(map(free_names, listed(space))) else None
        return planned(task, factory, space, sampled, seeds, itinerary=when, key=key, splits=final)
    except (ValueError, TypeError) as error:
        raise ValueError(f"optimizers[{name!r}]: {error}") from error


def _can_be(made: Callable[[], Any]) -> bool:
    """Whether a plan of values that nobody asked for can be made: code that refuses them may do so
    in any way."""
    try:
        made()
    except Exception:
        return False
    return True


def folder_of(directory: pathlib.Path, place: int, name: str, phase: str) -> pathlib.Path:
    """Where a phase of an optimizer is kept, by its place among all."""
    return directory / f"{place:02d}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}" / phase
