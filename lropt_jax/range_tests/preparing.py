"""What is checked and planned before a range test compiles anything."""

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
from lropt_jax.hyperparameters.building import scheduled_within
from lropt_jax.optimizers.sign_based import ScaleByRpropState
from lropt_jax.progress import Progress
from lropt_jax.range_tests.climbing import LEARNING_RATE, Ladder
from lropt_jax.range_tests.width import lanes_at_once, strategy_of
from lropt_jax.schedules.base import Schedule
from lropt_jax.sweeps.planning.groups import chunks, padded
from lropt_jax.sweeps.planning.plan import Plan, planned
from lropt_jax.sweeps.running.foreseen import Cost, foreseen
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.task import Task
from lropt_jax.training.layout import Layout
from lropt_jax.training.visits import itinerary
from lropt_jax.validation import (
    caution,
    check_factory,
    check_few,
    check_name,
    is_scalar,
    whole_number,
)

Factory = Callable[..., optax.GradientTransformation]
READS_ONCE = (ScaleByRpropState, optax.ScaleByRpropState)  # the states of such optimizers


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
            ladder = Ladder(plan, g, self.layout, self.rates, self.split)
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
    some = configurations[0] | hyperparams
    state = _state_of(task, optimizer, some)
    _check_unobserving(state, values)
    if state is not None:
        _check_climbing(optimizer, state, some, len(rates))
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


def _ladder(start: float, end: float, steps: int, spacing: str) -> np.ndarray[Any, Any]:
    steps = whole_number("steps", steps, least=2, few=True)
    if spacing not in ("geometric", "linear"):
        raise ValueError(f"spacing must be 'geometric' or 'linear', got {spacing!r}")
    both = f"start={start!r}, end={end!r}"
    if not all(map(is_scalar, (start, end))):
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
    if LEARNING_RATE not in parameters:
        known = ", ".join(parameters) or "none"
        raise ValueError(f"optimizer must have an argument learning_rate; it has {known}")
    names = [*over, *fixed]
    if LEARNING_RATE in names:
        raise ValueError("learning_rate is what the test sets: give start and end instead")
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name in [] if anything else names:
        check_name("hyperparameter", name, parameters)
    if twice := sorted(set(over) & set(fixed)):
        raise ValueError(f"{', '.join(twice)} must be given in over or as fixed, not both")
    for name, values in over.items():
        if not values:
            raise ValueError(f"over: {name} must have at least one value, got none")


def _state_of(task: Task, optimizer: Factory, some: Mapping[str, Any]) -> Any:
    """The shapes of the optimizer's state; None of one that fails, which the plan says by name."""
    try:
        made = optimizer(**some)
        return jax.eval_shape(lambda key: made.init(task.init(key)[0]), jax.random.key(0))
    except Exception:
        return None


def _check_unobserving(state: Any, over: Mapping[str, Sequence[Any]]) -> None:
    """Refuses schedules that react to the loss, which would never hear of it."""
    observes = wants_observation(state)
    values = itertools.chain(*over.values())
    if observes or any(getattr(value, "observes", False) for value in values):
        raise ValueError(
            "optimizer must not hold a schedule that observes (reduce_on_plateau): a range test "
            "sets the learning rate itself, and shows a schedule nothing"
        )


def _check_climbing(optimizer: Factory, state: Any, some: Mapping[str, Any], steps: int) -> None:
    """Refuses an optimizer that the rungs never reach, and says where they are not its rates.

    Args:
      optimizer: what is tested.
      state: the shapes of its state.
      some: its arguments on the first rung.
      steps: rungs.
    """
    parts = _parts(state)
    if any(isinstance(part, READS_ONCE) for part in parts):
        raise ValueError(
            "optimizer must take a new learning_rate at each update, as a range test gives it; "
            "Rprop reads its own at the first update alone: compare values of it by sweep"
        )
    how = ""
    if (rate := scheduled_within(optimizer, some).get(LEARNING_RATE)) is not None:
        used = np.asarray(jax.vmap(rate)(np.arange(steps))) / some[LEARNING_RATE]
        if np.allclose(used, used[0]):
            return
        name = f"{rate.name}: " if isinstance(rate, Schedule) else ""
        how = f" ({name}{used[0]:.3g} times the rung at first, {used[-1]:.3g} times at the end)"
    elif not any(map(_schedules, parts)):
        return
    caution(
        f"the optimizer makes a schedule of its learning_rate{how}, so that the learning rates of "
        "this test are not those of its updates. To find the peak of a schedule test the optimizer "
        "without it: lambda learning_rate: adam(learning_rate)"
    )


def _parts(state: Any) -> list[Any]:
    """A state, its parts, theirs, and so on."""
    found = []

    def passed(part: Any) -> bool:
        found.append(part)
        return False

    jax.tree.leaves(state, is_leaf=passed)
    return found


def _schedules(part: Any) -> bool:
    """Whether a part of a state is Optax's for a rate that is a schedule."""
    injected = getattr(part, "hyperparams_states", ())  # `optax.inject_hyperparams`
    return isinstance(part, optax.ScaleByScheduleState) or LEARNING_RATE in injected


def _whole(width: int | None) -> int | None:
    return None if width is None else whole_number("width", width, allowed=" or None")
