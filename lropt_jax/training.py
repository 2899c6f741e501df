"""Training in segments: the host evaluates, logs and decides between them. `fit` is one lane."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters import wants_observation
from lropt_jax.population import Layout, Population
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.schedules import as_schedule
from lropt_jax.segment import BatchOrder, Feed, Lane
from lropt_jax.task import Task, check_task

LONGEST_SEGMENT = 1024  # updates: bounds the host's part of a feed, and how long a visit waits


@dataclasses.dataclass(frozen=True)
class Itinerary:
    """When the host visits: the updates of each segment and the microbatches of each update.

    Attributes:
      steps: updates in all.
      eval_every: updates between evaluations.
      microbatches: int array (steps + 1,), the first microbatch of each update; None when every
        update takes one.
    """

    steps: int
    eval_every: int
    microbatches: np.ndarray | None = None

    @property
    def evaluations(self) -> list[int]:
        """After how many updates there is an evaluation; always after the last."""
        stops = range(self.eval_every, self.steps, self.eval_every)
        return [*stops, self.steps]

    @property
    def capacity(self) -> int:
        """Updates in the longest segment."""
        return min(self.eval_every, self.steps, LONGEST_SEGMENT)

    def segments(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The segments, `(first, last)`, between two evaluations."""
        for first in range(start, stop, self.capacity):
            yield first, min(first + self.capacity, stop)

    def feed(self, orders: list[BatchOrder], first: int, last: int) -> Feed:
        """What lanes are fed from update `first` to update `last - 1`, padded to capacity."""
        if self.microbatches is None:
            return Feed(_padded([order(first, last) for order in orders], self.capacity))
        starts = self.microbatches[first : last + 1]
        order = [order(int(starts[0]), int(starts[-1])) for order in orders]
        offsets = np.full((len(orders), self.capacity + 1), starts[-1] - starts[0], np.int32)
        offsets[:, : len(starts)] = starts - starts[0]
        return Feed(_padded(order, self._most_microbatches), offsets)

    @property
    def _most_microbatches(self) -> int:
        """Microbatches in the largest segment, so that all have one shape."""
        assert self.microbatches is not None
        stops = [0, *self.evaluations]
        spans = [
            self.microbatches[last] - self.microbatches[first]
            for start, stop in itertools.pairwise(stops)
            for first, last in self.segments(start, stop)
        ]
        return int(max(spans))


def itinerary(steps: int, eval_every: int | None, accumulate: Any = None) -> Itinerary:
    """An `Itinerary` from a user's arguments.

    Raises:
      ValueError: when `steps`, `eval_every` or a value of `accumulate` is not a whole number >= 1.
    """
    steps = _whole("steps", steps)
    every = steps if eval_every is None else min(_whole("eval_every", eval_every), steps)
    if accumulate is None:
        return Itinerary(steps, every)
    counts = np.asarray(jax.vmap(as_schedule(accumulate))(jnp.arange(steps)))
    rounded = np.round(counts)
    if (
        not np.all(np.isfinite(counts))
        or np.any(rounded < 1)
        or np.any(abs(counts - rounded) > 1e-3)
    ):
        raise ValueError(
            "accumulate must be a whole number of microbatches >= 1 at every update, "
            f"got values from {counts.min():g} to {counts.max():g}"
        )
    return Itinerary(steps, every, np.concatenate([[0], np.cumsum(rounded.astype(np.int64))]))


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
    return int(value)


def _padded(parts: list[np.ndarray], length: int) -> np.ndarray:
    order = np.zeros((len(parts), length, parts[0].shape[1]), np.int32)
    for row, part in zip(order, parts, strict=True):
        row[: len(part)] = part
    return order


