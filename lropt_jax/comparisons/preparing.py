"""What `compare` is asked for, checked on shapes alone, and what it is going to cost."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

import jax
import numpy as np

from lropt_jax.comparisons.match import RETRAINING, TUNING, Optimizers, folder_of, plan_of
from lropt_jax.comparisons.outcome import Protocol
from lropt_jax.sweeps.keeping.progress import trained_before, trained_in
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.foreseen import Cost, foreseen
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.metrics import direction, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.visits import Itinerary, itinerary
from lropt_jax.validation import check_entries, is_scalar, require, whole_number


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A comparison whose arguments fit.

    Attributes:
      task: the training problem.
      optimizers: what is compared.
      trials: configurations of each, sampled; None for the full grid.
      key: that everything random comes from.
      plans: of the tuning, by optimizer, before any grid is widened.
      when: each training's itinerary.
      placement: where all is trained.
      protocol: how.
      evaluations: the metrics of the task.
    """

    task: Task | Callable[..., Task]
    optimizers: Optimizers
    trials: int | None
    key: Any
    plans: Mapping[str, Plan]
    when: Itinerary
    placement: Placement
    protocol: Protocol
    evaluations: list[str]

    @property
    def first(self) -> Plan:
        return next(iter(self.plans.values()))

    @property
    def trainings(self) -> int:
        """In all, where no grid is widened."""
        p = self.protocol
        tuning = [len(plan.configurations) * p.tuning_seeds for plan in self.plans.values()]
        return p.splits * sum(n + p.seeds for n in tuning)

    @property
    def model_steps(self) -> int:
        """Updates in all, where no grid is widened."""
        return self.trainings * self.when.steps

    def cost(self) -> Cost:
        """What it takes on this machine: the first optimizer is measured and stands for all."""
        share = self.model_steps / self.first.model_steps
        return foreseen(self.first, self.placement, len(self.plans), share)

    def trained_before(self, directory: pathlib.Path) -> int:
        """The model-steps that lie in a directory; those of a grid's widening are beyond the plan.

        Raises:
          ValueError: for a directory that holds another comparison; it says what differs.
        """
        tuned = (
            trained_before(folder_of(directory, place, name, TUNING), plan, lambda begun: {})
            for place, (name, plan) in enumerate(self.plans.items())
        )
        return sum(tuned) + trained_in(directory, of=RETRAINING)


def prepared(
    task: Task | Callable[..., Task],
    optimizers: Optimizers,
    steps: int,
    seeds: int,
    tuning_seeds: int,
    trials: int | None = None,
    eval_every: int | None = None,
    select: str | None = None,
    mode: str | None = None,
    key: Any = 0,
    strategy: str = "auto",
    width: int | None = None,
    devices: int | Sequence[Any] | None = None,
    splits: int = 1,
    smallest_difference: float | None = None,
    target: float | None = None,
) -> Prepared:
    """Checks what `compare` is asked for. See there for the arguments and errors."""
    require("a comparison", "report", "pandas", "scipy")
    for split in ("valid", "test"):
        if isinstance(task, Task) and getattr(task, split) is None:
            raise ValueError(f"compare needs a task with a {split} split, this one has none")
    _check_optimizers(optimizers)
    seeds = whole_number("seeds", seeds, few=True)
    if seeds < 2:
        raise ValueError(f"seeds must be at least 2 for an interval, got {seeds!r}")
    tuning_seeds = whole_number("tuning_seeds", tuning_seeds, few=True)
    splits = whole_number("splits", splits, few=True)
    if splits > 1 and not isinstance(task, Task):
        raise ValueError(f"splits={splits} needs a Task, not a function of one")
    for name, value in (("smallest_difference", smallest_difference), ("target", target)):
        if value is not None and not (is_scalar(value) and np.isfinite(value)):
            raise ValueError(f"{name} must be a finite number or None, got {value!r}")
    if smallest_difference is not None and smallest_difference < 0:
        raise ValueError(f"smallest_difference must be at least 0, got {smallest_difference!r}")
    if isinstance(task, Task):
        check_task(task)
    placement = Placement(strategy, width, devices)
    count = devices if devices is not None else jax.local_devices()
    count = len(count) if isinstance(count, Sized) else int(count)
    placement = dataclasses.replace(placement, usual=-(-seeds // count) * count)
    when = itinerary(steps, eval_every)
    # Every optimizer is checked before the first is trained.
    begun = {
        name: plan_of(name, task, factory, space, trials, tuning_seeds, when, key)
        for name, (factory, space) in optimizers.items()
    }
    first = next(iter(begun.values()))
    evaluations = _evaluations(begun)
    known = ["train_loss", *(f"valid_{name}" for name in evaluations)]
    if select is None:
        select = usual_metric(known, ["valid_accuracy"], "select")
    if select not in known:
        raise ValueError(f"select must be one of {', '.join(known)}, got {select!r}")
    made = first.jobs[0].task
    protocol = Protocol(
        when.steps, tuning_seeds, seeds, select, direction(select, mode), strategy,
        made.num_examples, splits, {}, target, smallest_difference,
    )  # fmt: skip
    return Prepared(task, optimizers, trials, key, begun, when, placement, protocol, evaluations)


def _check_optimizers(optimizers: Any) -> None:
    check_entries("optimizers", optimizers)
    if not optimizers:
        raise ValueError("optimizers must name at least one optimizer, got none")


def _evaluations(plans: Mapping[str, Plan]) -> list[str]:
    """The metrics of the task, the same for every optimizer.

    Raises:
      ValueError: for a function of a task whose tasks differ in them, or lack a split.
    """
    found: dict[str, list[str]] = {}
    for name, plan in plans.items():
        for job in plan.jobs:
            for split in ("valid", "test"):
                if getattr(job.task, split) is None:
                    raise ValueError(f"optimizers[{name!r}]: its task has no {split} split")
            found.setdefault(name, job.task.metric_names)
            if job.task.metric_names != next(iter(found.values())):
                raise ValueError(f"optimizers[{name!r}]: its task has other metrics than the first")
    return next(iter(found.values()))
