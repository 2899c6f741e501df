"""`compare`: equal budgets, selected on validation, fresh seeds, tested once."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.comparisons.comparison import Comparison
from lropt_jax.comparisons.match import FRESH_SEEDS as FRESH_SEEDS
from lropt_jax.comparisons.match import Match, Optimizers, plan_of
from lropt_jax.comparisons.outcome import Protocol
from lropt_jax.comparisons.splits import redrawn
from lropt_jax.progress import Progress, progress_bar
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.metrics import direction, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.visits import itinerary
from lropt_jax.validation import require, whole_number


def compare(
    task: Task | Callable[..., Task],
    optimizers: Optimizers,
    steps: int = 1000,
    seeds: int = 10,
    tuning_seeds: int = 3,
    trials: int | None = None,
    eval_every: int | None = None,
    select: str | None = None,
    mode: str | None = None,
    key: Any = 0,
    strategy: str = "auto",
    width: int | None = None,
    devices: int | Sequence[Any] | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
    *,
    splits: int = 1,
    smallest_difference: float | None = None,
    target: float | None = None,
) -> Comparison:
    """Compares optimizers as a careful reviewer would.

    Each is tuned on the same number of configurations and seeds; its configuration is selected on
    the validation split, and retrained on fresh seeds, the same for all. Only these retrained
    models meet the test split.

    Where a choice lies on the edge of a `log_grid`, the grid is widened until it does not. Then
    everyone is given as many configurations as the one that tried most: the others spend theirs
    between their own best values (a sampled space: on the next points of its sequence; one that
    diverged everywhere: on smaller values). So a grid that was placed badly, or that is small,
    favours nobody, and "the same budget" counts what was truly trained. Listed values and lists of
    configurations are left as they are; where budgets then differ, every table says so.

    When to use:
      To say in a paper, or to yourself, which of several optimizers is better here. Start
      with 2 to 5 optimizers, spaces whose best values lie inside, and 10 seeds. Its intervals
      are over seeds on one split: say `splits=5` where the claim is about the problem.

    Args:
      task: the training problem, with validation and test splits, or a function of names in the
        spaces that returns it.
      optimizers: maps a name to a factory and its space (see `sweep`).
      steps: updates of each training.
      seeds: fresh seeds to retrain the chosen configurations on.
      tuning_seeds: seeds of each configuration while tuning. With 1, a choice is partly luck.
      trials: configurations of each optimizer, sampled; None for the full grid.
      eval_every: updates between evaluations; None evaluates at the end only.
      select: the metric to select by; by default `valid_accuracy` where the task has one, else
        `valid_loss`, else its only validation metric. The same metric decides on the test split.
      mode: "min" or "max"; by default what the metric's name says, see `SweepResult.best`.
      key: an int seed or a JAX key.
      strategy: as in `sweep`; "auto" is resolved once, for all optimizers. Figures are the same to
        the last bit only at the same strategy, width and number of devices.
      width: lanes of the compiled program, the same for tuning and retraining.
      devices: as in `sweep`.
      directory: where progress is kept, a folder an optimizer and phase (see `sweep`): the same
        call goes on where it was interrupted.
      progress: whether to show a live progress line.
      splits: how many splits of the data the whole comparison is repeated on: the task's own, then
        others of the same sizes, dealt from all its examples, which must be exchangeable. Intervals
        are then over splits, not only over seeds.
      smallest_difference: the smallest difference that matters, in the unit of the deciding metric
        (0.005 for half a point of accuracy); a smaller one is called a tie. By default a quarter of
        the standard deviation between the best's seeds, and at least one example of the test split.
      target: the value of `select` that the updates are counted to; by default the median of what
        the optimizers come to.

    Returns:
      A `Comparison`. An optimizer none of whose configurations finished is a row that says so.

    Raises:
      ValueError: for arguments that do not fit, naming the optimizer where it is one's; for a task
        without validation or test split. All before anything is compiled.

    See also:
      `tune` for an answer rather than a comparison, `sweep` for one optimizer, `reproduce`.

    Example:
      >>> from lropt_jax import adam, classification_task, compare, load_data, log_grid, models, sgd
      >>> task = classification_task(models.mlp((8, 10)), load_data("digits"))
      >>> result = compare(
      ...     task,
      ...     {
      ...         "sgd": (sgd, {"learning_rate": log_grid(0.03, 3.0, 3)}),
      ...         "adam": (adam, {"learning_rate": log_grid(0.001, 0.1, 3)}),
      ...     },
      ...     steps=60, seeds=2, tuning_seeds=1, progress=False,
      ... )
      >>> list(result.table().index)
      ['sgd', 'adam']
    """
    require("a comparison", "report", "pandas", "scipy")
    for split in ("valid", "test"):
        if isinstance(task, Task) and getattr(task, split) is None:
            raise ValueError(f"compare needs a task with a {split} split, this one has none")
    _check_optimizers(optimizers)
    if whole_number("seeds", seeds) < 2:
        raise ValueError(f"seeds must be at least 2 for an interval, got {seeds!r}")
    tuning_seeds = whole_number("tuning_seeds", tuning_seeds)
    splits = whole_number("splits", splits)
    if splits > 1 and not isinstance(task, Task):
        raise ValueError(f"splits={splits} needs a Task, not a function of one")
    for name, value in (("smallest_difference", smallest_difference), ("target", target)):
        if value is not None and not np.isfinite(value):
            raise ValueError(f"{name} must be a finite number or None, got {value!r}")
    if smallest_difference is not None and smallest_difference < 0:
        raise ValueError(f"smallest_difference must be at least 0, got {smallest_difference!r}")
    if isinstance(task, Task):
        check_task(task)
    placement = Placement(strategy, width, devices)
    count = devices if isinstance(devices, int) else len(devices or jax.local_devices())
    placement = dataclasses.replace(placement, width=width or -(-seeds // count) * count)
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
    total = splits * sum(p.model_steps + seeds * when.steps for p in begun.values())
    outcomes = []
    with progress_bar(progress, total, "compare") as bar:
        for number in range(splits):
            folder = None if directory is None else pathlib.Path(directory)
            if folder is not None and number:
                folder = folder / f"split-{number}"
            data = redrawn(task, number, first.key) if isinstance(task, Task) else task
            match = Match(data, optimizers, trials, when, key, placement, protocol, folder, bar)
            outcome = match.play(evaluations)
            outcomes.append(outcome)
            placement = match.placement
    return dataclasses.replace(outcomes[0], repeats=tuple(outcomes[1:]))


def _check_optimizers(optimizers: Any) -> None:
    if not isinstance(optimizers, Mapping):
        raise ValueError(
            f"optimizers must map names to (factory, space), got {type(optimizers).__name__}"
        )
    if not optimizers:
        raise ValueError("optimizers must name at least one optimizer, got none")
    for name, entry in optimizers.items():
        pair = isinstance(entry, (tuple, list)) and len(entry) == 2
        if not pair or not callable(entry[0]):
            raise ValueError(
                f"optimizers[{name!r}] must be (factory, space), a function of named numbers and "
                f"what they may be, got {entry!r}"
            )


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