@dataclasses.dataclass
class Run:
    """A population under way.

    Attributes:
      population: its programs.
      lanes: the lanes as they stand.
      diverged_at: (width,), updates taken before the first non-finite value, or -1.
    """

    population: Population
    lanes: Lane
    diverged_at: np.ndarray

    @classmethod
    def begin(cls, population: Population, keys: jax.Array, numbers: dict[str, Any]) -> Run:
        lanes = population.start(keys, numbers)
        return cls(population, lanes, np.full(len(keys), -1))

    def train(
        self,
        plan: Itinerary,
        start: int,
        stop: int,
        advance: Callable[[int], None] = lambda updates: None,
    ) -> dict[str, np.ndarray]:
        """Takes all lanes from update `start` to `stop`; the mean of each metric, (width,)."""
        orders = self.population.orders(self.lanes)
        records: list[dict[str, np.ndarray]] = []
        for first, last in plan.segments(start, stop):
            feed = plan.feed(orders, first, last)
            self.lanes, recorded = self.population.run(self.lanes, feed, last - first)
            values = {k: np.asarray(v)[:, : last - first] for k, v in recorded.items()}
            self._mark(~np.isfinite(values["loss"]), np.arange(first, last))
            records.append(values)
            advance(last - first)
        means = {
            f"train_{k}": np.concatenate([r[k] for r in records], axis=1).mean(axis=1, dtype=float)
            for k in records[0]
        }
        return self._masked(means)

    def evaluate(self, step: int, split: str) -> dict[str, np.ndarray]:
        """The means of the task's metrics over a split, (width,)."""
        values = {
            k: np.asarray(v, float) for k, v in self.population.evaluate(self.lanes, split).items()
        }
        bad = np.any([~np.isfinite(v) for v in values.values()], axis=0)
        self._mark(bad[:, None], np.array([step]))
        return self._masked(values)

    def observe(self, values: np.ndarray) -> None:
        """Shows each lane's schedules its value."""
        self.lanes = self.population.observe(self.lanes, jnp.asarray(values, jnp.float32))

    def _mark(self, bad: np.ndarray, steps: np.ndarray) -> None:
        new = bad.any(axis=1) & (self.diverged_at < 0)
        self.diverged_at = np.where(new, steps[bad.argmax(axis=1)], self.diverged_at)

    def _masked(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {k: np.where(self.diverged_at < 0, v, np.nan) for k, v in values.items()}


class Fit(NamedTuple):
    """What `fit` returns.

    Attributes:
      params: the trained parameters.
      model_state: what else the model carries.
      opt_state: the optimizer's state.
      history: "step" and each metric (`train_loss`, `valid_loss`, ...), arrays with one entry
        an evaluation.
    """

    params: Any
    model_state: Any
    opt_state: Any
    history: dict[str, np.ndarray]


def fit(
    task: Task,
    tx: optax.GradientTransformation,
    steps: int,
    key: Any = 0,
    eval_every: int | None = None,
    accumulate: Any = None,
    progress: bool | Progress = False,
    observe: str | None = None,
) -> Fit:
    """Trains one model.

    Batches are drawn by a fresh permutation of the training set each epoch, the last partial
    batch dropped. A schedule that observes (`reduce_on_plateau`) is shown a metric after each
    evaluation.

    Args:
      task: the training problem.
      tx: any Optax transformation.
      steps: updates to take.
      key: an int seed or a JAX key; everything random comes from it.
      eval_every: updates between evaluations on the validation split (also after the last
        step); None evaluates at the end only.
      accumulate: microbatches of `task.batch_size` for each update, a whole number or a schedule
        of the update count; their mean gradient makes one update. Schedules count updates.
      progress: whether to show a live progress line.
      observe: the metric that a schedule is shown; by default `valid_loss`, or `train_loss`
        where the task has no validation split.

    Returns:
      A `Fit`. `train_loss` in its history is the mean batch loss since the last evaluation.
      Where training diverged the metrics are NaN from there on.

    Raises:
      ValueError: for bad arguments, before anything is compiled.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import Task, fit, sgd
      >>> def squares(params, batch):
      ...     return (batch["x"] @ params - batch["y"]) ** 2
      >>> x = jnp.eye(4)
      >>> task = Task(
      ...     init=lambda key: (jnp.zeros(4), ()),
      ...     loss=lambda p, s, batch, key: (squares(p, batch).mean(), (s, {})),
      ...     evaluate=lambda p, s, batch: {"loss": squares(p, batch)},
      ...     train={"x": x, "y": jnp.arange(4.0)},
      ...     batch_size=4,
      ... )
      >>> result = fit(task, sgd(1.0), steps=20)
      >>> bool(result.history["train_loss"][-1] < 1.0)
      True
    """
    plan = itinerary(steps, eval_every, accumulate)
    check_task(task)
    layout = Layout("vmap", tuple(jax.local_devices()[:1]))
    population = Population(task, lambda: tx, {}, layout)
    run = Run.begin(population, as_key(key)[None], {})
    watches = wants_observation(run.lanes.opt_state)
    metric = observe or ("train_loss" if task.valid is None else "valid_loss")
    if watches and eval_every is None:
        raise ValueError(
            "eval_every must be given when a schedule observes: it says after how many updates "
            f"{metric} is measured and shown to it"
        )
    if observe is not None and not watches:
        raise ValueError(
            f"observe={observe!r} needs an optimizer with a schedule that observes "
            "(reduce_on_plateau is one)"
        )
    rows: list[dict[str, float]] = []
    with progress_bar(progress, total=plan.steps) as bar:
        start = 0
        for stop in plan.evaluations:
            metrics = run.train(plan, start, stop, bar.advance)
            if task.valid is not None:
                metrics |= run.evaluate(stop, "valid")
            if watches:
                if metric not in metrics:
                    raise ValueError(f"observe must be one of {sorted(metrics)}, got {metric!r}")
                run.observe(metrics[metric])
            rows.append({"step": stop, **{k: float(v[0]) for k, v in metrics.items()}})
            start = stop
    history = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    lane = jax.tree.map(lambda x: x[0], run.lanes)
    return Fit(lane.params, lane.model_state, lane.opt_state, history)


def as_key(key: Any) -> jax.Array:
    """An int seed, a typed key or a raw one as a typed key."""
    if isinstance(key, (int, np.integer)):
        return jax.random.key(int(key))
    array: jax.Array = jnp.asarray(key)
    typed = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return array if typed else jax.random.wrap_key_data(array)
