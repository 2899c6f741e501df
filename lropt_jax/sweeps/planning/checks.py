"""Is it a sensible sweep? Everything that can be refused before anything is compiled."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.hyperparameters.trials import NotData
from lropt_jax.hyperparameters.updating import check_update
from lropt_jax.progress import several
from lropt_jax.schedules.counts import float_type
from lropt_jax.sweeps.planning.jobs import Job, Optimizer, compiled_in, fixed_in
from lropt_jax.tasks.metrics import known_metric, names_of_metrics
from lropt_jax.tasks.task import SPLITS, Task, check_task
from lropt_jax.training.feedback import check_observed
from lropt_jax.training.visits import Itinerary
from lropt_jax.training.watching.observer import check_watched
from lropt_jax.validation import (
    check_factory,
    check_few,
    check_transformation,
    first_line,
    is_scalar,
    unknown,
)


def check_trainings(configurations: int, seeds: int) -> None:
    """Raises `ValueError` for more trainings than one sweep plans."""
    check_few(
        f"trainings ({configurations:,} configurations x {seeds:,} seeds)",
        configurations * seeds,
        instead_do="give fewer trials, values or seeds",
    )


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds as a list.

    Raises:
      ValueError: for none, a negative one, one that is no whole number, one given twice, or more
        than can be kept.
    """
    try:
        if isinstance(seeds, bool):
            raise TypeError
        count = operator.index(seeds)  # type: ignore[arg-type]
    except TypeError:
        try:
            found = [operator.index(s) for s in seeds]  # type: ignore[union-attr]
        except TypeError:
            raise ValueError(
                f"seeds must be a number of seeds or a sequence of whole numbers, got {seeds!r}"
            ) from None
    else:
        check_few("seeds", count)
        found = list(range(count))
    if not found or len(set(found)) < len(found) or not all(0 <= s < 2**32 for s in found):
        raise ValueError(
            f"seeds must be at least one, different, and each in [0, 2**32), got {seeds!r}"
        )
    return found


def check_count(name: str, value: Any) -> int | None:
    """`value` as a whole number of at least 1, or None.

    Raises:
      ValueError: for anything else.
    """
    if value is None:
        return None
    try:
        if not isinstance(value, bool) and operator.index(value) >= 1:
            return operator.index(value)
    except TypeError:
        pass
    raise ValueError(f"{name} must be a whole number >= 1 or None, got {value!r}")


def check_names(
    optimizer: Callable[..., Any],
    task: Any,
    trials: Sequence[Mapping[str, Any]],
) -> None:
    """Raises `ValueError` for names that nothing takes, and for arguments that have no value."""
    check_factory(optimizer)
    takes, required, open_ended = _parameters(optimizer)
    of_task: list[str] = []
    if not isinstance(task, Task):
        if not callable(task):
            raise ValueError(f"task must be a Task or a function that returns one, got {task!r}")
        of_task, task_required, task_open = _parameters(task)
        required, open_ended = required | task_required, open_ended or task_open
    known = [*takes, *of_task, *([] if "batch_size" in takes + of_task else ["batch_size"])]
    names = list(dict.fromkeys(name for trial in trials for name in trial))
    for name in names:
        if name not in known and not open_ended:
            raise ValueError(f"space: {unknown('hyperparameter', name, known)}")
    for trial in trials:
        missing = sorted(required - set(trial))
        if missing:
            raise ValueError(f"space must give a value to {', '.join(missing)}")


def check_job(job: Job, trials: Sequence[Mapping[str, Any]]) -> None:
    """Checks a group's task and optimizer, on shapes alone but for the numbers themselves.

    Args:
      job: the group's.
      trials: the numbers of each of its trials.

    Raises:
      ValueError: for a task whose functions do not fit, a number that the optimizer refuses, or
        an optimizer that cannot take its numbers as data.
    """
    check_task(job.task)
    for split in job.splits:
        if split not in SPLITS or getattr(job.task, split) is None:
            raise ValueError(f"final_splits: the task has no split {split!r}")
    for trial in trials:
        try:
            check_transformation("what it returns", job.optimizer(**trial))
        except NotData:
            break  # said below, with what a sweep can do about it
        except (TypeError, ValueError) as error:
            words = ", ".join(f"{k}={v!r}" for k, v in trial.items())
            refuses = f"refuses {words}" if words else "refuses what is fixed"
            raise ValueError(f"space: the optimizer {refuses}: {error}{_pairs(job)}") from error
    state, when = _optimizer_state(job, trials), job.itinerary
    every = when.eval_every if when.eval_every < when.steps else None
    check_observed(job.task, state, None, every, job.watched)


def check_metric(metric: str, known: Sequence[str]) -> str:
    """A rule's metric as the task has it: the training loss where there is no validation split.

    Args:
      metric: its name.
      known: the names at each evaluation.

    Raises:
      ValueError: for a metric that the task does not have; it lists the known ones.
    """
    validated = any(name.startswith("valid_") for name in known)
    if metric == "valid_loss" and not validated:
        return "train_loss"
    return known_metric(metric, known)


