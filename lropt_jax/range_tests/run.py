"""Running the ladder: a population of lanes through the one training segment."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from lropt_jax.hyperparameters.access import wants_observation
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.range_tests.curve import RangeTest
from lropt_jax.range_tests.width import lanes_at_once, strategy_of
from lropt_jax.sweeps.planning.groups import chunks, padded
from lropt_jax.sweeps.planning.plan import Plan, planned
from lropt_jax.sweeps.running.foreseen import Cost, foreseen
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.task import Task
from lropt_jax.training.lanes import BatchOrder, Feed
from lropt_jax.training.layout import Layout
from lropt_jax.training.visits import itinerary
from lropt_jax.validation import check_factory, check_few, is_number, whole_number

LEARNING_RATE = "learning_rate"

Factory = Callable[..., optax.GradientTransformation]


def lr_range_test(
    task: Task,
    optimizer: Factory,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    seeds: int | Sequence[int] = 8,
    key: Any = 0,
    over: Mapping[str, Sequence[Any]] | None = None,
    *,
    spacing: str = "geometric",
    split: str = "train",
    accumulate: Any = None,
    smoothing: float = 0.03,
    divergence: float = 4.0,
    width: int | None = None,
    strategy: str = "auto",
    devices: Sequence[Any] | None = None,
    progress: bool | Progress = False,
    **hyperparams: Any,
) -> RangeTest:
    r"""The learning-rate range test: one short training in which the learning rate climbs.

    Update $i$ of each lane is taken at

    $$\eta_i = \eta_0 (\eta_{n-1}/\eta_0)^{i/(n-1)}, \qquad i = 0, \dots, n - 1,$$

    (or at equal differences), from `start` to `end`. Lanes are seeds times the values of `over`,
    trained as one program; each starts from its seed's own initialisation and batches, the same
    for every configuration. Nothing outside is touched.

    For fine-tuning pretrained Transformers the test suggests rates that are far too high: the
    loss of a few hundred steps does not show what a high rate destroys.

    When to use:
      Before the first real training, to know where rates begin to help and where they blow
      up. Start with its defaults and look at the curve. On average it costs 0.4 to 1.6 points
      of accuracy against a sweep of sixteen rates (docs/range_test.md), and it is blind to what
      long trainings need.

    Args:
      task: the training problem.
      optimizer: a function of `learning_rate` (and other numbers) that returns a transformation:
        `adam`, `optax.adamw`, `lambda learning_rate, clip: optax.chain(...)`.
      start: the first learning rate (Lightning, fastai: 1e-8 and 1e-7).
      end: the last one (fastai: 10).
      steps: rungs of the ladder, one update each (fastai, Lightning: 100).
      seeds: how many, or which.
      key: an int seed or a JAX key; everything random comes from it.
      over: further hyperparameters, a list of values each; their grid becomes the first axes of
        the result. Numbers share one program, other values (bools, functions) make one each.
      spacing: "geometric", or "linear".
      split: "train" records the batch loss before each update; "valid" the task's validation
        loss after it, which takes an evaluation a rung.
      accumulate: microbatches for each update, as in `fit`.
      smoothing: deviation of the smoothing kernel as a share of the ladder (3 of 100 rungs).
      divergence: a lane no longer counts once its loss exceeds the best by k - 1 times the best's
        size (fastai: 4) and by what noise explains, never to return.
      width: lanes trained at once, which bounds the memory; by default as many as are useful and
        fit (on a CPU, into its cache), at most 128 a device.
      strategy: how lanes lie on a device: "vmap", "map", "map:k" (blocks of k), or "auto", which
        is guessed, not timed: a test is short.
      devices: to spread over; all local ones by default.
      progress: whether to show a live progress line.
      **hyperparams: fixed arguments of the optimizer.

    Returns:
      A `RangeTest`: curves, suggestions with intervals, figure, table.

    Raises:
      ValueError: for bad arguments, before anything is compiled.
      TypeError: for an optimizer that is not a function.

    Reference:
      Smith 2015, Cyclical learning rates for training neural networks, arXiv:1506.01186.

    See also:
      `one_cycle`, `cyclic`, `sweep`, `tune`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lropt_jax import Task, lr_range_test, sgd
      >>> def error(w, batch):
      ...     return (batch["x"] @ w - batch["y"]) ** 2
      >>> x = jax.random.normal(jax.random.key(0), (64, 3))
      >>> task = Task(
      ...     init=lambda key: (jax.random.normal(key, (3,)), {}),
      ...     loss=lambda w, state, batch, key: (error(w, batch).mean(), (state, {})),
      ...     evaluate=lambda w, state, batch: {"loss": error(w, batch)},
      ...     train={"x": x, "y": x @ jnp.arange(3.0)},
      ...     batch_size=16,
      ... )
      >>> test = lr_range_test(task, sgd, start=1e-4, over={"momentum": [0.0, 0.9]})
      >>> test.losses.shape
      (2, 8, 100)
      >>> bool(test.suggestions["valley"].value[0] > test.suggestions["valley"].value[1])
      True
    """
    _check_reading(smoothing, divergence)
    test = prepared(
        task,
        optimizer,
        start,
        end,
        steps,
        seeds,
        key,
        over,
        spacing=spacing,
        split=split,
        accumulate=accumulate,
        width=width,
        strategy=strategy,
        devices=devices,
        **hyperparams,
    )
    with progress_bar(progress, test.plan.model_steps, "range test") as bar:
        losses = test.climbed(bar)
    return RangeTest(
        test.rates, losses, test.over, list(test.plan.seeds), split, smoothing, divergence
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A test whose arguments have been checked, of which nothing is compiled yet.

    Attributes:
      plan: what is trained.
      layout: how lanes lie on the machine.
      width: how many train at once.
      rates: the ladder.
      over: the values of further hyperparameters.
      split: whose loss is recorded.
    """

    plan: Plan
    layout: Layout
    width: int
    rates: np.ndarray[Any, Any]
    over: dict[str, list[Any]]
    split: str

    def climbed(self, bar: Progress) -> np.ndarray[Any, Any]:
        """The losses, (..., seeds, steps)."""
        plan, width = self.plan, self.width
        losses = np.full((len(plan.configurations), len(plan.seeds), len(self.rates)), np.nan)
        for g, group in enumerate(plan.groups):
            ladder = _Ladder(plan, g, self.layout, self.rates, self.split)
            cells = [(t, s) for t in group.trials for s in range(len(plan.seeds))]
            for chunk in chunks(cells, width):
                place = tuple(np.array(chunk).T)
                losses[place] = ladder.climb(padded(chunk, width))[: len(chunk)]
                bar.advance(len(chunk) * len(self.rates))
        shape = (*(len(v) for v in self.over.values()), *losses.shape[1:])
        return losses.reshape(shape)

    def cost(self) -> Cost:
        """What it takes on this machine: a few updates are run, and thrown away."""
        plan = self.plan
        if self.split == "train":  # nothing is evaluated
            tasks = (dataclasses.replace(job.task, valid=None) for job in plan.jobs)
            jobs = (dataclasses.replace(j, task=t) for j, t in zip(plan.jobs, tasks, strict=True))
            plan = dataclasses.replace(plan, jobs=tuple(jobs))
        return foreseen(plan, Placement(self.layout.strategy, self.width, self.layout.devices))


