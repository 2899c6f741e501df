"""What do the lanes of one program share? A task, an optimizer and a timetable, as a pure value."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.building import tunable
from lropt_jax.schedules import Schedule
from lropt_jax.sweeps.planning.groups import Group
from lropt_jax.tasks.task import Task
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.visits import Itinerary
from lropt_jax.training.watching.names import NOTHING, Watched

Optimizer = Callable[..., optax.GradientTransformation]


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """What all lanes of a group share; all that a worker needs beside the lanes.

    Attributes:
      task: the training problem.
      optimizer: `optimizer(**numbers)` makes a lane's transformation.
      names: of the numbers.
      itinerary: when the host visits.
      key: the words of the plan's key.
      key_type: the generator that the key is for.
      splits: those to evaluate as a whole after the last update.
      watched: what is watched at each evaluation.
    """

    task: Task
    optimizer: Optimizer
    names: tuple[str, ...]
    itinerary: Itinerary
    key: np.ndarray
    key_type: str
    splits: tuple[str, ...] = ()
    watched: Watched = NOTHING

    def population(self, layout: Layout, numbers: Mapping[str, np.ndarray]) -> Population:
        """The programs of this job on these devices."""
        first = {name: float(values[0]) for name, values in numbers.items()}
        return Population(self.task, self.optimizer, first, layout, self.watched)

    def keys(self, seeds: np.ndarray) -> jax.Array:
        """The key of a lane of each seed."""
        root = jax.random.wrap_key_data(jnp.asarray(self.key), impl=self.key_type)
        keys: jax.Array = jax.vmap(lambda s: jax.random.fold_in(root, s))(jnp.asarray(seeds))
        return keys


def task_of(task: Task | Callable[..., Task], group: Group) -> Task:
    """The task of a group's trials.

    Raises:
      ValueError: when the function of a task returns none.
    """
    if not isinstance(task, Task):
        names = inspect.signature(task).parameters
        made = task(**{name: group.fixed[name] for name in names if name in group.fixed})
        if not isinstance(made, Task):
            raise ValueError(f"task must return a Task, got {type(made).__name__}")
        return made
    if "batch_size" in group.fixed:
        return dataclasses.replace(task, batch_size=group.fixed["batch_size"])
    return task


def takes(optimizer: Optimizer, names: Iterable[str], task: Any) -> list[str]:
    """Those names of a configuration that are the optimizer's.

    One that takes any name (`**numbers`) takes all but those of the task's.
    """
    parameters = inspect.signature(optimizer).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    of_task = {"batch_size", *names_of(task)}
    return [n for n in names if n in parameters or (anything and n not in of_task)]


def names_of(task: Any) -> list[str]:
    """The names that a function of a task takes; none for a task."""
    return [] if isinstance(task, Task) else list(inspect.signature(task).parameters)


def optimizer_of(optimizer: Optimizer, group: Group, task: Any) -> Optimizer:
    """The optimizer as a function of a group's numbers, which live in its state."""
    fixed = {name: group.fixed[name] for name in takes(optimizer, group.fixed, task)}
    # A schedule is a hyperparameter like a number; another callable is a choice of code.
    code = tuple(k for k, v in fixed.items() if not isinstance(v, Schedule))
    return functools.partial(_tuned, optimizer, code, fixed)


def compiled_in(made: Any, numbers: Mapping[str, Any]) -> Optimizer:
    """What `optimizer_of` made, with some of its numbers compiled in as well."""
    optimizer, code, fixed = made.args
    return functools.partial(_tuned, optimizer, (*code, *numbers), {**fixed, **numbers})


def fixed_in(made: Any) -> Mapping[str, Any]:
    """The values that are fixed in what `optimizer_of` made."""
    fixed: Mapping[str, Any] = made.args[2]
    return fixed


def _tuned(
    optimizer: Callable[..., Any], code: tuple[str, ...], fixed: dict[str, Any], /, **numbers: Any
) -> optax.GradientTransformation:
    # Made anew each time, since what tunable returns cannot be sent to another process.
    return tunable(optimizer, static=code)(**fixed, **numbers)
