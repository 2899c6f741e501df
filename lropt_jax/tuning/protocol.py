"""`tune`: the range tests, the list, the neighbours of its leaders, fresh seeds, the test split."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from lropt_jax.progress import Progress
from lropt_jax.sweeps.running.foreseen import Cost
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.tasks.metrics import direction, known_metric, names_of_metrics, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.training.course import as_key
from lropt_jax.training.digests import digest
from lropt_jax.training.visits import itinerary
from lropt_jax.tuning import finals
from lropt_jax.tuning.board import Setting
from lropt_jax.tuning.budget import EPOCHS, TRAININGS, UNKNOWN, Budget, read_budget
from lropt_jax.tuning.conduct import Call
from lropt_jax.tuning.configurations import complete, shipped
from lropt_jax.tuning.contenders import (
    Contender,
    of_baseline,
    of_candidates,
    of_list,
    within_memory,
)
from lropt_jax.tuning.journal import Journal
from lropt_jax.tuning.result import Tuning
from lropt_jax.validation import require, whole_number


def tune(
    task: Task,
    steps: int | None = None,
    budget: int | str = 16,
    metric: str | None = None,
    mode: str | None = None,
    candidates: Mapping[str, tuple[Callable[..., Any], Any]] | None = None,
    baseline: Any = None,
    memory: float | None = None,
    seeds: int = 5,
    key: Any = 0,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
) -> Tuning:
    """Which optimizer, learning rate and schedule for this problem, within a budget.

    It runs a learning-rate range test, and tries an ordered list of whole configurations:
    optimizer, peak rate relative to what the range test suggests, schedule, warm-up, decay; those
    of one optimizer train as one program. Then it draws neighbours of the best (scrambled Sobol;
    where there are many, half of them go on after a quarter of the updates). What one seed cannot
    tell from the best is trained on fresh seeds; only these models meet the test split. Of those
    within one standard error of the best the simplest is recommended. What it is going to do and
    cost is said first; Ctrl-C gives the best so far.

    When to use:
      Where you would otherwise take Adam at 1e-3, or set up a sweep. Start with `budget=16`, or
      "5min". It chooses from a list, learned on small problems, and its neighbours: no
      architectures.

    Args:
      task: the training problem, with a validation split.
      steps: updates of each training: those that you will train for, as far as you can pay for
        them, since the best rate depends on it. None: 20 epochs, at most what the budget allows
        for 8 trainings.
      budget: how much may be spent: a number of trainings of `steps` updates, model-steps
        ("2e5 steps"), or time ("90s", "5min", "1h"). Range tests and trainings that are stopped
        count by their updates. The last step does not count: at most 3 tied configurations, and
        the baseline, on `seeds` fresh seeds. A time budget counts all, compilation among it, and is
        exceeded by one segment at most. Begin with 16, or "5min".
      metric: what decides, as in `compare`: by default `valid_accuracy` where the task has one,
        else `valid_loss`, else its only validation metric.
      mode: "min" or "max"; by default what the metric's name says.
      candidates: further optimizers of your own, as in `compare`: names to `(factory, space)`.
      baseline: what you use now, a transformation or a function without arguments that makes one:
        "is AdamW at 3e-4 worse?" is answered on the same fresh seeds.
      memory: bytes of optimizer state over bytes of parameters, at most: with 1 there is no Adam.
      seeds: fresh seeds of the last step, at least 2.
      key: an int seed or a JAX key; everything random comes from it.
      directory: where progress is kept: the same call goes on where it was interrupted, killed
        too, and comes to the same result to the last bit (where the budget is no time).
      progress: whether to say the plan, and show a live line.

    Returns:
      A `Tuning`: `.recommendation`, `.best`, `.optimizer(steps)`, `.trained()`, `.table()`,
      `.regret`, `.report(folder)`.

    Raises:
      ValueError: for arguments that do not fit, before anything is compiled; for a task without a
        validation split; for a directory that holds another tuning.

    Reference:
      Metz et al. 2020, Using a thousand optimization tasks to learn hyperparameter search
      strategies, arXiv:2002.11887 (the ordered list).

    See also:
      `compare`, `sweep`, `lr_range_test`.

    Example:
      >>> from lropt_jax import classification_task, fit, load_data, mlp, tune
      >>> task = classification_task(mlp((16, 10)), load_data("digits"), batch_size=64)
      >>> found = tune(task, steps=60, budget=4, seeds=2, progress=False)
      >>> "learning_rate" in found.best, found.model_steps <= (4 + 3 * 2) * 60
      (True, True)
      >>> model = fit(task, found.optimizer(steps=100), steps=100)
    """
    began = time.monotonic()
    call, length, learned_from = _called(
        task, steps, budget, metric, mode, candidates, baseline, memory, seeds, key, directory,
        began,
    )  # fmt: skip
    try:
        return call.answer(length, progress, learned_from)
    finally:
        call.journal.close()


def planned_tuning(
    task: Task,
    steps: int | None = None,
    budget: int | str = 16,
    metric: str | None = None,
    mode: str | None = None,
    candidates: Mapping[str, tuple[Callable[..., Any], Any]] | None = None,
    baseline: Any = None,
    memory: float | None = None,
    seeds: int = 5,
    key: Any = 0,
    directory: str | os.PathLike[str] | None = None,
) -> tuple[str, Cost, Journal]:
    """What `tune` would do, in words, at most what it would cost, of which a few updates are
    measured, and what the directory has of it. See `tune` for the arguments and errors."""
    call, length, _ = _called(
        task, steps, budget, metric, mode, candidates, baseline, memory, seeds, key, directory,
        0.0, looks=True,
    )  # fmt: skip
    return call.plan(length), call.cost(length), call.journal


def _called(
    task: Task,
    steps: int | None,
    budget: int | str,
    metric: str | None,
    mode: str | None,
    candidates: Mapping[str, tuple[Callable[..., Any], Any]] | None,
    baseline: Any,
    memory: float | None,
    seeds: int,
    key: Any,
    directory: str | os.PathLike[str] | None,
    began: float,
    looks: bool = False,
) -> tuple[Call, int | None, str | None]:
    """The call with its arguments checked, the updates of a training where they are known, and
    what the list was learned from."""
    require("tune", "report", "pandas", "scipy")
    if not isinstance(task, Task):
        raise ValueError(f"task must be a Task, got {type(task).__name__}")
    if task.valid is None:
        raise ValueError(
            "tune needs a task with a valid split, on which it chooses, this one has none: "
            "Dataset.of divides data, dataclasses.replace(task, valid=...) adds one"
        )
    check_task(task)
    amount = read_budget(budget)
    seeds = whole_number("seeds", seeds, few=True)
    if seeds < finals.LEAST_SEEDS:
        raise ValueError(f"seeds must be at least 2 for an interval, got {seeds!r}")
    if steps is not None:
        steps = whole_number("steps", steps, allowed=" or None")
        if amount.model_steps is not None and amount.model_steps < steps:
            raise ValueError(
                f"budget must be at least one training of steps={steps:,} updates, got {budget!r}"
            )
    metric, mode = _metric(task, metric, mode)
    learned_from, rows = shipped()
    own = of_candidates(candidates, task)
    listed = of_list(complete(rows), task)
    if twice := sorted(set(own) & set(listed)):
        raise ValueError(
            f"candidates: {twice[0]!r} is a name of the list ({', '.join(listed)}): choose another"
        )
    contenders = within_memory({**listed, **own}, memory)
    base = of_baseline(baseline, task)
    length = _length(task, steps, amount)
    _check_plans(task, contenders, base, length, key)
    identity = {
        "task": digest([task.init, task.loss, task.evaluate, task.summarize, task.batch_size]),
        "data": digest(task.splits),
        "steps": str(steps), "budget": str(amount), "metric": f"{metric}, {mode}",
        "candidates": digest([(n, c.factory, c.space) for n, c in own.items()]),
        "baseline": digest(baseline), "memory": str(memory), "seeds": str(seeds),
        "key": str(np.asarray(jax.random.key_data(as_key(key))).tolist()),
        "list": digest([row.as_json() for row in rows]),
        "devices": str(len(jax.local_devices())),
    }  # fmt: skip
    journal = Journal(directory, identity, looks)
    call = Call(task, amount, metric, mode, contenders, base, seeds, key, journal, began)
    return call, length, learned_from


def _metric(task: Task, metric: str | None, mode: str | None) -> tuple[str, str]:
    known = [n for n in names_of_metrics(task)[0] if n == "train_loss" or n.startswith("valid_")]
    if metric is None:
        metric = usual_metric(known, ["valid_accuracy"], "metric")
    elif metric not in known and f"valid_{metric}" in known:
        metric = f"valid_{metric}"
    metric = known_metric(metric, known)
    return metric, direction(metric, mode)


def _length(task: Task, steps: int | None, budget: Budget) -> int | None:
    """The updates of a training; None where the time that one takes must be known first."""
    if steps is not None:
        return steps
    epochs = EPOCHS * task.steps_per_epoch
    if budget.seconds is not None:
        return None
    if budget.model_steps is None:
        return epochs
    return max(1, min(epochs, budget.model_steps // TRAININGS))


def _check_plans(
    task: Task,
    contenders: Mapping[str, Contender],
    baseline: Contender | None,
    length: int | None,
    key: Any,
) -> None:
    """Checks everybody's first configuration on shapes alone.

    Raises:
      ValueError: naming whose does not fit.
    """
    setting = Setting(task, itinerary(length or UNKNOWN, 1), "", "min", key, Placement())
    ours = next((n for n, c in contenders.items() if c.rows), None)
    for name, contender in contenders.items():
        if contender.rows and name != ours:
            continue
        with _naming(f"candidates[{name!r}]" if contender.space is not None else name):
            setting.plan(contender, [contender.first(length or UNKNOWN)], [0])
    if baseline is not None:
        with _naming("baseline"):
            setting.plan(baseline, [finals.NOTHING], [0])


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{what}: {str(error).partition(': ')[2]}") from error