def prepared(
    task: Task,
    optimizer: Factory,
    start: float,
    end: float,
    steps: int,
    seeds: int | Sequence[int],
    key: Any,
    over: Mapping[str, Sequence[Any]] | None,
    *,
    spacing: str = "geometric",
    split: str = "train",
    accumulate: Any = None,
    width: int | None = None,
    strategy: str = "auto",
    devices: Sequence[Any] | None = None,
    **hyperparams: Any,
) -> Prepared:
    """A test that has been checked and planned. See `lr_range_test`."""
    rates = _ladder(start, end, steps, spacing)
    _check_split(task, split)
    for name, given in (over or {}).items():
        if not np.iterable(given) or isinstance(given, str):
            raise ValueError(f"over: {name} must be a list of values, got {given!r}")
    values = {name: list(v) for name, v in (over or {}).items()}
    _check_optimizer(optimizer, values, hyperparams)
    check_few("over's combinations", math.prod(map(len, values.values())))
    configurations = [
        {LEARNING_RATE: float(rates[0]), **dict(zip(values, point, strict=True))}
        for point in itertools.product(*values.values())
    ]
    _check_unobserving(task, optimizer, values, configurations[0] | hyperparams)
    plan = _planned(
        task,
        optimizer,
        configurations,
        hyperparams,
        seeds=seeds,
        itinerary=itinerary(steps, 1 if split == "valid" else None, accumulate),
        key=key,
    )
    layout = Layout(strategy_of(strategy, len(plan.seeds)), tuple(devices or jax.local_devices()))
    lanes = len(plan.configurations) * len(plan.seeds)
    first = plan.configurations[0]
    made = plan.jobs[0].optimizer(**{n: first[n] for n in plan.jobs[0].names})
    width = min(_whole(width) or lanes_at_once(task, made, layout.devices), lanes)
    width = -(-width // len(layout.devices)) * len(layout.devices)
    return Prepared(plan, layout, width, rates, values, split)


def _planned(
    task: Task,
    optimizer: Factory,
    configurations: Sequence[dict[str, Any]],
    fixed: Mapping[str, Any],
    **about: Any,
) -> Plan:
    """The plan, with fixed real numbers as data where the optimizer takes them so.

    So that another value of one compiles nothing; of code that branches on one it is part.
    """
    data = {name: value for name, value in fixed.items() if isinstance(value, float)}
    code = {name: value for name, value in fixed.items() if name not in data}
    optimizer = functools.partial(optimizer, **code)
    try:
        whole = [configuration | data for configuration in configurations]
        return planned(task, optimizer, whole, **about)
    except ValueError:
        if not data:
            raise
    return planned(task, _with(optimizer, data), list(configurations), **about)


def _with(optimizer: Factory, fixed: Mapping[str, Any]) -> Factory:
    """An optimizer with some of its arguments given, of which its signature says nothing."""

    def made(**numbers: Any) -> optax.GradientTransformation:
        return optimizer(**numbers, **fixed)

    signature = inspect.signature(optimizer)
    others = [p for name, p in signature.parameters.items() if name not in fixed]
    named = [p.replace(kind=p.KEYWORD_ONLY) if p.kind is not p.VAR_KEYWORD else p for p in others]
    made.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    return made


class _Ladder:
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


def _ladder(start: float, end: float, steps: int, spacing: str) -> np.ndarray[Any, Any]:
    steps = whole_number("steps", steps, least=2, few=True)
    if spacing not in ("geometric", "linear"):
        raise ValueError(f"spacing must be 'geometric' or 'linear', got {spacing!r}")
    both = f"start={start!r}, end={end!r}"
    if not all(is_number(x) and np.ndim(x) == 0 for x in (start, end)):
        raise ValueError(f"start and end must be numbers, got {both}")
    if not (np.isfinite(start) and np.isfinite(end) and 0 < start < end):
        raise ValueError(f"0 < start < end must hold, got {both}")
    least, most = (float(getattr(np.finfo(np.float32), name)) for name in ("tiny", "max"))
    if start < least or end > most:
        raise ValueError(
            f"start and end must be rates that float32 holds, {least:.2g} to {most:.2g}, got {both}"
        )
    space = np.geomspace if spacing == "geometric" else np.linspace
    ladder: np.ndarray[Any, Any] = space(start, end, int(steps))
    return ladder


def _check_reading(smoothing: float, divergence: float) -> None:
    if not 0 <= smoothing <= 0.5:
        raise ValueError(f"smoothing must be in [0, 0.5], got {smoothing!r}")
    if not (np.isfinite(divergence) and divergence > 1):
        raise ValueError(f"divergence must be a finite number > 1, got {divergence!r}")


def _check_split(task: Task, split: str) -> None:
    if split not in ("train", "valid"):
        raise ValueError(f"split must be 'train' or 'valid', got {split!r}")
    if split == "valid" and task.valid is None:
        raise ValueError("split='valid' needs a task with a valid split, this one has none")


def _check_optimizer(
    optimizer: Any, over: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]
) -> None:
    check_factory(optimizer, "learning_rate")
    parameters = inspect.signature(optimizer).parameters
    known = ", ".join(parameters) or "none"
    if LEARNING_RATE not in parameters:
        raise ValueError(f"optimizer must have an argument learning_rate; it has {known}")
    names = [*over, *fixed]
    if LEARNING_RATE in names:
        raise ValueError("learning_rate is what the test sets: give start and end instead")
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = [] if anything else sorted(set(names) - set(parameters))
    if unknown:
        raise ValueError(
            f"unknown hyperparameter {', '.join(map(repr, unknown))}; this optimizer has {known}"
        )
    if twice := sorted(set(over) & set(fixed)):
        raise ValueError(f"{', '.join(twice)} must be given in over or as fixed, not both")
    for name, values in over.items():
        if not values:
            raise ValueError(f"over: {name} must have at least one value, got none")


def _check_unobserving(
    task: Task, optimizer: Factory, over: Mapping[str, Sequence[Any]], some: Mapping[str, Any]
) -> None:
    """Refuses schedules that react to the loss, which would never hear of it."""
    try:
        made = optimizer(**some)
        state = jax.eval_shape(lambda key: made.init(task.init(key)[0]), jax.random.key(0))
        observes = wants_observation(state)
    except Exception:  # what is wrong is said of all configurations, by name
        observes = False
    values = itertools.chain(*over.values())
    if observes or any(getattr(value, "observes", False) for value in values):
        raise ValueError(
            "optimizer must not hold a schedule that observes (reduce_on_plateau): a range test "
            "sets the learning rate itself, and shows a schedule nothing"
        )


def _whole(width: int | None) -> int | None:
    return None if width is None else whole_number("width", width, allowed=" or None")
