"""A population under way: segment after segment, evaluation after evaluation.

Its lanes need not be equally far: each has its own count of updates and its own next evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.access import wants_observation
from lropt_jax.schedules.counts import float_type
from lropt_jax.tasks.sources import Source
from lropt_jax.training.lanes import BatchOrder, Feed, Fetched, Lane
from lropt_jax.training.population import Population
from lropt_jax.training.visits import Itinerary


def _ignore(model_steps: int, last: bool) -> None:
    pass


@dataclasses.dataclass
class Run:
    """A population under way.

    Attributes:
      population: its programs.
      lanes: the lanes as they stand.
      step: updates taken by each lane, (width,).
      since: the update after which each lane's `totals` begin, (width,).
      diverged_at: updates taken before the training loss or the parameters were first not finite,
        or -1, (width,); parameters are looked at with each evaluation.
      totals: the sum of each training metric since `since`, (width,), float64.
      working: the lanes that are trained; the others may rest, (width,).
      diverged_rest: whether lanes that have diverged are not trained either.
    """

    population: Population
    lanes: Lane
    step: np.ndarray
    since: np.ndarray
    diverged_at: np.ndarray
    totals: dict[str, np.ndarray]
    working: np.ndarray
    diverged_rest: bool = False
    _orders: list[BatchOrder] = dataclasses.field(default_factory=list)
    _before: Any = ()  # the parameters before the last segment, where these are needed
    _coming: tuple[Any, tuple[int, Feed | Fetched | None]] | None = None

    @classmethod
    def begin(
        cls, population: Population, lanes: Lane, step: int = 0, diverged_rest: bool = False
    ) -> Run:
        """Lanes that have all taken so many updates, the last before an evaluation; all work."""
        width = len(lanes.step)
        run = cls(
            population,
            lanes,
            step=np.full(width, step),
            since=np.full(width, step),
            diverged_at=np.full(width, -1),
            totals={},
            working=np.ones(width, bool),
            diverged_rest=diverged_rest,
        )
        run._orders = population.orders(lanes)
        return run

    def enter(self, places: np.ndarray, lanes: Lane, step: int) -> None:
        """Other lanes take some places, and work.

        Args:
          places: the numbers of the places in the program.
          lanes: (width,), of which those in these places are taken.
          step: the updates that they have taken, the last before an evaluation.
        """
        entering = _replaced(np.zeros(len(self.step), bool), places, True)
        self.lanes = self.population.merged(entering, lanes, self.lanes)
        self.step, self.since = (_replaced(x, places, step) for x in (self.step, self.since))
        self.diverged_at = _replaced(self.diverged_at, places, -1)
        self.totals = {k: _replaced(v, places, 0.0) for k, v in self.totals.items()}
        self.working = _replaced(self.working, places, True)
        self._orders = self.population.orders(self.lanes, self._orders)

    @property
    def observes(self) -> bool:
        """Whether a schedule of the lanes waits for the evaluations."""
        return wants_observation(self.lanes.opt_state)

    @property
    def busy(self) -> np.ndarray:
        """The lanes that are trained."""
        rest = self.diverged_rest & (self.diverged_at >= 0)
        busy: np.ndarray = self.working & ~rest
        return busy

    def visit(
        self,
        plan: Itinerary,
        advance: Callable[[int, bool], None] = _ignore,
        observed: str | None = None,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Trains until the first lanes are at an evaluation, evaluates these, shows the schedules.

        Where diverged lanes rest, it ends after the segment in which one diverges.

        Args:
          plan: the itinerary.
          advance: called after each segment with its model-steps and whether it is the last.
          observed: the metric that schedules are shown; by default the validation loss, or the
            training loss where there is no validation split.

        Returns:
          The lanes that have come to an evaluation, (width,), and each metric by its name,
          (width,): NaN for the other lanes and those that have diverged.
        """
        there = self._train(plan, advance)
        if not there.any():
            return there, {}
        self._mark(there & ~np.asarray(self.population.finite(self.lanes)), self.step)
        metrics = self._means(there)
        validated = self.population.task.valid is not None
        if validated:
            metrics |= self.evaluate("valid", there)
        sane = there & (self.diverged_at < 0)
        metrics |= self._masked(self.population.watched(self.lanes, self._before, sane), there)
        if self.observes:
            name = observed or ("valid_loss" if validated else "train_loss")
            # The others' places hold nothing, and a NaN of ours would stop who hunts for theirs.
            values = jnp.asarray(np.where(there, metrics[name], 0.0), float_type())
            self.lanes = self.population.observe(self.lanes, values, there)
        return there, metrics

    def evaluate(self, split: str, which: np.ndarray) -> dict[str, np.ndarray]:
        """The means of the task's metrics over a split, (width,), for some lanes."""
        values = {
            k: np.asarray(v, float)
            for k, v in self.population.evaluate(self.lanes, split, which).items()
        }
        return self._masked(values, which)

    def _train(self, plan: Itinerary, advance: Callable[[int, bool], None]) -> np.ndarray:
        """Takes the busy lanes on until some are at their next evaluation; which these are."""
        target = plan.next_evaluation(self.step)
        updates, feed = self._announced(plan, target)
        while feed is not None:
            busy, before = self.busy, self.step
            if self._nearly_there(target):
                self._before = _copied(self.lanes.params)
            self.lanes, recorded = self.population.run(self.lanes, feed, updates * busy)
            self.step = before + updates * busy
            following, feed = self._next(plan, target)  # prepared while the devices train
            values = {k: np.asarray(v)[:, :updates] for k, v in recorded.items()}
            bad = busy[:, None] & ~np.isfinite(values["loss"])
            self._mark(bad.any(axis=1), before + bad.argmax(axis=1))
            self.totals = {k: _added(self.totals.get(k), v) for k, v in values.items()}
            if not np.array_equal(busy, self.busy):  # some have diverged: their places are free
                following, feed = 0, None
            advance(updates * int(busy.sum()), feed is None or self._nearly_there(target))
            updates = following
        there: np.ndarray = self.busy & (self.step == target)
        if there.any() and isinstance(self.population.task.train, Source):
            # Read while the host evaluates; for nothing where the lanes are others by then.
            then = self._next(plan, plan.next_evaluation(self.step))
            self._coming = self._standing(plan), then
        return there

    def _nearly_there(self, target: np.ndarray) -> bool:
        """Whether the next segment is one update to an evaluation: it is saved with that."""
        nearly = self.busy & (self.step == target - 1)
        return self.population.needs_before and bool(nearly.any())

    def _announced(self, plan: Itinerary, target: np.ndarray) -> tuple[int, Feed | Fetched | None]:
        """The next segment, which may be on its way."""
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == self._standing(plan):
            return coming[1]
        return self._next(plan, target)

    def _standing(self, plan: Itinerary) -> Any:
        """What the next segment depends on."""
        words = [order.words for order in self._orders]
        return id(plan), self.busy.tolist(), self.step.tolist(), words

    def _next(self, plan: Itinerary, target: np.ndarray) -> tuple[int, Feed | Fetched | None]:
        """The updates of the next segment, and its feed; none where a lane is at its target."""
        busy = self.busy
        if not busy.any():
            return 0, None
        # Lanes that rest are fed what the first busy one is, which is drawn already.
        source = np.where(busy, np.arange(len(self.step)), busy.argmax())
        orders, first = [self._orders[i] for i in source], self.step[source]
        if self.population.needs_before:  # the last update is a segment of its own
            target = np.where(self.step < target - 1, target - 1, target)
        updates = plan.fitting(plan.room(orders), first, target[source])
        if not updates:
            return 0, None
        return updates, self.population.fetched(plan.feed(orders, first, first + updates))

    def _means(self, which: np.ndarray) -> dict[str, np.ndarray]:
        """The means of the training metrics of some lanes, which begin anew."""
        updates = np.maximum(self.step - self.since, 1)
        means = {f"train_{k}": v / updates for k, v in self.totals.items()}
        self.totals = {k: np.where(which, 0.0, v) for k, v in self.totals.items()}
        self.since = np.where(which, self.step, self.since)
        return self._masked(means, which)

    def _mark(self, bad: np.ndarray, steps: np.ndarray) -> None:
        self.diverged_at = np.where(bad & (self.diverged_at < 0), steps, self.diverged_at)

    def _masked(self, values: dict[str, np.ndarray], which: np.ndarray) -> dict[str, np.ndarray]:
        known = which & (self.diverged_at < 0)
        return {k: np.where(known, v, np.nan) for k, v in values.items()}


@jax.jit
def _copied(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _replaced(values: np.ndarray, places: np.ndarray, new: Any) -> np.ndarray:
    values = values.copy()
    values[places] = new
    return values


def _added(total: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """`total` plus each column of `values` in turn, so that where a segment ends changes no bit."""
    start = np.zeros(len(values)) if total is None else total
    columns = np.concatenate([start[:, None], values.astype(float)], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # of lanes that diverge
        summed: np.ndarray = np.add.accumulate(columns, axis=1)[:, -1]
    return summed