def metric_names(job: Job) -> tuple[list[str], list[str]]:
    """The metrics at each evaluation, what is watched among them, and those after the last update,
    by shapes alone.

    Raises:
      ValueError: for something that cannot be watched of this optimizer or model.
    """
    shown, evaluated = names_of_metrics(job.task)
    numbers = {name: np.result_type(float_type()).type(0) for name in job.names}
    seen = check_watched(job.task, job.optimizer, numbers, job.watched)
    return [*shown, *seen], [f"{split}_{name}" for split in job.splits for name in evaluated]


def _pairs(job: Job) -> str:
    """What a pair of numbers is, which elsewhere is a range: a hint for an error."""
    return "".join(
        f". {name}={value!r} is one value: a range is log_uniform{value!r}, and values are a list"
        for name, value in fixed_in(job.optimizer).items()
        if isinstance(value, tuple) and len(value) == 2 and all(map(is_scalar, value))
    )


def _optimizer_state(job: Job, trials: Sequence[Mapping[str, Any]]) -> Any:
    """The shapes of a lane's optimizer state, with all numbers as data.

    Raises:
      ValueError: when the optimizer cannot take a number as data; it names it, and the way out.
    """
    try:
        return _traced(job, job.optimizer, job.names)
    except Exception as error:
        try:
            _traced(job, compiled_in(job.optimizer, trials[0]), [])
        except Exception as plain:  # it does so with plain numbers, too
            words = ", ".join(f"{k}={v!r}" for k, v in trials[0].items())
            raise ValueError(
                f"space: the optimizer fails with {words or 'what is fixed'} on this task's "
                f"parameters: {type(plain).__name__}: {plain}{_pairs(job)}"
            ) from plain
        for name in job.names:
            others = {k: v for k, v in trials[0].items() if k != name}
            try:
                _traced(job, compiled_in(job.optimizer, others), [name])
            except Exception as alone:
                known = dict.fromkeys(trial[name] for trial in trials)
                some = ", ".join(f"{v:.6g}" for v in list(known)[:4]) + ", ..." * (len(known) > 4)
                raise ValueError(
                    f"space: the optimizer fails when {name} is data, a traced number that differs "
                    f"from lane to lane ({_at_bottom(alone)}). If its code branches on {name} or "
                    f"counts with it, compile its values in: choice([{some}], static=True); "
                    "else write it without a Python `if` or int() (jnp.where, a schedule of "
                    "lropt_jax)"
                ) from alone
        words = ", ".join(job.names) or "nothing"
        raise ValueError(
            f"space: the optimizer fails when {words} is data ({_at_bottom(error)})"
        ) from error


def _traced(job: Job, optimizer: Optimizer, names: Sequence[str]) -> Any:
    """The shapes of the state of an optimizer that makes an update, its numbers data."""

    def start(key: Any, numbers: Any) -> Any:
        params = job.task.init(key)[0]
        tx = optimizer(**numbers)
        state = tx.init(params)
        check_update("what it returns", tx, state, params)
        return state

    numbers = {name: np.result_type(np.float32).type(0) for name in names}
    return jax.eval_shape(start, jax.random.key(0), numbers)


def _at_bottom(error: Exception) -> str:
    return first_line(error.__cause__ or error)


def _parameters(function: Callable[..., Any]) -> tuple[list[str], set[str], bool]:
    """The names that a function takes, those it needs, and whether it takes any name."""
    positional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)
    parameters = [
        p for p in inspect.signature(function).parameters.values() if p.kind not in positional
    ]
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    required = {p.name for p in named if p.default is inspect.Parameter.empty}
    return [p.name for p in named], required, open_ended


def check_devices(devices: Any, executor: Any) -> None:
    """Raises `ValueError` for devices that are neither a count nor a sequence of devices, and for
    something that is no executor."""
    if isinstance(devices, (int, np.integer)):
        check_count("devices", devices)
    elif devices is not None and executor is not None:
        raise ValueError(f"devices must be a count with an executor, got {devices!r}")
    elif devices is not None:
        if not isinstance(devices, Collection) or not len(devices):
            raise ValueError(f"devices must be a count or a sequence of devices, got {devices!r}")
        own = all(
            isinstance(device, jax.Device) and device.process_index == jax.process_index()
            for device in devices
        )
        if not own or len(set(devices)) < len(devices):
            raise ValueError(
                "devices must be different devices of this process (jax.local_devices()), got "
                f"{devices!r}"
            )
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ValueError(f"executor must be a concurrent.futures.Executor, got {executor!r}")


def check_changed(rule: Any, numbers: Sequence[str]) -> None:
    """Raises `ValueError` for a rule that changes a name that is no number of the space."""
    for name in getattr(rule, "names", None) or ():
        if name not in numbers:
            raise ValueError(f"prune: {unknown('number', name, dict.fromkeys(numbers))}")


def check_rule(rule: Any, plan: Itinerary) -> None:
    """Raises `ValueError` for something that is no rule, or does not fit the evaluations."""
    if not all(hasattr(rule, name) for name in ("rungs", "decide", "metric")):
        raise ValueError(
            f"prune must be successive_halving(...), pbt(...) or another rule, got {rule!r}"
        )
    if not rule.rungs(plan):
        raise ValueError(
            f"prune never decides within {several(plan.steps, 'update')}: {rule!r} needs longer "
            "trainings, or smaller numbers"
        )
